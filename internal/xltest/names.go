package xltest

import (
	"fmt"
	"os"
	"strconv"

	"github.com/go-xenlight/xenlight/libxl"
)

const (
	namesSection  = "Names and sizes"
	lookupSection = "Devices: look up"
)

var nameChecks = []check{
	{namesSection, "a domain is found by its name and by what a user writes", checkDomainNames},
	{namesSection, "a CPU pool is found by its name and by what a user writes", checkPoolNames},
	{namesSection, "shadow memory grows with memory and vCPUs", checkShadowMemory},
	{namesSection, "a log file is rotated", checkLogfile},
	{lookupSection, "a disk is found by its name, a card by its number and by its address", checkLookup},
	{lookupSection, "devices that a domain does not have are not found", checkLookupErrors},
}

func checkDomainNames(t *T) {
	g := t.create(t.config(t.plain()))
	name := g.Config.CInfo.Name
	for domid, want := range map[libxl.Domid]string{0: "Domain-0", g.Domid: name} {
		got, err := t.Host.DomidToName(domid)
		t.ok(err, "DomidToName")
		equal(t, fmt.Sprintf("DomidToName(%d)", domid), got, want)
		back, err := t.Host.NameToDomid(want)
		t.ok(err, "NameToDomid")
		equal(t, fmt.Sprintf("NameToDomid(%q)", want), back, domid)
		for _, qualifier := range []string{want, strconv.Itoa(int(domid))} {
			found, err := t.Host.DomainQualifierToDomid(qualifier)
			t.ok(err, "DomainQualifierToDomid")
			equal(t, fmt.Sprintf("DomainQualifierToDomid(%q)", qualifier), found, domid)
		}
	}
	_, err := t.Host.NameToDomid(name + "-not")
	wantCode(t, "NameToDomid of nobody's name", err, libxl.ErrorInval)
	_, err = t.Host.DomainQualifierToDomid(name + "-not")
	wantCode(t, "DomainQualifierToDomid of nobody's name", err, libxl.ErrorInval)
	for _, bad := range []string{"", "32752", "4294967296", "99999999999999999999", "a\x00b"} {
		_, err = t.Host.DomainQualifierToDomid(bad)
		wantField(t, fmt.Sprintf("DomainQualifierToDomid(%q)", bad), err, "qualifier")
	}

	stubdom, err := t.Host.GetStubdomId(g.Domid)
	t.ok(err, "GetStubdomId")
	equal(t, "GetStubdomId of a PV guest", stubdom, 0)
	_, is, err := t.Host.IsStubdom(g.Domid)
	t.ok(err, "IsStubdom")
	equal(t, "IsStubdom of a guest", is, false)

	g.destroy()
	_, err = t.Host.DomidToName(g.Domid)
	wantCode(t, "DomidToName of a destroyed domain", err, libxl.ErrorFail)
}

func checkPoolNames(t *T) {
	name, err := t.Host.CpupoolidToName(0)
	t.ok(err, "CpupoolidToName")
	equal(t, "CpupoolidToName(0)", name, "Pool-0")
	poolid, err := t.Host.NameToCpupoolid(name)
	t.ok(err, "NameToCpupoolid")
	equal(t, "NameToCpupoolid", poolid, 0)
	for _, qualifier := range []string{name, "0"} {
		poolid, err = t.Host.CpupoolQualifierToCpupoolid(qualifier)
		t.ok(err, "CpupoolQualifierToCpupoolid")
		equal(t, fmt.Sprintf("CpupoolQualifierToCpupoolid(%q)", qualifier), poolid, 0)
	}
	const nobody = 4711
	for id, want := range map[uint32]bool{0: true, nobody: false} {
		valid, err := t.Host.CpupoolidIsValid(id)
		t.ok(err, "CpupoolidIsValid")
		equal(t, fmt.Sprintf("CpupoolidIsValid(%d)", id), valid, want)
	}
	_, err = t.Host.CpupoolidToName(nobody)
	wantCode(t, "CpupoolidToName of no pool", err, libxl.ErrorFail)
	_, err = t.Host.NameToCpupoolid("no such pool")
	wantCode(t, "NameToCpupoolid of no pool", err, libxl.ErrorInval)
	for _, bad := range []string{"", "no such pool"} {
		_, err = t.Host.CpupoolQualifierToCpupoolid(bad)
		wantCode(t, fmt.Sprintf("CpupoolQualifierToCpupoolid(%q)", bad), err, libxl.ErrorInval)
	}
	_, err = t.Host.CpupoolQualifierToCpupoolid("4294967296")
	wantField(t, "CpupoolQualifierToCpupoolid of 2^32", err, "qualifier")
}

