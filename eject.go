package xenlight

import (
	"github.com/go-xenlight/xenlight/internal/capi"
	"github.com/go-xenlight/xenlight/libxl"
)

// EventOption changes what [Host.Events] and [Host.DomainEvents] tell.
type EventOption func(*watcher)

// WithEjects tells as well when a guest ejects the medium of a drive, for the
// drives, disks that are CD-ROMs or removable, that a domain has when it is first
// seen. The medium stays in the drive until [Host.CdromInsert] takes it out. As a
// guest may eject it again and again, a watch is not told anew of a drive as long
// as the program has not fetched what it was told of it before.
//
// All watches of one Host are told. But libxl answers the guest as soon as it has
// noticed, so that of several Hosts and programs only one is told: xl also listens
// to the guests that it has made. So do this only for guests of your own. It calls
// libxl_evenable_disk_eject.
func WithEjects() EventOption { return func(w *watcher) { w.ejects = true } }

// ejectsAgain tells whether both are ejections of the same drive's medium.
func (ev Event) ejectsAgain(before Event) bool {
	return ev.Disk != nil && before.Disk != nil && ev.Disk.Vdev == before.Disk.Vdev &&
		ev.Domid == before.Domid && ev.Uuid == before.Uuid
}

// drives are those of a domain that the hub listens to.
type drives struct {
	uuid   libxl.Uuid
	disarm func()
}

// follow listens to the drives of the domains for which a watcher wants to know,
// and to no others. The error is that of the domain which is asked for. The caller
// holds looking.
func (b *hub) follow(asked *libxl.Domid) (err error) {
	wanted := func(domid libxl.Domid, uuid libxl.Uuid) bool {
		for _, w := range b.all() {
			if w.ejects && (w.domid == nil || *w.domid == domid && w.uuid == uuid) {
				return true
			}
		}
		return false
	}
	for domid, a := range b.drives {
		if d, ok := b.domains[domid]; !ok || d.Uuid != a.uuid || !wanted(domid, a.uuid) {
			a.disarm()
			delete(b.drives, domid)
		}
	}
	for domid, d := range b.domains {
		if _, ok := b.drives[domid]; ok || !wanted(domid, d.Uuid) {
			continue
		}
		disarm, fault := b.arm(domid, func(ev *libxl.Event) {
			eject, ok := ev.TypeUnion.(*libxl.EventTypeUnionDiskEject)
			if !ok {
				return
			}
			for _, w := range b.all() {
				if w.ejects {
					w.tell(Event{Type: ev.Type, Domid: domid, Uuid: d.Uuid, Disk: eject.Disk.Clone()})
				}
			}
		})
		switch {
		case fault == nil:
			b.drives[domid] = drives{d.Uuid, disarm}
		case asked != nil && *asked == domid:
			err = fault
		}
		// Another one may just be dying: there is a next look.
	}
	return err
}

// armEjects listens to a domain's drives until disarm is called. tell runs on the
// pump: it must not block or call libxl.
func (h *Host) armEjects(domid libxl.Domid, tell func(*libxl.Event)) (disarm func(), err error) {
	var undo []func()
	disarm = func() {
		for _, u := range undo {
			u()
		}
	}
	disks, err := h.DeviceDiskList(domid)
	for _, d := range disks {
		if err != nil {
			break
		}
		if d.IsCdrom == 0 && d.Removable == 0 {
			continue
		}
		id := h.loop.Handle(func(ev *libxl.Event) {
			// libxl looks for the name in the guest's folder, where it is not, unless the
			// guest has written one there.
			if eject, ok := ev.TypeUnion.(*libxl.EventTypeUnionDiskEject); ok {
				eject.Disk.Vdev = d.Vdev
			}
			tell(ev)
		})
		undo = append(undo, func() { h.loop.Forget(id) })
		f := h.beginDomain(capi.FnEvenableDiskEject, domid)
		vdev := f.str("vdev", d.Vdev)
		var evgen capi.Ptr
		if err = f.call(func(c capi.Ctx) int32 {
			return h.lib.EvenableDiskEject(c, uint32(domid), vdev, id, &evgen)
		}); err == nil {
			undo = append(undo, func() {
				// On a Host that closes, libxl does it itself.
				_ = h.begin(capi.FnEvdisableDiskEject).call(func(c capi.Ctx) int32 {
					h.lib.EvdisableDiskEject(c, evgen)
					return 0
				})
			})
		}
	}
	if err != nil {
		disarm()
	}
	return disarm, err
}
