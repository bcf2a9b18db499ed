package xltest

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-xenlight/xenlight/libxl"
)

var secondaryChecks = []check{
	{secondarySection, "a domain is renamed, unless the name is taken or the old one is wrong", checkRename},
	{secondarySection, "a crashed domain is preserved beside a new one of its name", checkPreserve},
	{secondarySection, "a Linux guest obeys SysRq keys, and hears an NMI", checkSysrq},
	{secondarySection, "triggers that a guest cannot have are errors", checkTriggers},
	{secondarySection, "a pv Linux guest balloons as it is told", func(t *T) { checkBalloon(t, libxl.DomainTypePv) }},
	{secondarySection, "a pvh Linux guest balloons as it is told", func(t *T) { checkBalloon(t, libxl.DomainTypePvh) }},
	{secondarySection, "DomainSetmaxmem sets the most that a domain may have", checkSetmaxmem},
	{secondarySection, "DomainNeedMemory is what the host has less of afterwards", checkNeedMemory},
	{secondarySection, "VmGetStartTime tells when a domain was created", checkStartTime},
	{secondarySection, "DomainSoftReset refuses what has not asked for it, and what it cannot reset", checkSoftResetErrors},
}

// xenstoreIs waits until a key has a value.
func (t *T) xenstoreIs(path, value string) {
	t.until(fmt.Sprintf("%s to be %q", path, value), func() bool {
		v, ok := xenstoreRead(path)
		return ok && v == value
	})
}

// path is that of a key in a guest's own folder.
func (g *guest) path(key string) string { return fmt.Sprintf("/local/domain/%d/%s", g.Domid, key) }

// key is what a guest's own folder in xenstore has.
func (g *guest) key(key string) string {
	value, ok := xenstoreRead(g.path(key))
	if !ok {
		g.t.Fatalf("%s is not there", g.path(key))
	}
	return value
}

func checkRename(t *T) {
	g := t.create(t.tiny(t.plain(), ""))
	other := t.create(t.tiny(t.plain(), ""))
	old := g.Config.CInfo.Name
	for _, name := range []string{old + "-a \"b\"", old} {
		now := g.key("name")
		t.ok(t.Host.DomainRename(g.Domid, now, name), "DomainRename")
		equal(t, "the name in xenstore", g.key("name"), name)
		vm, ok := xenstoreRead("/vm/" + g.Config.CInfo.Uuid.String() + "/name")
		equal(t, "/vm/UUID/name is there", ok, true)
		equal(t, "/vm/UUID/name", vm, name)
	}
	t.ok(t.Host.DomainRename(g.Domid, "", old+"-d"), "DomainRename from any name")
	if lines, ok := t.xl("domname", fmt.Sprint(g.Domid)); ok {
		equal(t, "the name that xl tells", fmt.Sprint(lines), "[["+old+"-d]]")
	}
	wantCode(t, "DomainRename to a name in use", t.Host.DomainRename(g.Domid, "", other.Config.CInfo.Name), libxl.ErrorInval)
	wantCode(t, "DomainRename from a wrong name", t.Host.DomainRename(g.Domid, old, old+"-e"), libxl.ErrorFail)
	wantField(t, "DomainRename to a name with NUL", t.Host.DomainRename(g.Domid, "", "a\x00b"), "newName")
	equal(t, "the name after errors", g.key("name"), old+"-d")
	before := xenstoreKeys(t)
	wantCode(t, "DomainRename of a domain that is not there", t.Host.DomainRename(nobody, "", old+"-f"), libxl.ErrorDomainNotfound)
	t.sameKeys(before)
}