func checkShadowMemory(t *T) {
	need := func(memkb uint64, vcpus int) uint64 {
		n, err := t.Host.GetRequiredShadowMemory(memkb, vcpus)
		t.ok(err, "GetRequiredShadowMemory")
		return n
	}
	small, large, many := need(1<<20, 1), need(4<<20, 1), need(1<<20, 8)
	if small == 0 || large <= small || many <= small {
		t.Errorf("of 1 GB %d kB, of 4 GB %d kB, with 8 vCPUs %d kB", small, large, many)
	}
	_, err := t.Host.GetRequiredShadowMemory(1<<20, -1)
	wantField(t, "GetRequiredShadowMemory of -1 vCPUs", err, "vcpus")
}

func checkLogfile(t *T) {
	name := fmt.Sprintf("xltest-%d", os.Getpid())
	path, err := t.Host.CreateLogfile(name)
	t.ok(err, "CreateLogfile")
	t.Cleanup(func() {
		os.Remove(path)
		os.Remove(path + ".1")
	})
	t.ok(os.WriteFile(path, []byte("old"), 0o600), path)
	again, err := t.Host.CreateLogfile(name)
	t.ok(err, "CreateLogfile")
	equal(t, "the path", again, path)
	text, err := os.ReadFile(path + ".1")
	t.ok(err, "the rotated file")
	equal(t, "the rotated file", string(text), "old")
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", path, err)
	}
}

func checkLookup(t *T) {
	dev := t.loopDevice(t.file("found\n", diskSize))
	c := t.config(t.plain())
	c.Disks = []libxl.DeviceDisk{*disk("xvdf", dev, libxl.DiskBackendPhy)}
	c.Nics = []libxl.DeviceNic{*t.nic("xltest"), *t.nic("xltest")}
	for i := range c.Nics {
		c.Nics[i].Script = "/bin/true" // they carry nothing, and there is no such bridge
	}
	g := t.create(c)

	found, err := t.Host.VdevToDeviceDisk(g.Domid, "xvdf")
	t.ok(err, "VdevToDeviceDisk")
	equal(t, "PdevPath", found.PdevPath, dev)
	for i := range c.Nics {
		card, err := t.Host.DevidToDeviceNic(g.Domid, i)
		t.ok(err, "DevidToDeviceNic")
		equal(t, "Mac of the card with the number", card.Mac, c.Nics[i].Mac)
		card, err = t.Host.MacToDeviceNic(g.Domid, c.Nics[i].Mac)
		t.ok(err, "MacToDeviceNic")
		equal(t, "Devid of the card with the address", card.Devid, libxl.Devid(i))
		equal(t, "Bridge of the card with the address", card.Bridge, "xltest")
	}
	_, err = t.Host.MacToDeviceNic(g.Domid, libxl.NewMac())
	wantCode(t, "MacToDeviceNic of another address", err, libxl.ErrorInval)
}

func checkLookupErrors(t *T) {
	g := t.create(t.config(t.plain()))
	type lookup struct {
		name string
		f    func() error
		want libxl.Error
	}
	for _, l := range []lookup{
		{"VdevToDeviceDisk of no disk", func() (err error) { _, err = t.Host.VdevToDeviceDisk(g.Domid, "xvdq"); return }, libxl.ErrorFail},
		{"VdevToDeviceDisk of no name", func() (err error) { _, err = t.Host.VdevToDeviceDisk(g.Domid, "nonsense"); return }, libxl.ErrorInval},
		{"MacToDeviceNic", func() (err error) { _, err = t.Host.MacToDeviceNic(g.Domid, libxl.NewMac()); return }, libxl.ErrorFail},
		{"DevidToDeviceNic", func() (err error) { _, err = t.Host.DevidToDeviceNic(g.Domid, 7); return }, libxl.ErrorNotfound},
		{"DevidToDeviceUsbctrl", func() (err error) { _, err = t.Host.DevidToDeviceUsbctrl(g.Domid, 7); return }, libxl.ErrorNotfound},
		{"CtrlportToDeviceUsbdev", func() (err error) { _, err = t.Host.CtrlportToDeviceUsbdev(g.Domid, 7, 1); return }, libxl.ErrorNotfound},
		{"DevidToDeviceVkb", func() (err error) { _, err = t.Host.DevidToDeviceVkb(g.Domid, 7); return }, libxl.ErrorNotfound},
		{"DevidToDeviceVdispl", func() (err error) { _, err = t.Host.DevidToDeviceVdispl(g.Domid, 7); return }, libxl.ErrorNotfound},
		{"DevidToDeviceVsnd", func() (err error) { _, err = t.Host.DevidToDeviceVsnd(g.Domid, 7); return }, libxl.ErrorNotfound},
		{"DevidToDeviceVtpm", func() (err error) { _, err = t.Host.DevidToDeviceVtpm(g.Domid, 7); return }, libxl.ErrorFail},
		{"UuidToDeviceVtpm", func() (err error) { _, err = t.Host.UuidToDeviceVtpm(g.Domid, libxl.NewUuid()); return }, libxl.ErrorFail},
	} {
		wantCode(t, l.name, l.f(), l.want)
	}
}
