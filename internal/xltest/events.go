package xltest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"time"

	"github.com/go-xenlight/xenlight"
	"github.com/go-xenlight/xenlight/libxl"
)

var eventChecks = []check{
	{loopSection, "every watcher is told once that a guest powers off, reboots or crashes, and that it dies", checkShutdownEvents},
	{loopSection, "domains that die before they run, before they are watched or unseen are told of", checkDeathEvents},
	{loopSection, "a watch ends with its context, with its Host, and for a domain that is not there", checkWatchEnds},
}

// record collects the events of one domain until it dies. The watch has begun
// when record returns.
func (t *T) record(what string, events iter.Seq2[xenlight.Event, error], uuid libxl.Uuid) (wait func() string) {
	var got []string
	done := make(chan error, 1)
	go func() {
		for ev, err := range events {
			if err != nil {
				done <- err
				return
			}
			switch {
			case ev.Uuid != uuid:
			case ev.Type == libxl.EventTypeDomainShutdown:
				got = append(got, ev.Reason.String())
			case ev.Type == libxl.EventTypeDomainDeath:
				got = append(got, "death")
				done <- nil
				return
			}
		}
		done <- nil
	}()
	return func() string {
		t.ok(<-done, what)
		return strings.Join(got, " ")
	}
}

func checkShutdownEvents(t *T) {
	for _, c := range []struct {
		what   string
		make   func(*guest)
		reason libxl.ShutdownReason
	}{
		{"DomainShutdown", func(g *guest) { g.do("DomainShutdown", t.Host.DomainShutdown) }, libxl.ShutdownReasonPoweroff},
		{"DomainReboot", func(g *guest) { g.do("DomainReboot", t.Host.DomainReboot) }, libxl.ShutdownReasonReboot},
		{"a crash", func(g *guest) {
			if onArm { // where Linux does not tell Xen
				g.say("crash")
				return
			}
			_, err := g.console.Write([]byte("echo c >/proc/sysrq-trigger\n"))
			t.ok(err, "console")
		}, libxl.ShutdownReasonCrash},
	} {
		config, boot := t.config(t.plain()), (*guest).boot
		if onArm && c.reason == libxl.ShutdownReasonCrash {
			config, boot = t.tiny(t.plain(), ""), (*guest).start
		}
		g := t.create(config)
		var watches []func() string
		for i := range 3 {
			watches = append(watches,
				t.record(fmt.Sprintf("Events %d", i), t.Host.Events(t.ctx), g.Config.CInfo.Uuid),
				t.record(fmt.Sprintf("DomainEvents %d", i), t.Host.DomainEvents(t.ctx, g.Domid), g.Config.CInfo.Uuid))
		}
		boot(g)
		c.make(g)
		for range 2 { // the second time it is so already
			reason, err := t.Host.WaitShutdown(t.ctx, g.Domid)
			t.ok(err, "WaitShutdown")
			equal(t, "the reason after "+c.what, reason, c.reason)
		}
		watches = append(watches, t.record("late", t.Host.DomainEvents(t.ctx, g.Domid), g.Config.CInfo.Uuid))
		g.destroy()
		for _, w := range watches {
			equal(t, "the events after "+c.what, w(), c.reason.String()+" death")
		}
	}
}

func checkDeathEvents(t *T) {
	all := t.Host.Events(t.ctx)
	g := t.create(t.config(t.plain()))
	one := t.record("DomainEvents", t.Host.DomainEvents(t.ctx, g.Domid), g.Config.CInfo.Uuid)
	waited := make(chan error, 1)
	var begun sync.WaitGroup
	begun.Add(1)
	go func() {
		begun.Done()
		_, err := t.Host.WaitShutdown(t.ctx, g.Domid)
		waited <- err
	}()
	begun.Wait()
	start := time.Now()
	g.destroy()
	equal(t, "the events of a domain that never ran", one(), "death")
	t.Logf("told %v after DomainDestroy was called", time.Since(start))
	// The wait may have begun too late.
	if err := <-waited; !errors.Is(err, libxl.ErrorDomainDestroyed) && !errors.Is(err, libxl.ErrorDomainNotfound) {
		t.Errorf("WaitShutdown of a domain that is destroyed: %v", err)
	}
	equal(t, "what a watch of all tells that is read only now",
		t.record("Events", all, g.Config.CInfo.Uuid)(), "death")
}

func checkWatchEnds(t *T) {
	_, err := t.Host.WaitShutdown(t.ctx, nobody)
	wantCode(t, "WaitShutdown of no domain", err, libxl.ErrorDomainNotfound)
	h := t.open()
	g := t.create(t.config(t.plain()))
	ctx, cancel := context.WithTimeout(t.ctx, 100*time.Millisecond)
	defer cancel()
	_, err = h.WaitShutdown(ctx, g.Domid)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("WaitShutdown with a deadline: %v", err)
	}
	ended := make(chan error)
	events := h.Events(t.ctx)
	go func() {
		_, err := h.WaitShutdown(t.ctx, g.Domid)
		ended <- err
	}()
	go func() {
		for _, err := range events {
			if err != nil {
				ended <- err
			}
		}
	}()
	t.ok(h.Close(), "Close")
	for range 2 {
		if err := <-ended; !errors.Is(err, xenlight.ErrClosed) {
			t.Errorf("a watch on a Host that is closed ends with %v", err)
		}
	}
}
