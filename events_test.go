package xenlight

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-xenlight/xenlight/libxl"
)

// domains is a host's list of domains, as a script.
type domains struct {
	sync.Mutex
	list []libxl.Dominfo
	err  error
}

func (d *domains) now(list ...libxl.Dominfo) {
	d.Lock()
	defer d.Unlock()
	d.list = list
}

func (d *domains) get() ([]libxl.Dominfo, error) {
	d.Lock()
	defer d.Unlock()
	return slices.Clone(d.list), d.err
}

// dom describes a domain: its number, the last byte of its UUID, and its state,
// as "shutdown crash dying".
func dom(id libxl.Domid, uuid byte, state string) libxl.Dominfo {
	d := libxl.Dominfo{Domid: id, Uuid: libxl.Uuid{15: uuid}, ShutdownReason: libxl.ShutdownReasonUnknown}
	for word := range strings.FieldsSeq(state) {
		switch word {
		case "shutdown":
			d.Shutdown = true
		case "dying":
			d.Dying = true
		default:
			d.ShutdownReason, _ = libxl.ShutdownReasonFromString(word)
		}
	}
	return d
}

// watchHub begins a watch, and returns what it has been told so far.
func watchHub(t *testing.T, b *hub, domid ...libxl.Domid) func() string {
	t.Helper()
	w := &watcher{more: make(chan struct{}, 1)}
	if len(domid) > 0 {
		w.domid = &domid[0]
	}
	if err := b.join(w); err != nil {
		t.Fatal(err)
	}
	return func() string {
		var got []string
		for len(w.queue) > 0 {
			ev, err := w.next(context.Background(), context.Background())
			if err != nil {
				t.Fatal(err)
			}
			s := fmt.Sprintf("%d/%d", ev.Domid, ev.Uuid[15])
			if ev.Type == libxl.EventTypeDomainShutdown {
				s += " " + ev.Reason.String()
			} else {
				s += " " + strings.TrimPrefix(ev.Type.String(), "domain_")
			}
			got = append(got, s)
		}
		if w.ended {
			got = append(got, "end")
		}
		return strings.Join(got, ", ")
	}
}

func TestWatchersAreToldEachChangeOnce(t *testing.T) {
	zero := dom(0, 0, "")
	var d domains
	d.now(zero, dom(1, 1, ""), dom(2, 2, "shutdown crash"))
	b := newHub(d.get, nil)
	all, one, two := watchHub(t, b), watchHub(t, b, 1), watchHub(t, b, 2)
	for i, step := range []struct {
		list          []libxl.Dominfo
		all, one, two string
	}{
		{[]libxl.Dominfo{zero, dom(1, 1, ""), dom(2, 2, "shutdown crash")}, "2/2 crash", "", "2/2 crash"},
		{[]libxl.Dominfo{zero, dom(1, 1, ""), dom(2, 2, "shutdown crash")}, "", "", ""},
		{[]libxl.Dominfo{zero, dom(1, 1, "shutdown suspend"), dom(2, 2, "shutdown crash dying")},
			"2/2 death, 1/1 suspend", "1/1 suspend", "2/2 death, end"},
		{[]libxl.Dominfo{zero, dom(1, 1, "shutdown suspend"), dom(2, 2, "shutdown crash dying")}, "", "", "end"},
		{[]libxl.Dominfo{zero, dom(1, 1, "")}, "", "", "end"}, // it resumes
		{[]libxl.Dominfo{zero, dom(1, 1, "shutdown suspend"), dom(3, 3, "shutdown poweroff")},
			"1/1 suspend, 3/3 poweroff", "1/1 suspend", "end"},
		{[]libxl.Dominfo{zero, dom(1, 1, "shutdown reboot"), dom(3, 3, "shutdown poweroff")}, "1/1 reboot", "1/1 reboot", "end"},
		// Another domain has the number.
		{[]libxl.Dominfo{zero, dom(1, 9, "shutdown crash"), dom(3, 3, "shutdown poweroff")},
			"1/1 death, 1/9 crash", "1/1 death, end", "end"},
		{[]libxl.Dominfo{zero, dom(1, 9, "shutdown crash"), dom(4, 4, "")}, "3/3 death", "end", "end"},
		// Somebody destroys it as soon as it has shut down.
		{[]libxl.Dominfo{zero, dom(1, 9, "shutdown crash"), dom(4, 4, "shutdown poweroff dying")}, "4/4 poweroff, 4/4 death", "end", "end"},
		{[]libxl.Dominfo{zero}, "1/9 death", "end", "end"},
		{[]libxl.Dominfo{zero, dom(5, 5, "dying")}, "", "end", "end"},
	} {
		d.now(step.list...)
		if _, err := b.look(false); err != nil {
			t.Fatal(err)
		}
		for name, got := range map[string][2]string{"all": {all(), step.all}, "one": {one(), step.one}, "two": {two(), step.two}} {
			if got[0] != got[1] {
				t.Errorf("%d: %s: got %q, want %q", i, name, got[0], got[1])
			}
		}
	}
}

