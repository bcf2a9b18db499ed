package xenlight

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/go-xenlight/xenlight/internal/fakexl"
	"github.com/go-xenlight/xenlight/libxl"
)

func TestEjectionsReachThoseWhoAskForThem(t *testing.T) {
	h := openFake(t)
	listening := func() int {
		n, err := h.GetMaxNodes()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	create := func() libxl.Domid {
		domid, err := h.DomainCreateNew(t.Context(), fakeGuest(fakexl.Create(fakexl.Inline, 0)))
		if err != nil {
			t.Fatal(err)
		}
		return domid
	}
	first := create()
	watches := map[string]func() (Event, error, bool){}
	begin := func(name string, events iter.Seq2[Event, error]) {
		next, stop := iter.Pull2(events)
		t.Cleanup(stop)
		watches[name] = next
	}
	begin("one", h.DomainEvents(ctx, first, WithEjects()))
	if n := listening(); n != 1 {
		t.Errorf("one drive is asked for: libxl is asked about %d", n)
	}
	begin("all", h.Events(ctx, WithEjects()))
	begin("another all", h.Events(ctx, WithEjects()))
	begin("not asked", h.Events(ctx))
	second := create()
	if n := listening(); n != 3 { // dom0's too
		t.Errorf("three drives are asked for: libxl is asked about %d", n)
	}
	for _, domid := range []libxl.Domid{second, first} {
		drive := &libxl.DeviceDisk{Vdev: "hdc"}
		if err := h.CdromInsert(t.Context(), domid, drive); err != nil { // the fake's guest ejects
			t.Fatal(err)
		}
		if err := h.DomainDestroy(t.Context(), domid); err != nil {
			t.Fatal(err)
		}
	}
	// What happens to one domain is told in order.
	told := func(name string, n int) map[libxl.Domid][]libxl.EventType {
		got := map[libxl.Domid][]libxl.EventType{}
		for range n {
			ev, err, ok := watches[name]()
			if err != nil || !ok {
				t.Fatalf("%s: %v", name, err)
			}
			got[ev.Domid] = append(got[ev.Domid], ev.Type)
			if ev.Type == libxl.EventTypeDiskEject && (ev.Disk == nil || ev.Disk.Vdev != "hdc") {
				t.Errorf("%s: the disk is %+v", name, ev.Disk)
			}
		}
		return got
	}
	both := []libxl.EventType{libxl.EventTypeDiskEject, libxl.EventTypeDomainDeath}
	for name, want := range map[string]map[libxl.Domid][]libxl.EventType{
		"one": {first: both}, "all": {first: both, second: both}, "another all": {first: both, second: both},
		"not asked": {first: both[1:], second: both[1:]},
	} {
		n := 0
		for _, list := range want {
			n += len(list)
		}
		if got := told(name, n); !maps.EqualFunc(got, want, slices.Equal) {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
	cancel()
	eventually(t, "no drive to be listened to", func() bool { return listening() == 0 })
}

func TestADomainThatIsDestroyedWhileItsCreationLastsDiesOnce(t *testing.T) {
	h, other := openFake(t), openFake(t)
	told := watchHub(t, h.events)
	made, created := make(chan libxl.Domid, 1), make(chan error)
	config := fakeGuest(fakexl.Create(fakexl.Wait, 500*time.Millisecond))
	config.CInfo.Uuid = libxl.Uuid{15: 7}
	go func() {
		_, err := h.DomainCreateNew(t.Context(), config, OnConsole(func(d libxl.Domid) { made <- d }))
		created <- err
	}()
	look := func() {
		h.events.looking.Lock()
		defer h.events.looking.Unlock()
		if _, err := h.events.look(false); err != nil {
			t.Error(err)
		}
	}
	domid := <-made
	look()
	if err := other.DomainDestroy(t.Context(), domid); err != nil {
		t.Fatal(err)
	}
	look()
	if err := <-created; err != nil {
		t.Fatal(err)
	}
	look()
	h.events.looking.Lock()
	defer h.events.looking.Unlock()
	if got, want := told(), fmt.Sprintf("%d/7 death", domid); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestASequenceThatIsUsedAgainEnds(t *testing.T) {
	h := openFake(t)
	domid, err := h.DomainCreateNew(t.Context(), fakeGuest(fakexl.Ends(fakexl.Create(fakexl.Inline, 0), libxl.ShutdownReasonCrash)))
	if err != nil {
		t.Fatal(err)
	}
	events := h.DomainEvents(t.Context(), domid)
	if err := h.DomainUnpause(t.Context(), domid); err != nil {
		t.Fatal(err)
	}
	for range events {
		break
	}
	for ev, err := range events {
		t.Errorf("got %+v, %v", ev, err)
	}
	if err := h.DomainDestroy(t.Context(), domid); err != nil {
		t.Fatal(err)
	}
}

func TestTheReasonOfADomainThatIsDestroyedAtOnceIsTold(t *testing.T) {
	h, other := openFake(t), openFake(t)
	const rounds = 100
	events := h.Events(t.Context())
	for i := range rounds {
		domid, err := h.DomainCreateNew(t.Context(), fakeGuest(fakexl.Ends(fakexl.Create(fakexl.Inline, 0), libxl.ShutdownReasonCrash)))
		if err == nil {
			err = h.DomainUnpause(t.Context(), domid)
		}
		for err == nil {
			var info libxl.Dominfo
			if info, err = h.DomainInfo(domid); info.Shutdown {
				break
			}
		}
		if err == nil {
			err = []*Host{h, other}[i%2].DomainDestroy(t.Context(), domid)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	told := map[libxl.EventType]int{}
	for ev, err := range events {
		if err != nil {
			t.Fatal(err)
		}
		if told[ev.Type]++; told[libxl.EventTypeDomainDeath] == rounds {
			break
		}
	}
	if n := told[libxl.EventTypeDomainShutdown]; n != rounds {
		t.Errorf("%d of %d shutdowns were told", n, rounds)
	}
}

func TestAHostDestroysWhatTheHubsOfAllOthersHaveSeen(t *testing.T) {
	h := openFake(t)
	var d domains
	d.now(dom(1, 1, ""))
	seen, busy := newHub(d.get, nil), make(chan struct{})
	looking := newHub(func() ([]libxl.Dominfo, error) {
		<-busy
		return nil, nil
	}, nil)
	looking.watchers[&watcher{more: make(chan struct{}, 1)}] = struct{}{}
	for _, other := range []*hub{looking, seen} {
		hubs.Store(other, nil)
		defer hubs.Delete(other)
	}
	told := watchHub(t, seen)
	d.now(dom(1, 1, "shutdown crash"))
	// Nothing else ends what waits for the one that is busy.
	if err := h.DomainDestroy(context.Background(), 1<<14); !errors.Is(err, libxl.ErrorDomainNotfound) {
		t.Error(err)
	}
	close(busy)
	if got := told(); got != "1/1 crash" {
		t.Errorf("got %q", got)
	}
	known := func() bool {
		_, ok := hubs.Load(h.events)
		return ok
	}
	if !known() {
		t.Error("the hub of an open Host is not known")
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the hub of a closed Host to be forgotten", func() bool { return !known() })
}
