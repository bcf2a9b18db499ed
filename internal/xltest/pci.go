package xltest

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-xenlight/xenlight"
	"github.com/go-xenlight/xenlight/libxl"
)

const pciSection = "PCI"

var pciChecks = []check{
	{pciSection, "a PV guest gets devices of the host, and the host gets them back", checkPci},
	{pciSection, "what cannot be given to a guest is refused", checkPciErrors},
}

// spareCard and spareDevice are what xenbox's machine has for guests: a network
// card, which dom0 has a driver for, and a device which it has none for.
var (
	spareCard   = pci(0x10)
	spareDevice = pci(0x11)
)

// pci describes the device in a slot of the host's first bus.
func pci(slot byte) libxl.DevicePci {
	d := libxl.NewDevicePci()
	d.Dev = slot
	return *d
}

// pciDriver is the name of the driver of the device in a slot, if it has one.
func pciDriver(slot string) string {
	link, _ := os.Readlink("/sys/bus/pci/devices/0000:00:" + slot + ".0/driver")
	return filepath.Base(link)
}

// module loads a module of dom0's kernel until the end of the check.
func (t *T) module(name string) {
	if _, err := os.Stat("/sys/module/" + strings.ReplaceAll(name, "-", "_")); err == nil {
		return
	}
	if out, err := exec.CommandContext(t.ctx, "modprobe", name).CombinedOutput(); err != nil {
		t.Cannot("dom0 has no module %s: %s", name, out)
	}
	t.Cleanup(func() { _ = exec.Command("modprobe", "-r", name).Run() })
}

// needSpares ends the check on hosts whose devices are in use.
func (t *T) needSpares() {
	for slot, want := range map[string]string{"10": "0x8086", "11": "0x1234"} {
		vendor, _ := os.ReadFile("/sys/bus/pci/devices/0000:00:" + slot + ".0/vendor")
		if !throwAway() || strings.TrimSpace(string(vendor)) != want {
			t.Cannot("no PCI devices to spare: these are xenbox's")
		}
	}
}

// assignable tells whether libxl lists a device as one for guests.
func (t *T) assignable(d libxl.DevicePci) bool {
	all, err := t.Host.DevicePciAssignableList()
	t.ok(err, "DevicePciAssignableList")
	return slices.ContainsFunc(all, func(l libxl.DevicePci) bool { return l.Bus == d.Bus && l.Dev == d.Dev && l.Func == d.Func })
}

func checkPci(t *T) {
	t.needSpares()
	t.module("xen-pciback")
	t.module("e1000")
	t.until("the card's driver", func() bool { return pciDriver("10") == "e1000" })
	card, device := spareCard, spareDevice
	t.Cleanup(func() {
		// Of use after a failure only.
		for _, d := range []libxl.DevicePci{spareCard, spareDevice} {
			if t.assignable(d) {
				t.ok(t.Host.DevicePciAssignableRemove(&d, true), "DevicePciAssignableRemove")
			}
		}
	})
	equal(t, "card assignable", t.assignable(card), false)
	t.ok(t.Host.DevicePciAssignableAdd(&card, true), "DevicePciAssignableAdd")
	t.ok(t.Host.DevicePciAssignableAdd(&card, true), "DevicePciAssignableAdd again")
	equal(t, "the card's driver", pciDriver("10"), "pciback")
	equal(t, "card assignable", t.assignable(card), true)

	c := t.config(libxl.DomainTypePv)
	c.CInfo.Passthrough = libxl.PassthroughEnabled
	g := t.create(c)
	g.boot()
	g.sh("modprobe xen-pcifront")
	device.Seize = true // without making it assignable
	for _, give := range []struct {
		d     libxl.DevicePci
		id    string // that the guest finds
		what  string
		leave change[libxl.DevicePci]
	}{
		{card, "0x100e", "DevicePciRemove", (*xenlight.Host).DevicePciRemove},
		{device, "0x11e8", "DevicePciDestroy", (*xenlight.Host).DevicePciDestroy},
	} {
		t.ok(t.Host.DevicePciAdd(t.ctx, g.Domid, &give.d), "DevicePciAdd")
		g.await("the device "+give.id, "grep -q "+give.id+" /sys/bus/pci/devices/*/device")
		all, err := t.Host.DevicePciList(g.Domid)
		t.ok(err, "DevicePciList")
		if len(all) != 1 || all[0].Dev != give.d.Dev {
			t.Errorf("DevicePciList: %+v", all)
		}
		equal(t, "assignable while a guest has it", t.assignable(give.d), false)
		wantError(t, "DevicePciAdd of a device that a guest has", t.Host.DevicePciAdd(t.ctx, g.Domid, &give.d))
		t.ok(give.leave(t.Host, t.ctx, g.Domid, &give.d), give.what)
		g.await("the device "+give.id+" to go", "! grep -q "+give.id+" /sys/bus/pci/devices/*/device 2>/dev/null")
		all, err = t.Host.DevicePciList(g.Domid)
		t.ok(err, "DevicePciList")
		equal(t, "number of devices after "+give.what, len(all), 0)
		equal(t, "assignable after "+give.what, t.assignable(give.d), true)
	}
	g.destroy()
	t.ok(t.Host.DevicePciAssignableRemove(&card, true), "DevicePciAssignableRemove")
	equal(t, "the card's driver", pciDriver("10"), "e1000")
	t.ok(t.Host.DevicePciAssignableRemove(&device, false), "DevicePciAssignableRemove")
	equal(t, "device assignable", t.assignable(device), false)
}

func checkPciErrors(t *T) {
	g := t.still()
	missing := pci(0x1e)
	wantCode(t, "DevicePciAssignableAdd of a device that is not there", t.Host.DevicePciAssignableAdd(&missing, true), libxl.ErrorFail)
	wantError(t, "DevicePciAssignableAdd of nothing", t.Host.DevicePciAssignableAdd(nil, true))
	wantError(t, "DevicePciAssignableRemove of nothing", t.Host.DevicePciAssignableRemove(nil, true))
	// What is gone is as good as destroyed, with its domain too.
	t.ok(t.Host.DevicePciDestroy(t.ctx, g.Domid, &missing), "DevicePciDestroy of a device that is not there")
	t.ok(t.Host.DevicePciDestroy(t.ctx, nobody, &missing), "DevicePciDestroy in no domain")
	wantError(t, "DevicePciDestroy of nothing", t.Host.DevicePciDestroy(t.ctx, g.Domid, nil))
	for what, change := range map[string]change[libxl.DevicePci]{
		"DevicePciAdd":    (*xenlight.Host).DevicePciAdd,
		"DevicePciRemove": (*xenlight.Host).DevicePciRemove,
	} {
		wantError(t, what+" of a device that is not there", change(t.Host, t.ctx, g.Domid, &missing))
		wantError(t, what+" in no domain", change(t.Host, t.ctx, nobody, &missing))
		wantError(t, what+" of nothing", change(t.Host, t.ctx, g.Domid, nil))
	}
	all, err := t.Host.DevicePciList(g.Domid)
	t.ok(err, "DevicePciList")
	equal(t, "number of devices", len(all), 0)
	_, err = t.Host.DevicePciList(nobody)
	wantError(t, "DevicePciList of no domain", err)
}
