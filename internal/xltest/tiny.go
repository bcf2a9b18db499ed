package xltest

import "github.com/go-xenlight/xenlight/libxl"

const tinySection = "the tiny guest"

// tinyMemory is the least, in KB, that libxl builds a tiny guest in.
var tinyMemory = map[libxl.DomainType]uint64{libxl.DomainTypePv: 4 << 10, libxl.DomainTypePvh: 1 << 10}

// tinyChecks try what other checks use tiny guests for.
var tinyChecks = []check{
	{tinySection, "20 guests end in different ways, each for its reason", checkTinyEnds},
}

// tiny describes a guest of a few KB, see internal/tinyguest, which does the
// commands of its command line and then those on its console.
func (t *T) tiny(kind libxl.DomainType, cmdline string) *libxl.DomainConfig {
	if t.o.Tiny == "" {
		t.Cannot("no tiny guest: name its kernel with -tiny")
	}
	c := t.newConfig(kind, t.o.Tiny, 1, tinyMemory[kind])
	c.BInfo.Cmdline = cmdline
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

func checkTinyEnds(t *T) {
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
	var guests []*guest
	for _, kind := range guestTypes {
		for _, e := range ends {
			g := t.create(t.tiny(kind, e.cmdline))
			g.start()
			guests = append(guests, g)
		}
	}
	for i, g := range guests {
		g.expect("tiny: up " + g.Config.CInfo.Type.String())
		if end := ends[i%len(ends)].end; end != nil {
			end(g)
		}
	}
	for i, g := range guests {
		e := ends[i%len(ends)]
		equal(t, g.Config.CInfo.Type.String()+" guest "+e.cmdline+": ShutdownReason", g.shutDown(), e.reason)
	}
}
