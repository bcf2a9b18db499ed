package xenlight

import (
	"cmp"
	"context"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

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
			return nil, context.Cause(ctx)
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
	w.queue = append(w.queue, events...)
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

// pollInterval is how often a hub looks for what libxl does not tell.
const pollInterval = time.Second

// hub tells watchers what has changed from one look at all domains to the next.
// As its memory is not libxl's but the last look, no event is lost because it
// came before somebody asked, told twice, or mistaken for one of an earlier domain
// of that number.
type hub struct {
	list func() ([]libxl.Dominfo, error)
	arm  func(libxl.Domid, func(*libxl.Event)) (disarm func(), err error) // its drives
	left chan struct{}                                                    // has an element after a watcher of drives has left
	done chan struct{}                                                    // closed when run has ended

	looking sync.Mutex // from before the list is made until it has been told
	domains map[libxl.Domid]libxl.Dominfo
	drives  map[libxl.Domid]drives

	mu       sync.Mutex
	watchers map[*watcher]struct{}
}

func newHub(list func() ([]libxl.Dominfo, error),
	arm func(libxl.Domid, func(*libxl.Event)) (func(), error)) *hub {
	return &hub{list: list, arm: arm, left: make(chan struct{}, 1), done: make(chan struct{}),
		drives: map[libxl.Domid]drives{}, watchers: map[*watcher]struct{}{}}
}

// run looks whenever a domain has shut down or died. It polls as well when there
// is something to be seen of which nothing tells: a domain that another program
// has made, and one that resumes.
func (b *hub) run(life context.Context, released <-chan struct{}) {
	defer close(b.done)
	for {
		var again <-chan time.Time
		if b.restless() {
			again = time.After(pollInterval)
		}
		select {
		case <-life.Done():
			return
		case <-released:
		case <-again:
		case <-b.left:
		}
		b.looking.Lock()
		if _, err := b.look(false); err != nil {
			for _, w := range b.all() {
				w.push(true, err)
			}
		}
		_ = b.follow(nil)
		b.looking.Unlock()
	}
}

func (b *hub) restless() bool {
	b.looking.Lock()
	defer b.looking.Unlock()
	return slices.ContainsFunc(b.all(), func(w *watcher) bool {
		return w.domid == nil || b.domains[*w.domid].Shutdown
	})
}

func (b *hub) all() []*watcher {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Collect(maps.Keys(b.watchers))
}

// enlist is join, but waits no longer than ctx lasts: libxl may be busy.
func (b *hub) enlist(ctx context.Context, w *watcher) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	joined := make(chan error, 1)
	go func() { joined <- b.join(w) }()
	select {
	case err := <-joined:
		return err
	case <-ctx.Done():
		go func() {
			if <-joined == nil {
				b.leave(w)
			}
		}()
		return context.Cause(ctx)
	}
}

// join begins a watch.
func (b *hub) join(w *watcher) error {
	b.looking.Lock()
	defer b.looking.Unlock()
	list, err := b.look(true)
	if err != nil {
		return err
	}
	if w.domid != nil {
		i := slices.IndexFunc(list, func(d libxl.Dominfo) bool { return d.Domid == *w.domid })
		if i < 0 {
			return libxl.ErrorDomainNotfound
		}
		w.uuid = list[i].Uuid
	}
	for _, d := range list {
		if d.Dying && w.domid == nil {
			continue // it was there before
		}
		if d.Shutdown {
			w.tell(shutdown(d))
		}
		if d.Dying {
			w.tell(death(d))
		}
	}
	b.mu.Lock()
	b.watchers[w] = struct{}{}
	b.mu.Unlock()
	if !w.ejects {
		return nil
	}
	if err := b.follow(w.domid); err != nil {
		b.leave(w)
		return err
	}
	return nil
}

// leave ends a watch.
func (b *hub) leave(w *watcher) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.watchers, w)
	if w.ejects {
		select {
		case b.left <- struct{}{}:
		default:
		}
	}
}

// look compares the domains with those of the last look and tells the watchers,
// in the order in which it must have happened. Without any it looks for those who
// join only. The caller holds looking.
func (b *hub) look(joining bool) ([]libxl.Dominfo, error) {
	watchers := b.all()
	if len(watchers) == 0 {
		b.domains = nil
		if !joining {
			return nil, nil
		}
	}
	list, err := b.list()
	if err != nil {
		return nil, err
	}
	var last, dead, living []Event
	now := make(map[libxl.Domid]libxl.Dominfo, len(list))
	for _, d := range list {
		old, known := b.domains[d.Domid]
		known = known && old.Uuid == d.Uuid
		told := known && old.Shutdown && old.ShutdownReason == d.ShutdownReason
		switch {
		case !d.Dying:
			now[d.Domid] = d
			if d.Shutdown && !told {
				living = append(living, shutdown(d))
			}
		case d.Shutdown && known && !told:
			last = append(last, shutdown(d))
		}
	}
	for _, old := range b.domains {
		if d, ok := now[old.Domid]; !ok || d.Uuid != old.Uuid {
			dead = append(dead, death(old))
		}
	}
	slices.SortFunc(dead, func(a, b Event) int { return cmp.Compare(a.Domid, b.Domid) })
	b.domains = now
	for _, ev := range slices.Concat(last, dead, living) {
		for _, w := range watchers {
			w.tell(ev)
		}
	}
	return list, nil
}

// glance looks at once, before something is gone that nobody has seen yet, but
// waits no longer than ctx lasts. What goes wrong will be told by the next look.
func (b *hub) glance(ctx context.Context) {
	if len(b.all()) == 0 {
		return
	}
	looked := make(chan struct{})
	go func() {
		defer close(looked)
		b.looking.Lock()
		defer b.looking.Unlock()
		_, _ = b.look(false)
	}()
	select {
	case <-looked:
	case <-ctx.Done():
	}
}

// born makes a domain known, so that its death is told of however early it dies.
func (b *hub) born(domid libxl.Domid, uuid libxl.Uuid) {
	if len(b.all()) == 0 {
		return
	}
	b.looking.Lock()
	defer b.looking.Unlock()
	if b.domains == nil {
		return
	}
	if old, ok := b.domains[domid]; !ok || old.Uuid != uuid {
		if ok {
			for _, w := range b.all() {
				w.tell(death(old))
			}
		}
		b.domains[domid] = libxl.Dominfo{Domid: domid, Uuid: uuid}
		_ = b.follow(nil)
	}
}

func shutdown(d libxl.Dominfo) Event {
	return Event{Type: libxl.EventTypeDomainShutdown, Domid: d.Domid, Uuid: d.Uuid, Reason: d.ShutdownReason}
}

func death(d libxl.Dominfo) Event {
	return Event{Type: libxl.EventTypeDomainDeath, Domid: d.Domid, Uuid: d.Uuid}
}