func checkPreserve(t *T) {
	g := t.create(t.tiny(t.plain(), "tiny=crash"))
	g.start()
	equal(t, "ShutdownReason", g.shutDown(), libxl.ShutdownReasonCrash)
	uuid, name := libxl.NewUuid(), g.Config.CInfo.Name
	t.ok(t.Host.DomainPreserve(g.Domid, &g.Config.CInfo, "-old", uuid), "DomainPreserve")
	equal(t, "the preserved domain's name", g.key("name"), name+"-old")
	equal(t, "the preserved domain's folder", g.key("vm"), "/vm/"+uuid.String())
	inStore, _ := xenstoreRead("/vm/" + uuid.String() + "/uuid")
	equal(t, "its UUID", inStore, uuid.String())
	equal(t, "Shutdown", g.info().Shutdown, true)

	again := t.create(g.Config.Clone())
	equal(t, "the new domain's name", again.key("name"), name)
	equal(t, "the new domain's folder", again.key("vm"), "/vm/"+g.Config.CInfo.Uuid.String())
	wantField(t, "DomainPreserve of a domain by another name", t.Host.DomainPreserve(g.Domid, &g.Config.CInfo, "-x", uuid), "Name")
	wantField(t, "DomainPreserve under a name in use", t.Host.DomainPreserve(again.Domid, &g.Config.CInfo, "-old", uuid), "nameSuffix")
	wantField(t, "DomainPreserve without a name", t.Host.DomainPreserve(g.Domid, libxl.NewDomainCreateInfo(), "-x", uuid), "Name")
	wantError(t, "DomainPreserve(nil)", t.Host.DomainPreserve(g.Domid, nil, "-x", uuid))
	wantCode(t, "DomainPreserve of a domain that is not there",
		t.Host.DomainPreserve(nobody, &g.Config.CInfo, "-x", uuid), libxl.ErrorDomainNotfound)
}

func checkSysrq(t *T) {
	for _, c := range []struct {
		kind libxl.DomainType
		key  byte
		end  libxl.ShutdownReason
	}{
		{libxl.DomainTypePv, 'o', libxl.ShutdownReasonPoweroff},
		// A PVH guest's ACPI has no S5, so that 'o' stops Linux but does not end it.
		{libxl.DomainTypePvh, 'b', libxl.ShutdownReasonReboot},
	} {
		if c.kind == libxl.DomainTypePv && onArm {
			continue
		}
		g := t.create(t.config(c.kind))
		g.boot()
		g.sh("echo 1 >/proc/sys/kernel/sysrq")
		t.ok(t.Host.SendSysrq(g.Domid, 'h'), "SendSysrq")
		g.expect("sysrq: HELP")
		if err := t.Host.SendTrigger(t.ctx, g.Domid, libxl.TriggerNmi, 0); onArm {
			wantCode(t, "SendTrigger(nmi) on Arm", err, libxl.ErrorFail)
		} else {
			t.ok(err, "SendTrigger(nmi)")
			g.await("the NMI to be counted", "grep -q 'NMI: *[1-9]' /proc/interrupts")
		}
		t.ok(t.Host.SendSysrq(g.Domid, c.key), "SendSysrq")
		equal(t, fmt.Sprintf("ShutdownReason of a %s guest after the key %q", c.kind, c.key), g.shutDown(), c.end)
	}
	before := xenstoreKeys(t)
	wantCode(t, "SendSysrq to a domain that is not there", t.Host.SendSysrq(nobody, 'h'), libxl.ErrorDomainNotfound)
	t.sameKeys(before)
}

func checkTriggers(t *T) {
	for _, kind := range t.kinds() {
		g := t.startTiny(kind, "")
		if kind == libxl.DomainTypePvh && !onArm { // it has the buttons, and may look at them
			g.do("SendTrigger(power)", func(ctx context.Context, d libxl.Domid) error {
				return t.Host.SendTrigger(ctx, d, libxl.TriggerPower, 0)
			})
		} else {
			wantCode(t, "SendTrigger(power) to a guest without buttons", t.Host.SendTrigger(t.ctx, g.Domid, libxl.TriggerPower, 0), libxl.ErrorFail)
		}
		for trigger, code := range map[libxl.Trigger]libxl.Error{
			libxl.TriggerUnknown: libxl.ErrorFail, libxl.TriggerInit: libxl.ErrorFail, libxl.TriggerReset: libxl.ErrorFail, libxl.TriggerS3Resume: libxl.ErrorInval,
		} {
			wantCode(t, fmt.Sprintf("SendTrigger(%s) to a %s guest", trigger, kind), t.Host.SendTrigger(t.ctx, g.Domid, trigger, 0), code)
		}
		wantField(t, "SendTrigger(77)", t.Host.SendTrigger(t.ctx, g.Domid, 77, 0), "trigger")
		wantError(t, "SendTrigger to vCPU 5", t.Host.SendTrigger(t.ctx, g.Domid, libxl.TriggerNmi, 5))
		g.count(3)
	}
	wantError(t, "SendTrigger to a domain that is not there", t.Host.SendTrigger(t.ctx, nobody, libxl.TriggerNmi, 0))
}

