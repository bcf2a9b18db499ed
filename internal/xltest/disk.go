package xltest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"github.com/go-xenlight/xenlight/libxl"
)

const diskSection = "Devices: Disk"

var diskChecks = []check{
	{diskSection, "a PV guest reads what dom0 wrote, and the other way round: raw by loop device and by QEMU, and qcow2", checkBootDisks},
	{diskSection, "disks come to and leave a running PVH guest", checkHotDisks},
	{diskSection, "an HVM guest reads a CD-ROM, which is ejected and changed", checkCdrom},
	{diskSection, "what cannot be a disk is refused", checkDiskErrors},
}

const diskSize = 8 << 20

// disk describes a raw disk image.
func disk(vdev, path string, backend libxl.DiskBackend) *libxl.DeviceDisk {
	d := libxl.NewDeviceDisk()
	d.Vdev, d.PdevPath, d.Backend, d.Format, d.Readwrite = vdev, path, backend, libxl.DiskFormatRaw, 1
	return d
}

// loopDevice makes a block device of a file, until the end of the check.
func (t *T) loopDevice(file string) string {
	dev, _ := t.loop(file)
	return dev
}

// loop is loopDevice, and also returns what makes the device go before.
func (t *T) loop(file string) (dev string, detach func()) {
	out, err := exec.CommandContext(t.ctx, "losetup", "--find", "--show", file).Output()
	t.ok(err, "losetup")
	dev = strings.TrimSpace(string(out))
	detach = sync.OnceFunc(func() { _ = exec.Command("losetup", "--detach", dev).Run() })
	t.Cleanup(detach)
	return dev, detach
}

// needQemu ends the check where dom0 has no device model.
func (t *T) needQemu() {
	for _, pattern := range []string{"/usr/lib/xen*/bin/qemu-system-*", "/usr/libexec/*qemu-system-*", "/usr/bin/qemu-system-*"} {
		if found, _ := filepath.Glob(pattern); len(found) > 0 {
			return
		}
	}
	t.Cannot("dom0 has no QEMU for Xen")
}

func checkBootDisks(t *T) {
	t.needQemu()
	raw, image := t.file("written in dom0: phy\n", diskSize), t.file("written in dom0: qdisk\n", diskSize)
	qcow := image + ".qcow2"
	t.Cleanup(func() { os.Remove(qcow) })
	out, err := exec.CommandContext(t.ctx, "qemu-img", "convert", "-O", "qcow2", image, qcow).CombinedOutput()
	t.ok(err, "qemu-img: "+string(out))

	c := t.config(t.plain())
	c.Disks = []libxl.DeviceDisk{
		*disk("xvda", t.loopDevice(raw), libxl.DiskBackendPhy),
		*disk("xvdb", image, libxl.DiskBackendQdisk),
		*disk("xvdc", qcow, libxl.DiskBackendQdisk),
	}
	c.Disks[2].Format = libxl.DiskFormatQcow2
	g := t.create(c)
	g.boot()
	for dev, want := range map[string]string{"xvda": "phy", "xvdb": "qdisk", "xvdc": "qdisk"} {
		equal(t, dev, g.sh("head -n 1 /dev/%s", dev), "written in dom0: "+want)
		equal(t, "size of "+dev, g.sh("blockdev --getsize64 /dev/%s", dev), fmt.Sprint(diskSize))
		g.sh("echo written in the guest: %s | dd of=/dev/%s bs=512 conv=sync && sync", dev, dev)
	}
	disks, err := t.Host.DeviceDiskList(g.Domid)
	t.ok(err, "DeviceDiskList")
	equal(t, "number of disks", len(disks), 3)
	for i, d := range disks {
		equal(t, "Vdev", d.Vdev, c.Disks[i].Vdev)
		equal(t, "PdevPath", d.PdevPath, c.Disks[i].PdevPath)
		equal(t, "Backend", d.Backend, c.Disks[i].Backend)
		equal(t, "Readwrite", d.Readwrite, 1)
	}
	g.destroy()
	for file, dev := range map[string]string{raw: "xvda", image: "xvdb"} {
		text, err := os.ReadFile(file)
		t.ok(err, file)
		equal(t, "the first line of "+dev, strings.SplitN(string(text), "\n", 2)[0], "written in the guest: "+dev)
	}
	out, err = exec.CommandContext(t.ctx, "qemu-img", "convert", "-O", "raw", qcow, image).CombinedOutput()
	t.ok(err, "qemu-img: "+string(out))
	text, err := os.ReadFile(image)
	t.ok(err, image)
	equal(t, "the first line of xvdc", strings.SplitN(string(text), "\n", 2)[0], "written in the guest: xvdc")
}

