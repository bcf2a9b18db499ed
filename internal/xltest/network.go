package xltest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/go-xenlight/xenlight/libxl"
)

const networkSection = "Devices: Network"

var networkChecks = []check{
	{networkSection, "a PV guest's card has its MAC address and is on the bridge; packets go both ways", checkBootNic},
	{networkSection, "cards come to and leave a running PVH guest", checkHotNics},
	{networkSection, "what cannot be a card is refused", checkNicErrors},
}

// The network of the check's bridge.
const (
	dom0Address  = "192.0.2.201"
	guestAddress = "192.0.2.202"
)

// bridge makes a bridge of its own for a check.
func (t *T) bridge() string {
	name := fmt.Sprintf("xlt%d", os.Getpid()%100000)
	run := func(args ...string) {
		out, err := exec.CommandContext(t.ctx, "ip", args...).CombinedOutput()
		t.ok(err, "ip "+strings.Join(args, " ")+": "+string(out))
	}
	run("link", "add", name, "type", "bridge")
	t.Cleanup(func() { _ = exec.Command("ip", "link", "delete", name).Run() })
	run("address", "add", dom0Address+"/29", "dev", name)
	run("link", "set", name, "up")
	return name
}

// nic describes a card on a bridge.
func (t *T) nic(bridge string) *libxl.DeviceNic {
	n := libxl.NewDeviceNic()
	n.Nictype, n.Bridge, n.Mac = libxl.NicTypeVif, bridge, libxl.NewMac()
	return n
}

// onBridge lists the interfaces on a bridge.
func onBridge(bridge string) []string {
	links, _ := filepath.Glob("/sys/class/net/" + bridge + "/brif/*")
	for i := range links {
		links[i] = filepath.Base(links[i])
	}
	return links
}

// exchange sends packets from dom0 to the guest's card, which answers.
func exchange(t *T, g *guest, card string) {
	g.sh("ip address add %s/29 dev %s && ip link set %s up", guestAddress, card, card)
	t.until("an answer of the guest", func() bool {
		return exec.CommandContext(t.ctx, "ping", "-c", "1", "-W", "2", guestAddress).Run() == nil
	})
	g.sh("ping -c 1 -W 10 %s", dom0Address)
}

func checkBootNic(t *T) {
	bridge := t.bridge()
	c := t.config(t.plain())
	c.Nics = []libxl.DeviceNic{*t.nic(bridge)}
	g := t.create(c)
	equal(t, "the bridge's interfaces", strings.Join(onBridge(bridge), " "), fmt.Sprintf("vif%d.0", g.Domid))
	g.boot()
	equal(t, "the MAC address in the guest", g.sh("cat /sys/class/net/eth0/address"), c.Nics[0].Mac.String())
	exchange(t, g, "eth0")

	nics, err := t.Host.DeviceNicList(g.Domid)
	t.ok(err, "DeviceNicList")
	if len(nics) != 1 || nics[0].Mac != c.Nics[0].Mac || nics[0].Bridge != bridge {
		t.Errorf("DeviceNicList: %+v", nics)
	}
	info, err := t.Host.DeviceNicGetinfo(g.Domid, &nics[0])
	t.ok(err, "DeviceNicGetinfo")
	equal(t, "State (connected)", info.State, 4)
	equal(t, "FrontendId", info.FrontendId, uint32(g.Domid))
	g.destroy()
	equal(t, "interfaces left on the bridge", len(onBridge(bridge)), 0)
}

func checkHotNics(t *T) {
	bridge := t.bridge()
	g := t.create(t.config(libxl.DomainTypePvh))
	g.boot()
	for name, leave := range map[string]func(*libxl.DeviceNic) error{
		"DeviceNicRemove":  func(n *libxl.DeviceNic) error { return t.Host.DeviceNicRemove(t.ctx, g.Domid, n) },
		"DeviceNicDestroy": func(n *libxl.DeviceNic) error { return t.Host.DeviceNicDestroy(t.ctx, g.Domid, n) },
	} {
		n := t.nic(bridge)
		t.ok(t.Host.DeviceNicAdd(t.ctx, g.Domid, n), "DeviceNicAdd")
		equal(t, "the bridge's interfaces", strings.Join(onBridge(bridge), " "), fmt.Sprintf("vif%d.%d", g.Domid, n.Devid))
		g.await("the card", "test -e /sys/class/net/eth*/address")
		card := g.sh("basename /sys/class/net/eth*")
		equal(t, "the MAC address in the guest", g.sh("cat /sys/class/net/%s/address", card), n.Mac.String())
		exchange(t, g, card)
		nics, err := t.Host.DeviceNicList(g.Domid)
		t.ok(err, "DeviceNicList")
		equal(t, "number of cards", len(nics), 1)
		t.ok(leave(n), name)
		g.await("the card to go", "! test -e /sys/class/net/eth*/address")
		equal(t, "interfaces on the bridge after "+name, len(onBridge(bridge)), 0)
		nics, err = t.Host.DeviceNicList(g.Domid)
		t.ok(err, "DeviceNicList")
		equal(t, "number of cards after "+name, len(nics), 0)
	}
}

func checkNicErrors(t *T) {
	g := t.create(t.tiny(libxl.DomainTypePvh, ""))
	wantError(t, "DeviceNicAdd on a bridge that is not there", t.Host.DeviceNicAdd(t.ctx, g.Domid, t.nic("nobridge")))
	nul := t.nic("a\x00b")
	wantField(t, "DeviceNicAdd on a bridge with NUL", t.Host.DeviceNicAdd(t.ctx, g.Domid, nul), "Bridge")
	wantError(t, "DeviceNicAdd of nothing", t.Host.DeviceNicAdd(t.ctx, g.Domid, nil))
	wantError(t, "DeviceNicAdd to no domain", t.Host.DeviceNicAdd(t.ctx, nobody, t.nic("xenbr0")))
	_, err := t.Host.DeviceNicList(nobody)
	wantError(t, "DeviceNicList of no domain", err)
	_, err = t.Host.DeviceNicGetinfo(g.Domid, t.nic("xenbr0"))
	wantError(t, "DeviceNicGetinfo of a card that is not there", err)
}
