package xenlight

import (
	"context"
	"iter"
	"slices"
	"sync"

	"github.com/go-xenlight/xenlight/internal/loop"
	"github.com/go-xenlight/xenlight/libxl"
)

// Event is something that has happened to a domain.
type Event struct {
	// Type is libxl.EventTypeDomainShutdown, libxl.EventTypeDomainDeath, or for
	// those who ask for it libxl.EventTypeDiskEject.
	Type  libxl.EventType
	Domid libxl.Domid
	Uuid  libxl.Uuid
	// Reason says why a domain has shut down.
	Reason libxl.ShutdownReason
	// Disk is the drive whose medium the guest has ejected, as far as libxl tells:
	// its Vdev and backend.
	Disk *libxl.DeviceDisk
}

// Events tells what happens to the domains of the host from this call on: that
// one shuts down, and why, and that one is no more. A domain that is shut down
// already when the watch begins is told of at once. The sequence ends with an
// error when ctx is over, when the Host is closed or breaks, or when the domains
// cannot be listed.
//
// There may be any number of watches. Each gets every event once and in order,
// and none waits for another: what a program has not fetched yet is kept for it,
// without a limit, so fetch it. Leave the loop or end ctx to end the watch; a
// sequence can be used once.
//
// A domain that another program creates and destroys within a second, without
// its shutting down, may remain unknown; what this Host creates is known. A domain
// that resumes and shuts down again within a second, as a guest that is
// checkpointed does, may be told of once for both. A domain that is destroyed
// before it shuts down has only the second event, and so has one that another
// program destroys before this one could see why it shut down.
//
// What libxl_evenable_domain_death tells makes it look at once, with
// libxl_list_domain; what nothing tells is seen within a second.
func (h *Host) Events(ctx context.Context, opts ...EventOption) iter.Seq2[Event, error] {
	return h.watch(ctx, "Events", nil, opts...)
}

// DomainEvents is like [Host.Events] for one domain. The sequence ends without an
// error after the domain's death. libxl.ErrorDomainNotfound is its error if the
// domain is not there when the watch begins; a new domain with the same number is
// another one.
func (h *Host) DomainEvents(ctx context.Context, domid libxl.Domid, opts ...EventOption) iter.Seq2[Event, error] {
	return h.watch(ctx, "DomainEvents", &domid, opts...)
}

// WaitShutdown waits until the domain shuts down and returns why, at once if it
// is shut down already. libxl.ErrorDomainNotfound means that there is no such
// domain, libxl.ErrorDomainDestroyed that it was destroyed before it shut down.
func (h *Host) WaitShutdown(ctx context.Context, domid libxl.Domid) (libxl.ShutdownReason, error) {
	const op = "WaitShutdown"
	for ev, err := range h.watch(ctx, op, &domid) {
		if err != nil {
			return libxl.ShutdownReasonUnknown, err
		}
		if ev.Type == libxl.EventTypeDomainShutdown {
			return ev.Reason, nil
		}
	}
	return libxl.ShutdownReasonUnknown, &Error{Op: op, Domid: &domid, Err: libxl.ErrorDomainDestroyed}
}

// watch begins a watch, of all domains or one.
func (h *Host) watch(ctx context.Context, op string, domid *libxl.Domid, opts ...EventOption) iter.Seq2[Event, error] {
	fail := func(err error) error { return &Error{Op: op, Domid: domid, Err: err} }
	if h == nil || h.loop == nil {
		return func(yield func(Event, error) bool) { yield(Event{}, fail(ErrClosed)) }
	}
	w := &watcher{domid: domid, more: make(chan struct{}, 1)}
	for _, set := range opts {
		set(w)
	}
	if err := h.events.enlist(ctx, w); err != nil {
		return func(yield func(Event, error) bool) { yield(Event{}, fail(err)) }
	}
	stop := context.AfterFunc(ctx, func() { h.events.leave(w) })
	return func(yield func(Event, error) bool) {
		defer w.push(true, nil) // so that ranging over it again ends
		defer h.events.leave(w)
		defer stop()
		for {
			ev, err := w.next(ctx, h.loop.Life())
			if err != nil {
				yield(Event{}, fail(err))
				return
			}
			if ev == nil || !yield(*ev, nil) {
				return
			}
		}
	}
}

// watcher is one watch.
type watcher struct {
	domid  *libxl.Domid // nil for all
	uuid   libxl.Uuid   // of the one domain
	ejects bool

	mu    sync.Mutex
	queue []Event
	ended bool  // nothing will follow
	err   error // and this is why, after the queue
	more  chan struct{}
}

// next waits for an event; nil if there will be none.
func (w *watcher) next(ctx, life context.Context) (*Event, error) {
	for over := false; ; {
		if ctx.Err() != nil {
			return nil, loop.Reason(ctx)
		}
		w.mu.Lock()
		if len(w.queue) > 0 {
			ev := w.queue[0]
			w.queue = w.queue[1:]
			w.mu.Unlock()
			return &ev, nil
		}
		ended, err := w.ended, w.err
		w.mu.Unlock()
		switch {
		case ended:
			return nil, err
		case over:
			return nil, context.Cause(life)
		}
		select {
		case <-w.more:
		case <-ctx.Done():
		case <-life.Done():
			over = true
		}
	}
}

// push adds events, and perhaps ends the watch.
func (w *watcher) push(end bool, err error, events ...Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return
	}
	for _, ev := range events {
		if ev.Disk == nil || !slices.ContainsFunc(w.queue, ev.ejectsAgain) {
			w.queue = append(w.queue, ev)
		}
	}
	w.ended, w.err = end, err
	select {
	case w.more <- struct{}{}:
	default:
	}
}

// tell adds an event if the watch is about its domain.
func (w *watcher) tell(ev Event) {
	if w.domid == nil || *w.domid == ev.Domid && w.uuid == ev.Uuid {
		w.push(w.domid != nil && ev.Type == libxl.EventTypeDomainDeath, nil, ev)
	}
}
