package xltest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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

// checkDisaster kills xenstored while two Hosts do what they can.
func checkDisaster(t *T) {
	if !throwAway() {
		t.Cannot("this host is not one to throw away")
	}
	pid := xenstored(t)
	hosts := []*xenlight.Host{t.Host, t.open()}
	g := t.create(t.tiny(t.plain(), "")) // nobody can destroy it any more
	var group sync.WaitGroup
	var mu sync.Mutex
	ends := map[string]int{}
	var going, done atomic.Int64
	// Each does something until that fails, and goes on until it is told that the
	// Host is broken.
	work := func(name string, h *xenlight.Host, f func(*xenlight.Host) error) {
		group.Go(func() {
			for first := true; ; first = false {
				err := f(h)
				if err == nil {
					done.Add(1)
					if first {
						going.Add(1)
					}
					continue
				}
				mu.Lock()
				ends[fmt.Sprintf("%s: %v", name, errors.Is(err, xenlight.ErrBroken))]++
				mu.Unlock()
				if errors.Is(err, xenlight.ErrBroken) {
					return
				}
			}
		})
	}
	const workers = 10
	for _, h := range hosts {
		for range workers {
			work("calls", h, func(h *xenlight.Host) error { _, err := h.DomainInfo(g.Domid); return err })
			work("calls of xenstore", h, func(h *xenlight.Host) error { _, err := h.PrimaryConsoleGetTty(g.Domid); return err })
		}
		config := t.tiny(t.plain(), "")
		work("creations", h, func(h *xenlight.Host) error {
			c := config.Clone()
			c.CInfo.Uuid = libxl.NewUuid()
			c.CInfo.Name += fmt.Sprint("-", guestNumber.Add(1))
			domid, err := h.DomainCreateNew(t.ctx, c)
			if err == nil {
				err = h.DomainDestroy(t.ctx, domid)
			}
			return err
		})
		for range workers {
			events := h.Events(t.ctx)
			work("watches of all", h, func(*xenlight.Host) error {
				for _, err := range events {
					if err != nil {
						return err
					}
				}
				return errors.New("the watch has ended")
			})
			work("WaitShutdown", h, func(h *xenlight.Host) error { _, err := h.WaitShutdown(t.ctx, g.Domid); return err })
		}
	}
	t.until("the load", func() bool { return going.Load() >= int64(len(hosts)*(2*workers+1)) })
	t.Logf("%d calls were made before", done.Load())
	start := time.Now()
	t.ok(unix.Kill(pid, unix.SIGKILL), "killing xenstored")
	ended := make(chan struct{})
	go func() {
		group.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-t.ctx.Done():
		mu.Lock()
		defer mu.Unlock()
		t.Fatalf("some have not ended; those that have, and whether with ErrBroken: %v", ends)
	}
	t.Logf("all have ended after %v: whether with ErrBroken: %v", time.Since(start).Round(time.Millisecond), ends)
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
