package xltest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/go-xenlight/xenlight"
	"github.com/go-xenlight/xenlight/libxl"
)

// disasterCheck is the last of all: dom0 cannot be used after it.
var disasterCheck = check{"the end of the host", "when xenstored dies under load, all calls and watches end with ErrBroken, and the process lives on", checkDisaster}

// xenstored finds the daemon.
func xenstored(t *T) int {
	files, _ := filepath.Glob("/proc/[0-9]*/comm")
	for _, f := range files {
		name, _ := os.ReadFile(f)
		switch strings.TrimSpace(string(name)) {
		case "xenstored", "oxenstored":
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(f)))
			t.ok(err, f)
			return pid
		}
	}
	t.Cannot("xenstored does not run in this domain")
	return 0
}

// doomed is what is done with Hosts until each of them is of no use.
type doomed struct {
	ctx         context.Context // it ends with that at the latest
	end         error           // what all of it must end with
	group       sync.WaitGroup
	going, done atomic.Int64 // how much of it has begun, and how often anything succeeded

	mu   sync.Mutex
	ends map[string]int // how often each has failed, and whether that was its end
}

func doomedTo(ctx context.Context, end error) *doomed {
	return &doomed{ctx: ctx, end: end, ends: map[string]int{}}
}

// work does something until that fails, and goes on until it fails as it must.
func (d *doomed) work(name string, f func() error) {
	d.group.Go(func() {
		for first := true; ; first = false {
			err := f()
			if err == nil {
				d.done.Add(1)
				if first {
					d.going.Add(1)
				}
				continue
			}
			over := errors.Is(err, d.end)
			d.mu.Lock()
			if over {
				d.ends[name]++
			} else {
				d.ends[name+", otherwise"]++
			}
			d.mu.Unlock()
			if over || d.ctx.Err() != nil {
				return
			}
		}
	})
}

// useWorkers is how many workers of each kind use has.
const useWorkers = 10

// use makes calls and watches. The domain must be there, and not shut down.
func (d *doomed) use(h *xenlight.Host, domid libxl.Domid) {
	for range useWorkers {
		d.work("calls", func() error { _, err := h.DomainInfo(domid); return err })
		d.work("calls of xenstore", func() error { _, err := h.PrimaryConsoleGetTty(domid); return err })
		events := h.Events(d.ctx)
		d.work("watches of all", func() error {
			for _, err := range events {
				if err != nil {
					return err
				}
			}
			return errors.New("the watch has ended")
		})
		d.work("WaitShutdown", func() error { _, err := h.WaitShutdown(d.ctx, domid); return err })
	}
}

// create creates and destroys guests, some at a time. What is left of those that
// the end interrupts is found by their UUID.
func (d *doomed) create(t *T, h *xenlight.Host, kind libxl.DomainType, workers int) (uuids func() []libxl.Uuid) {
	var mu sync.Mutex
	var all []libxl.Uuid
	config := t.tiny(kind, "")
	for range workers {
		d.work("creations", func() error {
			c := config.Clone()
			c.CInfo.Uuid = libxl.NewUuid()
			c.CInfo.Name += fmt.Sprint("-", guestNumber.Add(1))
			mu.Lock()
			all = append(all, c.CInfo.Uuid)
			mu.Unlock()
			domid, err := h.DomainCreateNew(d.ctx, c)
			if err == nil {
				err = h.DomainDestroy(d.ctx, domid)
			}
			return err
		})
	}
	return func() []libxl.Uuid {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(all)
	}
}

// wait waits for the end of everything.
func (d *doomed) wait() error {
	ended := make(chan struct{})
	go func() {
		d.group.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-d.ctx.Done():
	}
	if d.ctx.Err() != nil {
		return fmt.Errorf("some have not ended in time; those that have: %s", d)
	}
	return nil
}

func (d *doomed) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return fmt.Sprint(d.ends)
}

// checkDisaster kills xenstored while two Hosts do what they can.
func checkDisaster(t *T) {
	if !throwAway() {
		t.Cannot("this host is not one to throw away")
	}
	pid := xenstored(t)
	hosts := []*xenlight.Host{t.Host, t.open()}
	g := t.create(t.tiny(t.plain(), "")) // nobody can destroy it any more
	d := doomedTo(t.ctx, xenlight.ErrBroken)
	for _, h := range hosts {
		d.use(h, g.Domid)
		d.create(t, h, t.plain(), 1)
	}
	t.until("the load", func() bool { return d.going.Load() >= int64(len(hosts)*(2*useWorkers+1)) })
	t.Logf("%d calls were made before", d.done.Load())
	start := time.Now()
	t.ok(unix.Kill(pid, unix.SIGKILL), "killing xenstored")
	t.ok(d.wait(), "waiting for the end")
	t.Logf("all have ended after %v: %s", time.Since(start).Round(time.Millisecond), d)
	for i, h := range hosts {
		_, err := h.ListDomain()
		if !errors.Is(err, xenlight.ErrBroken) {
			t.Errorf("a call on Host %d: %v", i, err)
		}
		ctx, cancel := context.WithTimeout(t.ctx, time.Minute)
		if err := h.CloseContext(ctx); !errors.Is(err, xenlight.ErrBroken) {
			t.Errorf("Close of Host %d: %v", i, err)
		}
		cancel()
	}
	t.cleanups = nil // nothing can be undone any more
	// What needs no xenstore goes on.
	out, err := os.ReadFile("/proc/self/status")
	if t.ok(err, "/proc"); !strings.Contains(string(out), "State:") {
		t.Errorf("/proc/self/status: %q", out)
	}
}