func checkHotDisks(t *T) {
	g := t.create(t.config(libxl.DomainTypePvh))
	g.boot()
	disks, err := t.Host.DeviceDiskList(g.Domid)
	t.ok(err, "DeviceDiskList")
	equal(t, "number of disks at first", len(disks), 0)

	dev := t.loopDevice(t.file("hot\n", diskSize))
	for _, leave := range []struct {
		name string
		f    func(*libxl.DeviceDisk) error
	}{
		{"DeviceDiskRemove", func(d *libxl.DeviceDisk) error { return t.Host.DeviceDiskRemove(t.ctx, g.Domid, d) }},
		{"DeviceDiskDestroy", func(d *libxl.DeviceDisk) error { return t.Host.DeviceDiskDestroy(t.ctx, g.Domid, d) }},
		{"DeviceDiskSafeRemove", func(d *libxl.DeviceDisk) error { return t.Host.DeviceDiskSafeRemove(t.ctx, g.Domid, d) }},
	} {
		d := disk("xvdf", dev, libxl.DiskBackendPhy)
		t.ok(t.Host.DeviceDiskAdd(t.ctx, g.Domid, d), "DeviceDiskAdd")
		g.await("the disk", "test -b /dev/xvdf")
		equal(t, "what the guest reads", g.sh("head -n 1 /dev/xvdf"), "hot")

		disks, err = t.Host.DeviceDiskList(g.Domid)
		t.ok(err, "DeviceDiskList")
		if len(disks) != 1 || disks[0].Vdev != "xvdf" || disks[0].PdevPath != dev {
			t.Errorf("DeviceDiskList: %+v", disks)
		}
		info, err := t.Host.DeviceDiskGetinfo(g.Domid, d)
		t.ok(err, "DeviceDiskGetinfo")
		equal(t, "State (connected)", info.State, 4)
		equal(t, "FrontendId", info.FrontendId, uint32(g.Domid))
		equal(t, "BackendId", info.BackendId, 0)

		err = t.Host.DeviceDiskAdd(t.ctx, g.Domid, disk("xvdf", dev, libxl.DiskBackendPhy))
		wantCode(t, "DeviceDiskAdd of a disk that is there", err, libxl.ErrorDeviceExists)

		if err := leave.f(d); leave.name == "DeviceDiskSafeRemove" && t.release() < 15 {
			wantUnsupported(t, leave.name, err)
			t.ok(t.Host.DeviceDiskRemove(t.ctx, g.Domid, d), "DeviceDiskRemove")
		} else {
			t.ok(err, leave.name)
		}
		g.await("the disk to go", "! test -b /dev/xvdf")
		disks, err = t.Host.DeviceDiskList(g.Domid)
		t.ok(err, "DeviceDiskList")
		equal(t, "number of disks after "+leave.name, len(disks), 0)
	}
}

func checkCdrom(t *T) {
	t.needQemu()
	first, second := t.file("first medium\n", diskSize), t.file("second medium\n", diskSize)
	cd := func(path string) *libxl.DeviceDisk {
		d := disk("hdc", path, libxl.DiskBackendQdisk)
		d.IsCdrom, d.Removable, d.Readwrite = 1, 1, 0
		if path == "" {
			d.Format = libxl.DiskFormatEmpty
		}
		return d
	}
	c := t.hvm()
	c.Disks = []libxl.DeviceDisk{*cd(first)}
	g := t.create(c)
	g.boot()
	g.sh("modprobe ata_piix; modprobe sr_mod")
	g.await("the drive", "test -b /dev/sr0")
	equal(t, "the medium", g.sh("head -n 1 /dev/sr0"), "first medium")
	t.ok(t.Host.CdromInsert(t.ctx, g.Domid, cd("")), "CdromInsert of nothing")
	g.await("the medium to go", "! dd if=/dev/sr0 of=/dev/null bs=2048 count=1 2>/dev/null")
	t.ok(t.Host.CdromInsert(t.ctx, g.Domid, cd(second)), "CdromInsert")
	g.await("the second medium", "dd if=/dev/sr0 of=/dev/null bs=2048 count=1 2>/dev/null")
	equal(t, "the medium", g.sh("head -n 1 /dev/sr0"), "second medium")
	disks, err := t.Host.DeviceDiskList(g.Domid)
	t.ok(err, "DeviceDiskList")
	if len(disks) != 1 || disks[0].PdevPath != second || disks[0].IsCdrom == 0 {
		t.Errorf("DeviceDiskList: %+v", disks)
	}
	wantError(t, "CdromInsert into a drive that is not there",
		t.Host.CdromInsert(t.ctx, g.Domid, func() *libxl.DeviceDisk { d := cd(second); d.Vdev = "hdd"; return d }()))
}

func checkDiskErrors(t *T) {
	g := t.create(t.tiny(libxl.DomainTypePvh, ""))
	missing := disk("xvda", "/nonexistent/image", libxl.DiskBackendPhy)
	wantError(t, "DeviceDiskAdd of a missing image", t.Host.DeviceDiskAdd(t.ctx, g.Domid, missing))
	wantError(t, "DeviceDiskAdd of a disk with an impossible name",
		t.Host.DeviceDiskAdd(t.ctx, g.Domid, disk("nonsense", "/dev/null", libxl.DiskBackendPhy)))
	wantField(t, "DeviceDiskAdd without Vdev", t.Host.DeviceDiskAdd(t.ctx, g.Domid, disk("", "/dev/null", libxl.DiskBackendPhy)), "Vdev")
	wantField(t, "DeviceDiskAdd of a path with NUL", t.Host.DeviceDiskAdd(t.ctx, g.Domid, disk("xvda", "a\x00b", libxl.DiskBackendPhy)), "PdevPath")
	wantError(t, "DeviceDiskAdd of nothing", t.Host.DeviceDiskAdd(t.ctx, g.Domid, nil))
	wantError(t, "CdromInsert into a PVH guest", t.Host.CdromInsert(t.ctx, g.Domid, disk("xvda", "/dev/null", libxl.DiskBackendPhy)))
	_, err := t.Host.DeviceDiskGetinfo(g.Domid, missing)
	wantError(t, "DeviceDiskGetinfo of a disk that is not there", err)
	disks, err := t.Host.DeviceDiskList(g.Domid)
	t.ok(err, "DeviceDiskList")
	equal(t, "number of disks", len(disks), 0)
	_, err = t.Host.DeviceDiskList(nobody)
	wantError(t, "DeviceDiskList of no domain", err)
	wantError(t, "DeviceDiskAdd to no domain", t.Host.DeviceDiskAdd(t.ctx, nobody, missing))
}
