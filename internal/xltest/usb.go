package xltest

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/go-xenlight/xenlight"
	"github.com/go-xenlight/xenlight/libxl"
)

const usbSection = "Devices: USB"

var usbChecks = []check{
	{usbSection, "controllers for PV drivers come and go", usbctrls.check},
	{usbSection, "an HVM guest's controller, and a device of the host in it", checkUsb},
	{"Devices: Channels", "a PV guest's channels are a terminal and a socket", checkChannels},
}

var usbctrls = family[libxl.DeviceUsbctrl, libxl.Usbctrlinfo]{
	front: "vusb", back: "vusb",
	describe: func(_ *T) *libxl.DeviceUsbctrl {
		d := libxl.NewDeviceUsbctrl()
		d.Type, d.Version, d.Ports = libxl.UsbctrlTypePv, 1, 4
		return d
	},
	add: (*xenlight.Host).DeviceUsbctrlAdd, remove: (*xenlight.Host).DeviceUsbctrlRemove, destroy: (*xenlight.Host).DeviceUsbctrlDestroy,
	list: (*xenlight.Host).DeviceUsbctrlList, getinfo: (*xenlight.Host).DeviceUsbctrlGetinfo, find: (*xenlight.Host).DevidToDeviceUsbctrl,
	same: func(t *T, listed, added libxl.DeviceUsbctrl) { equal(t, "the controller", listed, added) },
}

// tablet finds the USB device of xenbox's machine.
func (t *T) tablet() *libxl.DeviceUsbdevTypeUnionHostdev {
	if !throwAway() {
		t.Cannot("no USB device to spare: it is xenbox's")
	}
	t.module("xhci-pci")
	number := func(file string) byte {
		text, err := os.ReadFile(file)
		t.ok(err, file)
		n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 8)
		t.ok(err, file)
		return byte(n)
	}
	var dir string
	t.until("the tablet", func() bool {
		files, _ := filepath.Glob("/sys/bus/usb/devices/*/product")
		for _, f := range files {
			if text, _ := os.ReadFile(f); strings.Contains(string(text), "Tablet") {
				dir = filepath.Dir(f)
			}
		}
		return dir != ""
	})
	return &libxl.DeviceUsbdevTypeUnionHostdev{Hostbus: number(dir + "/busnum"), Hostaddr: number(dir + "/devnum")}
}

func checkUsb(t *T) {
	t.needQemu()
	tablet := t.tablet()
	g := t.create(t.hvm()) // need not run: its device model does
	monitor := func(command string) string {
		out, err := t.Host.QemuMonitorCommand(t.ctx, g.Domid, command)
		t.ok(err, "QemuMonitorCommand "+command)
		return out
	}
	ctrl := libxl.NewDeviceUsbctrl()
	ctrl.Version, ctrl.Ports = 2, 5
	wantCode(t, "DeviceUsbctrlAdd with 5 ports", t.Host.DeviceUsbctrlAdd(t.ctx, g.Domid, ctrl), libxl.ErrorInval)
	ctrl.Ports = 0
	t.ok(t.Host.DeviceUsbctrlAdd(t.ctx, g.Domid, ctrl), "DeviceUsbctrlAdd")
	equal(t, "Type", ctrl.Type, libxl.UsbctrlTypeDevicemodel)
	equal(t, "Ports", ctrl.Ports, 6)
	name := fmt.Sprintf("xenusb-%d", ctrl.Devid)
	if pci := monitor("info pci"); !strings.Contains(pci, `"`+name+`"`) {
		t.Errorf("QEMU has no %s: %s", name, pci)
	}
	wantCode(t, "DeviceUsbctrlAdd of one that is there", t.Host.DeviceUsbctrlAdd(t.ctx, g.Domid, ctrl), libxl.ErrorDeviceExists)
	info, err := t.Host.DeviceUsbctrlGetinfo(g.Domid, ctrl)
	t.ok(err, "DeviceUsbctrlGetinfo")
	equal(t, "Ports", info.Ports, 6)
	equal(t, "Version", info.Version, 2)

	dev := libxl.NewDeviceUsbdev()
	dev.Type, dev.TypeUnion = libxl.UsbdevTypeHostdev, &libxl.DeviceUsbdevTypeUnionHostdev{Hostbus: 200, Hostaddr: 100}
	wantCode(t, "DeviceUsbdevAdd of a device that is not there", t.Host.DeviceUsbdevAdd(t.ctx, g.Domid, dev), libxl.ErrorFail)
	dev.TypeUnion = tablet
	if err := t.Host.DeviceUsbdevAdd(t.ctx, g.Domid, dev); err == nil {
		equal(t, "Ctrl", dev.Ctrl, ctrl.Devid)
		all, err := t.Host.DeviceUsbdevList(g.Domid)
		t.ok(err, "DeviceUsbdevList")
		if len(all) != 1 || all[0].Port != dev.Port {
			t.Errorf("DeviceUsbdevList: %+v", all)
		}
		found, err := t.Host.CtrlportToDeviceUsbdev(g.Domid, int(dev.Ctrl), dev.Port)
		t.ok(err, "CtrlportToDeviceUsbdev")
		if host, ok := found.TypeUnion.(*libxl.DeviceUsbdevTypeUnionHostdev); !ok || *host != *tablet {
			t.Errorf("CtrlportToDeviceUsbdev: %+v", found)
		}
		if usb := monitor("info usb"); !strings.Contains(usb, "Tablet") {
			t.Errorf("QEMU does not have the tablet: %s", usb)
		}
		t.ok(t.Host.DeviceUsbdevRemove(t.ctx, g.Domid, dev), "DeviceUsbdevRemove")
		t.until("QEMU to let go of the tablet", func() bool { return !strings.Contains(monitor("info usb"), "Tablet") })
	} else {
		t.cannot("DeviceUsbdevAdd", err)
		_, err = t.Host.CtrlportToDeviceUsbdev(g.Domid, int(ctrl.Devid), 1)
		wantError(t, "CtrlportToDeviceUsbdev of an empty port", err)
		wantError(t, "DeviceUsbdevRemove of none", t.Host.DeviceUsbdevRemove(t.ctx, g.Domid, dev))
	}
	all, err := t.Host.DeviceUsbdevList(g.Domid)
	t.ok(err, "DeviceUsbdevList")
	equal(t, "number of devices", len(all), 0)
	_, err = t.Host.DeviceUsbdevList(nobody)
	wantError(t, "DeviceUsbdevList of no domain", err)
	wantError(t, "DeviceUsbdevAdd to no domain", t.Host.DeviceUsbdevAdd(t.ctx, nobody, dev))
	wantError(t, "DeviceUsbdevAdd of nothing", t.Host.DeviceUsbdevAdd(t.ctx, g.Domid, nil))

	t.ok(t.Host.DeviceUsbctrlRemove(t.ctx, g.Domid, ctrl), "DeviceUsbctrlRemove")
	ctrls, err := t.Host.DeviceUsbctrlList(g.Domid)
	t.ok(err, "DeviceUsbctrlList")
	equal(t, "number of controllers", len(ctrls), 0)
}