// memory is what a Linux guest has, in kB, as its balloon driver tells.
func (g *guest) memory() int64 {
	n, err := strconv.ParseInt(g.sh("cat /sys/devices/system/xen_memory/xen_memory0/info/current_kb"), 10, 64)
	g.t.ok(err, "the guest's balloon driver")
	return n
}

func checkBalloon(t *T, kind libxl.DomainType) {
	c := t.roomy(kind)
	g := t.create(c)
	g.boot()
	full := int64(c.BInfo.MaxMemkb)
	target, err := t.Host.GetMemoryTarget(g.Domid)
	t.ok(err, "GetMemoryTarget")
	equal(t, "GetMemoryTarget at first", int64(target), full)
	free := func() int64 {
		fields := strings.Fields(g.sh("grep MemTotal /proc/meminfo; grep MemFree /proc/meminfo"))
		n, err := strconv.ParseInt(fields[4], 10, 64)
		t.ok(err, "MemFree")
		return n
	}
	begin, hasBegin := free(), int64(g.info().CurrentMemkb)
	for _, step := range []struct {
		kb                int64
		relative, enforce bool
		want              int64
	}{
		{full - 16<<10, false, false, full - 16<<10},
		{-8 << 10, true, true, full - 24<<10},
		{24 << 10, true, true, full},
	} {
		was := int64(g.info().CurrentMemkb)
		t.ok(t.Host.SetMemoryTarget(g.Domid, step.kb, step.relative, step.enforce), "SetMemoryTarget")
		target, err := t.Host.GetMemoryTarget(g.Domid)
		t.ok(err, "GetMemoryTarget")
		equal(t, "GetMemoryTarget", int64(target), step.want)
		equal(t, "the target in xenstore", g.key("memory/target"), fmt.Sprint(step.want))
		// Some pages stay with the firmware's tables and the like.
		t.until(fmt.Sprintf("the guest to have %d kB", step.want), func() bool {
			return abs(int64(g.info().CurrentMemkb)-step.want-(hasBegin-full)) <= 1<<10
		})
		if now := int64(g.info().CurrentMemkb); step.kb != 0 && now == was {
			t.Errorf("SetMemoryTarget(%d) has changed nothing: %d kB", step.kb, now)
		}
		t.Logf("target %d kB: the hypervisor has %d kB, the balloon driver %d kB, free in the guest %d kB",
			step.want, g.info().CurrentMemkb, g.memory(), free())
		// Linux needs some for itself, and keeps freed pages for each CPU for a while
		// that it does not count.
		t.until(fmt.Sprintf("the guest to have some %d kB less free than the %d kB at first", full-step.want, begin), func() bool {
			return abs(begin-free()-(full-step.want)) <= 8<<10
		})
	}
	wantCode(t, "SetMemoryTarget above the maximum", t.Host.SetMemoryTarget(g.Domid, full+1<<10, false, false), libxl.ErrorInval)
	wantError(t, "SetMemoryTarget of a domain that is not there", t.Host.SetMemoryTarget(nobody, full, false, false))
	_, err = t.Host.GetMemoryTarget(nobody)
	wantCode(t, "GetMemoryTarget of a domain that is not there", err, libxl.ErrorFail)
	if err := t.Host.SetMemoryTarget(0, 64<<10, false, false); onArm {
		wantField(t, "SetMemoryTarget of dom0, whose configuration leaves ACPI at its default", err, "domid")
	} else {
		wantCode(t, "SetMemoryTarget of too little for dom0", err, libxl.ErrorInval)
	}
}

func abs(n int64) int64 { return max(n, -n) }

func checkSetmaxmem(t *T) {
	g := t.create(t.tiny(t.plain(), ""))
	was := g.info().MaxMemkb
	const more = 16 << 10
	t.ok(t.Host.DomainSetmaxmem(g.Domid, g.Config.BInfo.MaxMemkb+more), "DomainSetmaxmem")
	equal(t, "MaxMemkb", g.info().MaxMemkb, was+more)
	if t.release() >= 17 { // older ones leave it as it was
		equal(t, "static-max in xenstore", g.key("memory/static-max"), fmt.Sprint(g.Config.BInfo.MaxMemkb+more))
	}
	wantCode(t, "DomainSetmaxmem below the target", t.Host.DomainSetmaxmem(g.Domid, g.Config.BInfo.TargetMemkb-4), libxl.ErrorFail)
	equal(t, "MaxMemkb after an error", g.info().MaxMemkb, was+more)
	wantError(t, "DomainSetmaxmem of a domain that is not there", t.Host.DomainSetmaxmem(nobody, 1<<20))
}

