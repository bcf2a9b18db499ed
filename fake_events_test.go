package xenlight

import (
	"context"
	"iter"
	"testing"

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
	type step struct {
		domid libxl.Domid
		kind  libxl.EventType
	}
	both := []step{{second, libxl.EventTypeDiskEject}, {second, libxl.EventTypeDomainDeath},
		{first, libxl.EventTypeDiskEject}, {first, libxl.EventTypeDomainDeath}}
	for name, want := range map[string][]step{"one": both[2:], "all": both, "another all": both, "not asked": {both[1], both[3]}} {
		for i, s := range want {
			ev, err, ok := watches[name]()
			if err != nil || !ok || ev.Domid != s.domid || ev.Type != s.kind {
				t.Errorf("%s: event %d: got %v of domain %d (%v), want %v of domain %d", name, i, ev.Type, ev.Domid, err, s.kind, s.domid)
				break
			}
			if s.kind == libxl.EventTypeDiskEject && (ev.Disk == nil || ev.Disk.Vdev != "hdc") {
				t.Errorf("%s: the disk is %+v", name, ev.Disk)
			}
		}
	}
	cancel()
	eventually(t, "no drive to be listened to", func() bool { return listening() == 0 })
}