func checkChannels(t *T) {
	t.needQemu()
	socket := filepath.Join(os.TempDir(), fmt.Sprintf("xltest-%d.socket", os.Getpid()))
	t.Cleanup(func() { os.Remove(socket) })
	terminal, sock := libxl.NewDeviceChannel(), libxl.NewDeviceChannel()
	terminal.Name, terminal.Connection = "xltest.terminal", libxl.ChannelConnectionPty
	sock.Name, sock.Connection = "xltest.socket", libxl.ChannelConnectionSocket
	sock.ConnectionUnion = &libxl.DeviceChannelConnectionUnionSocket{Path: socket}
	c := t.tiny(t.plain(), "")
	c.Channels = []libxl.DeviceChannel{*terminal, *sock}
	g := t.create(c)

	all, err := t.Host.DeviceChannelList(g.Domid)
	t.ok(err, "DeviceChannelList")
	equal(t, "number of channels", len(all), 2)
	for _, channel := range all {
		info, err := t.Host.DeviceChannelGetinfo(g.Domid, &channel)
		t.ok(err, "DeviceChannelGetinfo")
		equal(t, "FrontendId", info.FrontendId, uint32(g.Domid))
		name, _ := xenstoreRead(info.Backend + "/name")
		equal(t, "the name in xenstore", name, channel.Name)
		switch channel.Name {
		case terminal.Name:
			var pty *libxl.ChannelinfoConnectionUnionPty
			t.until("the terminal", func() bool {
				info, err = t.Host.DeviceChannelGetinfo(g.Domid, &channel)
				t.ok(err, "DeviceChannelGetinfo")
				pty, _ = info.ConnectionUnion.(*libxl.ChannelinfoConnectionUnionPty)
				return pty != nil && pty.Path != ""
			})
			if file, err := os.Stat(pty.Path); err != nil || file.Mode()&os.ModeCharDevice == 0 {
				t.Errorf("%s is no terminal: %v", pty.Path, err)
			}
		case sock.Name:
			equal(t, "Connection", info.Connection, libxl.ChannelConnectionSocket)
			if file, err := os.Stat(socket); err != nil || file.Mode()&os.ModeSocket == 0 {
				t.Errorf("%s is no socket: %v", socket, err)
			}
		default:
			t.Errorf("DeviceChannelList: %+v", channel)
		}
	}
	_, err = t.Host.DeviceChannelList(nobody)
	wantError(t, "DeviceChannelList of no domain", err)
	none := *terminal
	none.Devid = 77
	_, err = t.Host.DeviceChannelGetinfo(g.Domid, &none)
	wantError(t, "DeviceChannelGetinfo of one that is not there", err)
	none.Name = ""
	c = t.tiny(t.plain(), "")
	c.Channels = []libxl.DeviceChannel{none}
	_, err = t.Host.DomainCreateNew(t.ctx, c)
	wantError(t, "DomainCreateNew with a channel without a name", err)
}
