package xltest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"runtime/pprof"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/go-xenlight/xenlight"
	"github.com/go-xenlight/xenlight/libxl"
)

var stormChecks = []check{
	{loadSection, "two Hosts work in a storm of signals, garbage collections and children of os/exec's", checkStorm},
	{loadSection, "Hosts that are closed at random moments end all that is done with them, and leave nothing", checkRandomCloses},
	{loadSection, "savings and restorings that are cancelled at random moments leave the guest as it was, or nothing", checkRandomSaves},
}

// storm makes the process's life hard until it is told to end: garbage collection
// again and again, the signals that Go and libxl use, the CPU profile's, and
// children of os/exec's.
func (t *T) storm() (end func()) {
	t.ok(pprof.StartCPUProfile(io.Discard), "the CPU profile")
	stop, calm := context.WithCancel(t.ctx)
	var group sync.WaitGroup
	each := func(pause time.Duration, f func()) {
		group.Go(func() {
			for tick := time.NewTicker(pause); ; {
				select {
				case <-stop.Done():
					tick.Stop()
					return
				case <-tick.C:
					f()
				}
			}
		})
	}
	var signals, children atomic.Int64
	each(10*time.Millisecond, runtime.GC)
	for _, sig := range []unix.Signal{unix.SIGCHLD, unix.SIGURG} {
		each(time.Millisecond, func() {
			_ = unix.Kill(unix.Getpid(), sig) // to oneself it does not fail
			signals.Add(1)
		})
	}
	var wrong error // of the last one
	each(time.Millisecond, func() {
		out, err := exec.CommandContext(t.ctx, "/bin/sh", "-c", "echo $((6*7)); exit 3").Output()
		var exit *exec.ExitError
		if string(out) != "42\n" || !errors.As(err, &exit) || exit.ExitCode() != 3 {
			wrong = fmt.Errorf("%q, %w", out, err)
		}
		children.Add(1)
	})
	return func() {
		calm()
		group.Wait()
		pprof.StopCPUProfile()
		t.Logf("beside it %d signals and %d children of os/exec's", signals.Load(), children.Load())
		if children.Load() == 0 || wrong != nil {
			t.Errorf("os/exec has run %d children, and one otherwise than it should: %v", children.Load(), wrong)
		}
	}
}

func checkStorm(t *T) {
	t.cancelRandomly(min(t.o.Load.Creations, UsualLoad.Creations/2), t.storm)
}

func checkRandomCloses(t *T) {
	const creators = 2
	random, kind := t.random(), t.plain()
	g := t.create(t.tiny(kind, ""))
	closeAfter := func(after time.Duration) *doomed {
		h, err := xenlight.Open()
		t.ok(err, "Open")
		d := doomedTo(t.ctx, xenlight.ErrClosed)
		d.use(h, g.Domid)
		uuids := d.create(t, h, kind, creators)
		time.Sleep(after)
		t.ok(h.CloseContext(t.ctx), "Close")
		t.ok(d.wait(), "waiting for the end")
		list, err := t.Host.ListDomain()
		t.ok(err, "ListDomain")
		for _, info := range list { // whose destruction was aborted
			if slices.Contains(uuids(), info.Uuid) && !info.Dying {
				t.ok(t.Host.DomainDestroy(t.ctx, info.Domid), "DomainDestroy")
			}
		}
		return d
	}
	start := time.Now()
	g2 := t.create(t.tiny(kind, ""))
	g2.destroy()
	each := time.Since(start) * creators
	closeAfter(each) // what is made once is there then
	was := t.snapshot()
	calls, ends := int64(0), map[string]int{}
	rounds := max(t.o.Load.Opens/10, 2)
	for range rounds {
		d := closeAfter(time.Duration(random.Int64N(int64(each))))
		calls += d.done.Load()
		for what, n := range d.ends {
			ends[what] += n
		}
	}
	t.Logf("%d Hosts closed, up to %v after they were opened: %d calls succeeded, and these ended: %v", rounds, each.Round(time.Millisecond), calls, ends)
	equal(t, "kinds of what was done that ended", len(ends), 5)
	t.Logf("since before: %s", was.difference(t.nothingLeft(was)))
}

func checkRandomSaves(t *T) {
	t.needSave()
	random := t.random()
	rounds, aborted := max(min(t.o.Load.Creations, UsualLoad.Creations)/4, 2), 0
	for _, kind := range t.kinds() {
		was := t.snapshot()
		g := t.startTiny(kind, "")
		counted := 2
		var stream bytes.Buffer
		// save saves and tells how far that has come: nowhere, to be aborted, to its end.
		save := func(ctx context.Context) int {
			stream.Reset()
			err := t.Host.DomainSuspend(ctx, g.Domid, &stream)
			if err != nil && !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("DomainSuspend: %v%s", err, logOf(err))
			}
			if err == nil {
				g.suspended()
				t.ok(t.Host.DomainResume(t.ctx, g.Domid, true), "DomainResume")
				g.expect("tiny: resumed")
			}
			equal(t, "Shutdown", g.info().Shutdown, false)
			counted++
			g.count(counted)
			return stage(err)
		}
		each := func(f func()) time.Duration {
			start := time.Now()
			f()
			return time.Since(start)
		}
		randomly := func(longest time.Duration, f func(context.Context) int) (stages [3]int) {
			for range rounds {
				ctx, cancel := context.WithTimeout(t.ctx, 1+time.Duration(random.Int64N(int64(longest))))
				stages[f(ctx)]++
				cancel()
			}
			return stages
		}
		const told = "%s, %d at a random moment each within %v: %d not begun, %d aborted, %d complete"
		longest := each(func() { save(t.ctx) })
		stages := randomly(longest, save)
		t.Logf(told, kind.String()+" guest's savings", rounds, longest.Round(time.Millisecond), stages[0], stages[1], stages[2])
		aborted += stages[1]

		save(t.ctx)
		restore := func(ctx context.Context) int {
			c := t.tiny(kind, "")
			domid, err := t.Host.DomainCreateRestore(ctx, c, bytes.NewReader(stream.Bytes()), nil)
			if err == nil {
				t.adopt(c, domid).destroy()
			} else {
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Fatalf("DomainCreateRestore: %v%s", err, logOf(err))
				}
				equal(t, "the domain's number", domid, libxl.InvalidDomid)
			}
			t.noDomain(c.CInfo.Uuid)
			return stage(err)
		}
		longest = each(func() { restore(t.ctx) })
		stages = randomly(longest, restore)
		t.Logf(told, kind.String()+" guest's restorings", rounds, longest.Round(time.Millisecond), stages[0], stages[1], stages[2])
		aborted += stages[1]
		g.destroy()
		t.noDomain(g.Config.CInfo.Uuid)
		g.console.Close()
		t.Logf("since before: %s", was.difference(t.nothingLeft(was)))
	}
	if aborted == 0 {
		t.Errorf("the moments were not random enough: nothing was aborted")
	}
}

// stage tells how far an operation has come that may have been cancelled.
func stage(err error) int {
	switch {
	case err == nil:
		return 2
	case asError(err).Code != 0:
		return 1
	}
	return 0
}
