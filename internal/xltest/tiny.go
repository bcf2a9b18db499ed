package xltest

import (
	"fmt"

	"github.com/go-xenlight/xenlight/libxl"
)

const tinySection = "the tiny guest"

// tinyMemory is the least, in KB, that libxl builds a PV guest in, and in whole
// pages of 2 MB an Arm guest. A PVH guest on amd64 would do with 1 MB.
const tinyMemory = 4 << 10

// tinyChecks try what other checks use tiny guests for.
var tinyChecks = func() (checks []check) {
	for _, kind := range guestTypes {
		checks = append(checks, check{tinySection, fmt.Sprintf("ten %s guests at once end in different ways, each for its reason", kind),
			func(t *T) { checkTinyEnds(t, kind) }})
	}
	return checks
}()

// tiny describes a guest of a few KB, see internal/tinyguest, which does the
// commands of its command line and then those on its console.
func (t *T) tiny(kind libxl.DomainType, cmdline string) *libxl.DomainConfig {
	if t.o.Tiny == "" {
		t.Cannot("no tiny guest: name its kernel with -tiny")
	}
	c := t.newConfig(kind, t.o.Tiny, 1, tinyMemory)
	c.BInfo.Cmdline = cmdline
	return c
}

// tinyHvm describes a tiny guest with a device model, for which it takes the place
// of the firmware. It has no command line.
func (t *T) tinyHvm() *libxl.DomainConfig {
	t.needHvm()
	c := t.tiny(libxl.DomainTypePvh, "")
	hvm := libxl.NewDomainBuildInfoTypeUnionHvm()
	hvm.Firmware = t.o.Tiny
	c.CInfo.Type, c.BInfo.TypeUnion = libxl.DomainTypeHvm, hvm
	c.BInfo.Kernel, c.BInfo.Cmdline = "", ""
	c.BInfo.MaxMemkb, c.BInfo.TargetMemkb, c.BInfo.VideoMemkb = 32<<10, 32<<10, 8<<10
	return c
}

// start starts a tiny guest, without waiting for it.
func (g *guest) start() {
	g.openConsole()
	g.do("DomainUnpause", g.t.Host.DomainUnpause)
}

// say gives a guest a line to read.
func (g *guest) say(line string) {
	_, err := g.console.WriteString(line + "\n")
	g.t.ok(err, "the guest's console")
}

func checkTinyEnds(t *T, kind libxl.DomainType) {
	ends := []struct {
		cmdline string
		end     func(*guest)
		reason  libxl.ShutdownReason
	}{
		{"tiny=poweroff", nil, libxl.ShutdownReasonPoweroff},
		{"tiny=reboot", nil, libxl.ShutdownReasonReboot},
		{"tiny=crash", nil, libxl.ShutdownReasonCrash},
		{"tiny=suspend", nil, libxl.ShutdownReasonSuspend},
		{"tiny=halt", nil, libxl.ShutdownReasonPoweroff},
		{"", func(g *guest) { g.say("poweroff") }, libxl.ShutdownReasonPoweroff},
		{"", func(g *guest) { g.say("reboot") }, libxl.ShutdownReasonReboot},
		{"", func(g *guest) { g.say("crash") }, libxl.ShutdownReasonCrash},
		{"", func(g *guest) { g.do("DomainShutdown", t.Host.DomainShutdown) }, libxl.ShutdownReasonPoweroff},
		{"", func(g *guest) { g.do("DomainReboot", t.Host.DomainReboot) }, libxl.ShutdownReasonReboot},
	}
	guests := make([]*guest, len(ends))
	for i, e := range ends {
		guests[i] = t.create(t.tiny(kind, e.cmdline))
		guests[i].start()
	}
	for i, e := range ends {
		guests[i].expect("tiny: up " + kind.String())
		if e.end != nil {
			e.end(guests[i])
		}
	}
	for i, e := range ends {
		equal(t, fmt.Sprintf("ShutdownReason of guest %d %s", i, e.cmdline), guests[i].shutDown(), e.reason)
	}
}