func checkNeedMemory(t *T) {
	for _, kind := range t.kinds() {
		c := t.config(kind)
		as := c.Clone()
		need, err := t.Host.DomainNeedMemory(c)
		t.ok(err, "DomainNeedMemory")
		equal(t, "the configuration is as it was", c.Equal(as), true)
		before, err := t.Host.GetFreeMemory()
		t.ok(err, "GetFreeMemory")
		g := t.create(c)
		after, err := t.Host.GetFreeMemory()
		t.ok(err, "GetFreeMemory")
		t.Logf("a %s guest of %d kB needs %d kB; the host had %d kB less", kind, c.BInfo.MaxMemkb, need, before-after)
		if need <= c.BInfo.MaxMemkb || before-after > need || before-after < c.BInfo.MaxMemkb-1<<10 {
			t.Errorf("a %s guest of %d kB needs %d kB, but the host has %d kB less", kind, c.BInfo.MaxMemkb, need, before-after)
		}
		g.destroy()
		t.noDomain(c.CInfo.Uuid)
	}
	_, err := t.Host.DomainNeedMemory(nil)
	wantError(t, "DomainNeedMemory(nil)", err)
	_, err = t.Host.DomainNeedMemory(libxl.NewDomainConfig())
	wantField(t, "DomainNeedMemory without a type", err, "CInfo.Type")
}

func checkStartTime(t *T) {
	before := time.Now().Truncate(time.Second)
	g := t.create(t.tiny(t.plain(), ""))
	start, err := t.Host.VmGetStartTime(g.Domid)
	t.ok(err, "VmGetStartTime")
	if start.Before(before) || start.After(time.Now()) {
		t.Errorf("created between %v and %v, but VmGetStartTime says %v", before, time.Now(), start)
	}
	_, err = t.Host.VmGetStartTime(nobody)
	wantCode(t, "VmGetStartTime of a domain that is not there", err, libxl.ErrorFail)
}

func checkSoftResetErrors(t *T) {
	for _, kind := range t.kinds() {
		g := t.startTiny(kind, "")
		reset := func(ctx context.Context, d libxl.Domid) error { return t.Host.DomainSoftReset(ctx, g.Config, d) }
		wantField(t, "DomainSoftReset of a guest that runs", reset(t.ctx, g.Domid), "domid")
		g.count(3)
		g.say("soft-reset")
		equal(t, "ShutdownReason", g.shutDown(), libxl.ShutdownReasonSoftReset)
		// Only HVM guests have it.
		wantCode(t, "DomainSoftReset of a guest of type "+kind.String(), reset(t.ctx, g.Domid), libxl.ErrorInval)
		equal(t, "ShutdownReason", g.info().ShutdownReason, libxl.ShutdownReasonSoftReset)
		wantCode(t, "DomainSoftReset of a domain that is not there", reset(t.ctx, nobody), libxl.ErrorDomainNotfound)
		wantError(t, "DomainSoftReset(nil)", t.Host.DomainSoftReset(t.ctx, nil, g.Domid))
		ctx, cancel := context.WithCancel(t.ctx)
		cancel()
		err := reset(ctx, g.Domid)
		wantError(t, "DomainSoftReset with a context that is over", err)
	}
}

func checkSoftReset(t *T) {
	g := t.startTiny(libxl.DomainTypeHvm, "")
	g.say("soft-reset")
	equal(t, "ShutdownReason", g.shutDown(), libxl.ShutdownReasonSoftReset)
	g.own()
	t.restored(g.Config, t.Host.DomainSoftReset(t.ctx, g.Config, g.Domid), "DomainSoftReset")
	equal(t, "Shutdown after DomainSoftReset", g.info().Shutdown, false)
	equal(t, "Paused after DomainSoftReset", g.info().Paused, true)
	equal(t, "the name", g.key("name"), g.Config.CInfo.Name)
	g.console.Close()
	g.goesOn(2)
}
