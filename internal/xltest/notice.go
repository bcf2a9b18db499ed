package xltest

import (
	"context"
	"errors"
	"iter"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-xenlight/xenlight"
	"github.com/go-xenlight/xenlight/libxl"
)

var noticeChecks = []check{
	{loopSection, "all watches that ask for it are told once that a guest ejects a medium", checkEjects},
	{loopSection, "WithProgress tells how far the saving of a guest is", checkProgress},
	{loopSection, "WaitForMemoryTarget waits for a guest that gives memory back, and not longer than asked", checkMemoryTarget},
}

func checkEjects(t *T) {
	const devid = "51712" // xvda
	dev := t.loopDevice(t.file("a medium\n", diskSize))
	for _, kind := range t.kinds() {
		c := t.tiny(kind, "")
		drive := disk("xvda", dev, libxl.DiskBackendPhy)
		drive.Removable, drive.IsCdrom, drive.Readwrite = 1, 1, 0
		c.Disks = append(c.Disks, *drive)
		g := t.create(c)
		events := func(opts ...xenlight.EventOption) iter.Seq2[xenlight.Event, error] {
			return t.Host.DomainEvents(t.ctx, g.Domid, opts...)
		}
		watches := map[string]iter.Seq2[xenlight.Event, error]{
			"one": events(xenlight.WithEjects()), "another": events(xenlight.WithEjects()),
			"all": t.Host.Events(t.ctx, xenlight.WithEjects()), "not asked": events(),
		}
		g.start()
		g.expect("tiny: up")
		ejected := make(chan string, len(watches))
		told := make(chan string, len(watches))
		for name, events := range watches {
			go func() {
				var got []string
				for ev, err := range events {
					switch {
					case err != nil:
						got = append(got, err.Error())
					case ev.Uuid != c.CInfo.Uuid:
						continue
					case ev.Type == libxl.EventTypeDiskEject:
						got = append(got, "eject of "+ev.Disk.Vdev)
						ejected <- name
					case ev.Type == libxl.EventTypeDomainDeath:
						got = append(got, "death")
					}
					if ev.Type == libxl.EventTypeDomainDeath || err != nil {
						break
					}
				}
				told <- name + ": " + strings.Join(got, ", ")
			}()
		}
		for range 2 {
			g.say("write device/vbd/" + devid + "/eject eject")
			for range len(watches) - 1 {
				select {
				case <-ejected:
				case <-t.ctx.Done():
					t.Fatalf("nobody was told of an ejection")
				}
			}
		}
		g.destroy()
		for range watches {
			got := <-told
			name, _, _ := strings.Cut(got, ": ")
			want := name + ": eject of xvda, eject of xvda, death"
			if name == "not asked" {
				want = name + ": death"
			}
			equal(t, kind.String()+": the events", got, want)
		}
		g.console.Close()
	}
}

func checkMemoryTarget(t *T) {
	g := t.create(t.roomy(t.plain()))
	g.boot()
	t.ok(t.Host.WaitForMemoryTarget(t.ctx, g.Domid), "WaitForMemoryTarget of a guest that has it")
	const less = 16 << 10
	target := int64(g.Config.BInfo.MaxMemkb) - less
	t.ok(t.Host.SetMemoryTarget(g.Domid, target, false, false), "SetMemoryTarget")
	t.ok(t.Host.WaitForMemoryTarget(t.ctx, g.Domid), "WaitForMemoryTarget")
	const extra = 1 << 10 // that libxl adds
	if has := int64(g.info().CurrentMemkb); has > target+extra {
		t.Errorf("the guest has %d kB, its target is %d", has, target)
	}
	g.destroy()

	// The tiny guest does not obey.
	tiny := t.create(t.tiny(t.plain(), ""))
	tiny.start()
	tiny.expect("tiny: up")
	t.ok(t.Host.SetMemoryTarget(tiny.Domid, tinyMemory-2*extra, false, false), "SetMemoryTarget")
	ctx, cancel := context.WithTimeout(t.ctx, 600*time.Millisecond)
	defer cancel()
	err := t.Host.WaitForMemoryTarget(ctx, tiny.Domid)
	wantCode(t, "WaitForMemoryTarget of a guest that does not obey", err, libxl.ErrorFail)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("WaitForMemoryTarget of a guest that does not obey: %v", err)
	}
	if onArm {
		return // there are no guests with a screen
	}
	screen := t.startTiny(libxl.DomainTypeHvm, "")
	t.ok(t.Host.WaitForMemoryTarget(t.ctx, screen.Domid), "WaitForMemoryTarget of a guest with a screen")
}

func checkProgress(t *T) {
	t.needSave() // that has progress to tell of
	var mu sync.Mutex
	var steps []xenlight.Progress
	h, err := xenlight.Open(xenlight.WithProgress(func(p xenlight.Progress) {
		mu.Lock()
		defer mu.Unlock()
		steps = append(steps, p)
	}))
	t.ok(err, "Open")
	t.Cleanup(func() { h.Close() })
	g := t.startTiny(t.plain(), "")
	f, err := os.OpenFile(t.file("", 0), os.O_RDWR, 0)
	t.ok(err, "a file")
	t.Cleanup(func() { f.Close() })
	t.ok(h.DomainSuspend(t.ctx, g.Domid, f), "DomainSuspend")
	// The messages come by a queue of their own.
	t.until("progress to 100 %", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return slices.ContainsFunc(steps, func(p xenlight.Progress) bool {
			return p.What != "" && p.Percent == 100 && p.Done == p.Total && p.Total > 0
		})
	})
	t.ok(h.Close(), "Close")
	t.Logf("%+v", steps)
}