func TestAWatchOfADomainThatDiesOrIsNotThere(t *testing.T) {
	var d domains
	d.now(dom(1, 1, "shutdown poweroff dying"), dom(2, 2, "dying"))
	b := newHub(d.get, nil)
	if got := watchHub(t, b, 1)(); got != "1/1 poweroff, 1/1 death, end" {
		t.Errorf("got %q", got)
	}
	if got := watchHub(t, b, 2)(); got != "2/2 death, end" {
		t.Errorf("got %q", got)
	}
	if got := watchHub(t, b)(); got != "" {
		t.Errorf("got %q", got)
	}
	three := libxl.Domid(3)
	if err := b.join(&watcher{domid: &three}); !errors.Is(err, libxl.ErrorDomainNotfound) {
		t.Errorf("got %v", err)
	}
}

func TestADomainThatDiesBeforeItIsSeenIsToldOf(t *testing.T) {
	var d domains
	d.now(dom(0, 0, ""))
	b := newHub(d.get, nil)
	b.born(6, libxl.Uuid{15: 6}) // nobody watches
	all := watchHub(t, b)
	b.born(7, libxl.Uuid{15: 7})
	b.born(7, libxl.Uuid{15: 8})
	b.look(false)
	if got := all(); got != "7/7 death, 7/8 death" {
		t.Errorf("got %q", got)
	}
}

func TestADeathIsToldOnceHoweverLongTheCreationLasts(t *testing.T) {
	var d domains
	d.now(dom(0, 0, ""), dom(6, 7, ""))
	b := newHub(d.get, nil)
	all := watchHub(t, b)
	over := b.creating()
	for _, step := range []struct {
		list []libxl.Dominfo
		want string
	}{
		{[]libxl.Dominfo{dom(0, 0, ""), dom(6, 7, ""), dom(7, 7, "")}, ""},
		{[]libxl.Dominfo{dom(0, 0, "")}, "6/7 death, 7/7 death"},
	} {
		d.now(step.list...)
		b.look(false)
		if got := all(); got != step.want {
			t.Errorf("got %q, want %q", got, step.want)
		}
	}
	b.born(7, libxl.Uuid{15: 7})
	b.look(false)
	if got := all(); got != "" {
		t.Errorf("it is told again: %q", got)
	}
	b.born(8, libxl.Uuid{15: 7}) // the same guest, moved from one number to another
	b.look(false)
	if got := all(); got != "8/7 death" {
		t.Errorf("one that nobody has seen: got %q", got)
	}
	over()
	if len(b.buried) != 0 {
		t.Errorf("%v are remembered", b.buried)
	}
}

func TestADomainThatIsCreatedWhileAWatchBeginsIsKnown(t *testing.T) {
	asked, listed := make(chan struct{}, 2), make(chan struct{})
	b := newHub(func() ([]libxl.Dominfo, error) {
		asked <- struct{}{}
		<-listed
		return nil, nil
	}, nil)
	w := &watcher{more: make(chan struct{}, 1)}
	joined, known := make(chan error), make(chan struct{})
	go func() { joined <- b.join(w) }()
	<-asked
	go func() {
		defer close(known)
		b.born(7, libxl.Uuid{15: 7})
	}()
	select {
	case <-known:
		t.Error("it is not known to who joins")
	case <-time.After(20 * time.Millisecond):
	}
	close(listed)
	if err := <-joined; err != nil {
		t.Fatal(err)
	}
	<-known
	b.look(false)
	if len(w.queue) != 1 || w.queue[0].Domid != 7 {
		t.Errorf("got %v", w.queue)
	}
}

