package xltest

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/go-xenlight/xenlight"
	"github.com/go-xenlight/xenlight/libxl"
)

var callbackChecks = []check{
	{loopSection, "what a Host calls may use the Host", checkCallbacks},
	{loopSection, "what a Host calls may close the Host", checkCallbackCloses},
}

// telling is a slog.Handler that has a function called for each record.
type telling struct {
	slog.Handler // for what is not needed
	f            func()
}

func (telling) Enabled(context.Context, slog.Level) bool { return true }

func (l telling) Handle(context.Context, slog.Record) error {
	l.f()
	return nil
}

func checkCallbacks(t *T) {
	var h atomic.Pointer[xenlight.Host]
	var logged, steps, consoles atomic.Int32
	// What a call logs is more to be told of.
	const enough = 10
	use := func(n *atomic.Int32) {
		if h := h.Load(); h != nil && n.Load() < enough {
			if _, err := h.ListDomain(); err == nil {
				n.Add(1)
			}
		}
	}
	host, err := xenlight.Open(xenlight.WithLogger(slog.New(telling{f: func() { use(&logged) }})),
		xenlight.WithProgress(func(xenlight.Progress) { use(&steps) }))
	t.ok(err, "Open")
	t.Cleanup(func() { _ = host.CloseContext(t.ctx) })
	h.Store(host)
	c := t.tiny(t.plain(), "")
	domid, err := host.DomainCreateNew(t.ctx, c, xenlight.OnConsole(func(d libxl.Domid) {
		if tty, err := host.PrimaryConsoleGetTty(d); err == nil && tty != "" {
			consoles.Add(1)
		}
	}))
	t.ok(err, "DomainCreateNew")
	g := t.adopt(c, domid)
	g.start()
	g.expect("tiny: up")
	t.until("the log and OnConsole to have been told", func() bool { return logged.Load() > 0 && consoles.Load() > 0 })
	if !onArm {
		t.ok(host.DomainSuspend(t.ctx, domid, io.Discard), "DomainSuspend")
		t.until("progress to have been told", func() bool { return steps.Load() > 0 })
		t.ok(host.DomainResume(t.ctx, domid, true), "DomainResume")
		g.expect("tiny: resumed")
	}
	events := host.DomainEvents(t.ctx, domid)
	g.say("poweroff")
	for ev, err := range events {
		t.ok(err, "DomainEvents")
		if ev.Type == libxl.EventTypeDomainShutdown {
			t.ok(host.DomainDestroy(t.ctx, domid), "DomainDestroy in an event")
		}
	}
	t.noDomain(c.CInfo.Uuid)
	t.Logf("the log has used the Host %d times, OnConsole %d, progress %d", logged.Load(), consoles.Load(), steps.Load())
}

func checkCallbackCloses(t *T) {
	places := []string{"OnConsole", "an event", "the log"}
	if !onArm {
		places = append(places, "progress")
	}
	for _, place := range places {
		var h atomic.Pointer[xenlight.Host]
		closed := make(chan error, 1)
		shut := func(here string) {
			if h := h.Load(); h != nil && here == place {
				err := h.Close() // again and again, perhaps
				select {
				case closed <- err:
				default:
				}
			}
		}
		host, err := xenlight.Open(xenlight.WithLogger(slog.New(telling{f: func() { shut("the log") }})),
			xenlight.WithProgress(func(xenlight.Progress) { shut("progress") }))
		t.ok(err, "Open")
		t.Cleanup(func() { _ = host.CloseContext(t.ctx) }) // which may hang
		var watching sync.WaitGroup
		events := host.Events(t.ctx)
		watching.Go(func() {
			for _, err := range events {
				if err == nil {
					shut("an event")
				}
			}
		})
		h.Store(host)
		c := t.tiny(t.plain(), "")
		domid, err := host.DomainCreateNew(t.ctx, c, xenlight.OnConsole(func(libxl.Domid) { shut("OnConsole") }))
		if domid == libxl.InvalidDomid {
			t.noDomain(c.CInfo.Uuid)
		} else {
			g := t.adopt(c, domid)
			if err = host.DomainUnpause(t.ctx, domid); err == nil && place == "progress" {
				err = host.DomainSuspend(t.ctx, domid, io.Discard)
			}
			if err == nil && place == "an event" {
				g.openConsole()
				g.say("poweroff")
			}
		}
		if err != nil && !errors.Is(err, xenlight.ErrClosed) {
			t.Errorf("Close in %s: an operation: %v", place, err)
		}
		select {
		case err := <-closed:
			t.ok(err, "Close in "+place)
		case <-t.ctx.Done():
			t.Fatalf("Close in %s has not returned", place)
		}
		watching.Wait()
		_, err = host.ListDomain()
		if !errors.Is(err, xenlight.ErrClosed) {
			t.Errorf("ListDomain after Close in %s: %v", place, err)
		}
	}
}
