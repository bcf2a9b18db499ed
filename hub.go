package xenlight

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/go-xenlight/xenlight/internal/loop"
	"github.com/go-xenlight/xenlight/libxl"
)

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

	mu        sync.Mutex
	watchers  map[*watcher]struct{}
	creations int                        // of this Host's, in progress
	buried    map[libxl.Domid]libxl.Uuid // whose death was told meanwhile
}

func newHub(list func() ([]libxl.Dominfo, error),
	arm func(libxl.Domid, func(*libxl.Event)) (func(), error)) *hub {
	return &hub{list: list, arm: arm, left: make(chan struct{}, 1), done: make(chan struct{}),
		drives: map[libxl.Domid]drives{}, watchers: map[*watcher]struct{}{}, buried: map[libxl.Domid]libxl.Uuid{}}
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
		return loop.Reason(ctx)
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
		return loop.Reason(ctx)
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
			dead = append(dead, b.bury(old))
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

// hubs are those of the process's Hosts that are neither closed nor broken.
var hubs sync.Map // of *hub

// glanceAll has the hubs of all Hosts glance. Those of others may be busy with a
// guest of theirs: it waits for them no longer than a look is apart from the next.
func (b *hub) glanceAll(ctx context.Context) {
	brief, cancel := context.WithTimeout(ctx, pollInterval)
	defer cancel()
	var others sync.WaitGroup
	for other := range hubs.Range {
		if other != b {
			others.Go(func() { other.(*hub).glance(brief) })
		}
	}
	b.glance(ctx)
	others.Wait()
}

// creating says that a creation begins, which over ends. It must enclose born.
func (b *hub) creating() (over func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.creations++
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.creations--; b.creations == 0 {
			clear(b.buried)
		}
	}
}

// bury is the event of a death, kept in mind for those who are being created.
func (b *hub) bury(d libxl.Dominfo) Event {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.creations > 0 {
		b.buried[d.Domid] = d.Uuid
	}
	return death(d)
}

// told tells whether a domain that has just been created is known to be dead: a
// look may see it while its creation lasts.
func (b *hub) told(domid libxl.Domid, uuid libxl.Uuid) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	dead, ok := b.buried[domid]
	return ok && dead == uuid
}

// born makes a domain known, so that its death is told of however early it dies.
// Somebody may just be joining, with a list that does not have it.
func (b *hub) born(domid libxl.Domid, uuid libxl.Uuid) {
	b.looking.Lock()
	defer b.looking.Unlock()
	if b.domains == nil || b.told(domid, uuid) {
		return
	}
	if old, ok := b.domains[domid]; !ok || old.Uuid != uuid {
		if ok {
			last := b.bury(old)
			for _, w := range b.all() {
				w.tell(last)
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