func TestAGuestThatEjectsInALoopFillsNoQueue(t *testing.T) {
	var d domains
	d.now(dom(1, 1, ""), dom(2, 2, ""))
	guests := map[libxl.Domid]func(*libxl.Event){}
	b := newHub(d.get, func(domid libxl.Domid, tell func(*libxl.Event)) (func(), error) {
		guests[domid] = tell
		return func() {}, nil
	})
	w := &watcher{ejects: true, more: make(chan struct{}, 1)}
	if err := b.join(w); err != nil {
		t.Fatal(err)
	}
	eject := func(domid libxl.Domid, vdev string) {
		guests[domid](&libxl.Event{Type: libxl.EventTypeDiskEject,
			TypeUnion: &libxl.EventTypeUnionDiskEject{Disk: libxl.DeviceDisk{Vdev: vdev}}})
	}
	told := func() (all []string) {
		for len(w.queue) > 0 {
			ev, err := w.next(t.Context(), t.Context())
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, fmt.Sprint(ev.Domid, ev.Disk.Vdev))
		}
		return all
	}
	for range 100 {
		for _, vdev := range []string{"hdc", "hdd"} {
			eject(1, vdev)
			eject(2, vdev)
		}
	}
	if got, want := told(), []string{"1hdc", "2hdc", "1hdd", "2hdd"}; !slices.Equal(got, want) {
		t.Errorf("got %d: %.10q, want %q", len(got), got, want)
	}
	eject(1, "hdc")
	if got := told(); len(got) != 1 {
		t.Errorf("after all is fetched: got %q", got)
	}
}

func TestWatchersThatLeaveAreForgotten(t *testing.T) {
	var d domains
	d.now(dom(1, 1, ""))
	b := newHub(d.get, nil)
	w := &watcher{more: make(chan struct{}, 1)}
	b.join(w)
	b.leave(w)
	if len(b.watchers) != 0 {
		t.Errorf("%d watchers", len(b.watchers))
	}
	// What happens while nobody watches is of no interest to the next one.
	d.now()
	if got := watchHub(t, b)(); got != "" {
		t.Errorf("got %q", got)
	}
}

func TestAWatchDoesNotWaitForABusyLibxlLongerThanItsContext(t *testing.T) {
	busy, asked := make(chan struct{}), make(chan struct{}, 2)
	b := newHub(func() ([]libxl.Dominfo, error) {
		asked <- struct{}{}
		<-busy
		return nil, nil
	}, nil)
	b.watchers[&watcher{more: make(chan struct{}, 1)}] = struct{}{}
	for what, wait := range map[string]func(context.Context) error{
		"watch":   func(ctx context.Context) error { return b.enlist(ctx, &watcher{more: make(chan struct{}, 1)}) },
		"destroy": func(ctx context.Context) error { b.glance(ctx); return context.Cause(ctx) },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(10*time.Millisecond, cancel)
		if err := wait(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v", what, err)
		}
	}
	close(busy)
	<-asked
	<-asked
	eventually(t, "the watch to be forgotten", func() bool { return len(b.all()) == 1 })
}

func TestRunEndsAllWatchesWhenTheDomainsCannotBeListed(t *testing.T) {
	var d domains
	d.now(dom(1, 1, ""))
	b := newHub(d.get, nil)
	w := &watcher{more: make(chan struct{}, 1)}
	b.join(w)
	life, end := context.WithCancelCause(t.Context())
	released := make(chan struct{})
	go b.run(life, released)
	released <- struct{}{}
	mine := errors.New("mine")
	d.Lock()
	d.list, d.err = nil, mine
	d.Unlock()
	released <- struct{}{}
	if ev, err := w.next(t.Context(), life); ev != nil || !errors.Is(err, mine) {
		t.Errorf("got %v, %v", ev, err)
	}
	end(ErrBroken)
	<-b.done
	w = &watcher{more: make(chan struct{}, 1)}
	w.push(false, nil, Event{Domid: 1})
	if ev, err := w.next(t.Context(), life); err != nil || ev.Domid != 1 {
		t.Errorf("what was told before the end: got %v, %v", ev, err)
	}
	if ev, err := w.next(t.Context(), life); ev != nil || !errors.Is(err, ErrBroken) {
		t.Errorf("got %v, %v", ev, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if ev, err := w.next(ctx, t.Context()); ev != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, %v", ev, err)
	}
}
