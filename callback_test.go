package xenlight

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-xenlight/xenlight/internal/fakexl"
	"github.com/go-xenlight/xenlight/libxl"
)

// asking is a slog.Handler that asks a Host for each record.
type asking struct {
	slog.Handler
	host  atomic.Pointer[Host]
	asked atomic.Int32
}

func (a *asking) Enabled(context.Context, slog.Level) bool { return true }

func (a *asking) Handle(context.Context, slog.Record) error {
	if h := a.host.Load(); h != nil {
		if _, err := h.ListDomain(); err == nil || errors.Is(err, ErrClosed) {
			a.asked.Add(1)
		}
	}
	return nil
}

// What a Host calls may call the Host, and even close it.
func TestAHostCanBeUsedInWhatItCalls(t *testing.T) {
	log := &asking{}
	var steps atomic.Int32
	var h *Host
	ready := make(chan struct{})
	h = openFake(t, WithLogger(slog.New(log)), WithProgress(func(Progress) {
		<-ready
		if _, err := h.GetMaxCpus(); err == nil || errors.Is(err, ErrClosed) {
			steps.Add(1)
		}
	}))
	close(ready)
	log.host.Store(h)
	domid, err := h.DomainCreateNew(t.Context(), fakeGuest(fakexl.Ends(fakexl.Create(fakexl.Child, 20*time.Millisecond), libxl.ShutdownReasonPoweroff)),
		OnConsole(func(d libxl.Domid) {
			if _, err := h.DomainInfo(d); err != nil {
				t.Errorf("in OnConsole: %v", err)
			}
		}))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the log and the progress to be told", func() bool { return log.asked.Load() > 0 && steps.Load() > 0 })
	if err := h.DomainUnpause(t.Context(), domid); err != nil {
		t.Fatal(err)
	}
	told := 0
	for ev, err := range h.DomainEvents(t.Context(), domid) {
		switch {
		case err != nil:
			t.Fatal(err)
		case ev.Type == libxl.EventTypeDomainShutdown:
			if err := h.DomainDestroy(t.Context(), domid); err != nil {
				t.Errorf("in an event: %v", err)
			}
		}
		told++
	}
	if told != 2 {
		t.Errorf("%d events, want a shutdown and a death", told)
	}
}

func TestAHostCanBeClosedInWhatItCalls(t *testing.T) {
	for _, where := range []string{"OnConsole", "an event", "the log"} {
		log := &asking{}
		h := openFake(t, WithLogger(slog.New(log)))
		closed := make(chan error, 1)
		shut := func() {
			select {
			case closed <- h.Close():
			default:
			}
		}
		var opts []CreateOption
		switch where {
		case "OnConsole":
			opts = append(opts, OnConsole(func(libxl.Domid) { shut() }))
		case "an event":
			go func() {
				for range h.Events(t.Context()) {
					shut()
				}
			}()
		case "the log":
			h.Close()
			h = openFake(t, WithLogger(slog.New(closing{log, shut})))
		}
		script := fakexl.Ends(fakexl.Create(fakexl.Child, 20*time.Millisecond), libxl.ShutdownReasonPoweroff)
		domid, err := h.DomainCreateNew(t.Context(), fakeGuest(script), opts...)
		if err == nil {
			err = h.DomainUnpause(t.Context(), domid)
		}
		if err != nil && !errors.Is(err, ErrClosed) {
			t.Errorf("%s: %v", where, err)
		}
		select {
		case err := <-closed:
			if err != nil {
				t.Errorf("Close in %s: %v", where, err)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("Close in %s has not returned", where)
		}
		if domid != libxl.InvalidDomid {
			if err := openFake(t).DomainDestroy(t.Context(), domid); err != nil {
				t.Errorf("%s: %v", where, err)
			}
		}
	}
}

// closing calls a function for each record.
type closing struct {
	slog.Handler
	shut func()
}

func (c closing) Handle(context.Context, slog.Record) error {
	c.shut()
	return nil
}
