package xltest

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/go-xenlight/xenlight"
	"github.com/go-xenlight/xenlight/libxl"
)

const domainSection = "Primary domain operations: Create (with disk / network), shutdown / destroy"

var guestTypes = []libxl.DomainType{libxl.DomainTypePv, libxl.DomainTypePvh}

// domainChecks has each of these for each type of guest.
var domainChecks = func() (checks []check) {
	for _, kind := range guestTypes {
		for _, c := range []struct {
			name string
			run  func(*T, libxl.DomainType)
		}{
			{"is created paused, is described, and is gone once destroyed", checkCreate},
			{"boots, talks on its console, pauses, goes on, and powers off", checkLife},
			{"reboots", checkReboot},
		} {
			checks = append(checks, check{domainSection, fmt.Sprintf("a %s guest %s", kind, c.name), func(t *T) { c.run(t, kind) }})
		}
	}
	return append(checks, check{domainSection, "on Arm a pv guest becomes a pvh guest, and an hvm guest is refused", checkArmGuests})
}()

func checkCreate(t *T, kind libxl.DomainType) {
	c := t.config(kind)
	console := make(chan libxl.Domid, 1)
	g := t.create(c, xenlight.OnConsole(func(d libxl.Domid) { console <- d }))
	if g.Domid == 0 || g.Domid == libxl.InvalidDomid {
		t.Fatalf("the new domain's number is %d", g.Domid)
	}
	select {
	case d := <-console:
		equal(t, "OnConsole's domain", d, g.Domid)
	case <-t.ctx.Done():
		t.Errorf("OnConsole's function was never called")
	}

	info := g.info()
	equal(t, "Domid", info.Domid, g.Domid)
	equal(t, "Uuid", info.Uuid, c.CInfo.Uuid)
	equal(t, "DomainType", info.DomainType, seenAs(kind))
	equal(t, "Paused", info.Paused, true)
	equal(t, "Running", info.Running, false)
	equal(t, "Shutdown", info.Shutdown, false)
	equal(t, "Dying", info.Dying, false)
	equal(t, "VcpuOnline before the guest has run", info.VcpuOnline, 1)
	equal(t, "VcpuMaxId", info.VcpuMaxId, 1)
	equal(t, "CpuTime", info.CpuTime, 0)
	if info.CurrentMemkb < 100<<10 || info.CurrentMemkb > 140<<10 {
		t.Errorf("CurrentMemkb: got %d for a guest of %d", info.CurrentMemkb, c.BInfo.MaxMemkb)
	}

	domains, err := t.Host.ListDomain()
	t.ok(err, "ListDomain")
	i := slices.IndexFunc(domains, func(d libxl.Dominfo) bool { return d.Domid == g.Domid })
	switch {
	case i < 0:
		t.Errorf("ListDomain lacks domain %d", g.Domid)
	case domains[i] != info:
		t.Errorf("ListDomain says\n%+v\nand DomainInfo\n%+v", domains[i], info)
	}
	dom0 := []libxl.DomainType{libxl.DomainTypePv, libxl.DomainTypePvh}
	if onArm {
		dom0 = []libxl.DomainType{seenAs(libxl.DomainTypePvh)}
	}
	if domains[0].Domid != 0 || !slices.Contains(dom0, domains[0].DomainType) {
		t.Errorf("ListDomain begins with %+v, not with dom0", domains[0])
	}

	// What libxl has filled in came back.
	equal(t, "BInfo.Type", c.BInfo.Type, kind)
	if c.BInfo.SchedParams.Sched == 0 && c.BInfo.ClaimMode.IsDefault() && c.BInfo.ShadowMemkb == libxl.MemkbDefault {
		t.Errorf("nothing of what libxl has filled in came back")
	}

	g.destroy()
	// Whoever still maps its memory keeps the rest of it until it lets go.
	t.until("the domain to be gone", func() bool {
		info, err := t.Host.DomainInfo(g.Domid)
		if err == nil && !info.Dying {
			t.Fatalf("DomainDestroy has returned, and the domain lives: %+v", info)
		}
		return err != nil
	})
	_, err = t.Host.DomainInfo(g.Domid)
	wantCode(t, "DomainInfo of a destroyed domain", err, libxl.ErrorDomainNotfound)
	_, err = t.Host.ListVcpu(g.Domid)
	wantError(t, "ListVcpu of a destroyed domain", err)
	_, err = t.Host.PrimaryConsoleGetTty(g.Domid)
	wantError(t, "PrimaryConsoleGetTty of a destroyed domain", err)
	wantError(t, "DomainPause of a destroyed domain", t.Host.DomainPause(t.ctx, g.Domid))
	wantError(t, "DomainDestroy of a destroyed domain", t.Host.DomainDestroy(t.ctx, g.Domid))
}

// seenAs is the type that libxl tells of a running domain.
func seenAs(kind libxl.DomainType) libxl.DomainType {
	if kind == libxl.DomainTypePvh {
		return libxl.DomainTypeHvm
	}
	return kind
}

func checkLife(t *T, kind libxl.DomainType) {
	g := t.create(t.config(kind))
	tty, err := t.Host.ConsoleGetTty(g.Domid, 0, libxl.ConsoleTypePv)
	t.ok(err, "ConsoleGetTty")
	primary, err := t.Host.PrimaryConsoleGetTty(g.Domid)
	t.ok(err, "PrimaryConsoleGetTty")
	equal(t, "the primary console", primary, tty)
	g.boot()
	t.Logf("the guest says %q on %s", t.o.Ready, tty)

	equal(t, "VcpuOnline of the booted guest", g.info().VcpuOnline, 2)
	vcpus, err := t.Host.ListVcpu(g.Domid)
	t.ok(err, "ListVcpu")
	equal(t, "number of vCPUs", len(vcpus), 2)
	cpus, err := t.Host.GetMaxCpus()
	t.ok(err, "GetMaxCpus")
	for i, v := range vcpus {
		equal(t, "Vcpuid", int(v.Vcpuid), i)
		equal(t, "Online", v.Online, true)
		if v.VcpuTime == 0 && i == 0 {
			t.Errorf("vCPU 0 has run for no time")
		}
		if int(v.Cpu) >= cpus || v.Cpumap.IsEmpty() || v.CpumapSoft.IsEmpty() {
			t.Errorf("vCPU %d: impossible: %+v", i, v)
		}
	}

	g.do("DomainPause", t.Host.DomainPause)
	equal(t, "Paused after DomainPause", g.info().Paused, true)
	// A paused guest may have to leave a physical CPU first; then its time stands.
	var before uint64
	t.until("the guest's time to stand still", func() bool {
		last := before
		before = g.info().CpuTime
		return before == last
	})
	if _, err := g.console.Write([]byte("echo still $((40+2)) here\n")); err != nil {
		t.Errorf("console: %v", err)
	}
	equal(t, "CpuTime of a paused guest", g.info().CpuTime, before)
	g.do("DomainUnpause", t.Host.DomainUnpause)
	equal(t, "Paused after DomainUnpause", g.info().Paused, false)
	g.expect("still 42 here")

	g.do("DomainShutdown", t.Host.DomainShutdown)
	equal(t, "ShutdownReason", g.shutDown(), libxl.ShutdownReasonPoweroff)
}

func checkReboot(t *T, kind libxl.DomainType) {
	g := t.create(t.config(kind))
	g.boot()
	g.do("DomainReboot", t.Host.DomainReboot)
	equal(t, "ShutdownReason", g.shutDown(), libxl.ShutdownReasonReboot)
}

// createErrorChecks try configurations that libxl must refuse.
var createErrorChecks = func() (checks []check) {
	for _, kind := range guestTypes {
		for _, c := range []struct {
			name   string
			change func(*T, *libxl.DomainConfig)
			code   libxl.Error
			log    string
		}{
			{"without its kernel's file", func(_ *T, c *libxl.DomainConfig) { c.BInfo.Kernel = "/nonexistent/vmlinuz" },
				libxl.ErrorFail, "/nonexistent/vmlinuz"},
			{"with a kernel that is none", func(_ *T, c *libxl.DomainConfig) { c.BInfo.Kernel = os.Args[0] }, libxl.ErrorFail, ""},
			{"with a name in use", func(t *T, c *libxl.DomainConfig) { c.CInfo.Name = t.create(t.config(kind)).Config.CInfo.Name },
				libxl.ErrorFail, "already exists"},
			{"with more memory than the host has", func(t *T, c *libxl.DomainConfig) {
				info, err := t.Host.GetPhysinfo()
				t.ok(err, "GetPhysinfo")
				c.BInfo.MaxMemkb = info.TotalPages * 4 * 2
				c.BInfo.TargetMemkb = c.BInfo.MaxMemkb
			}, libxl.ErrorFail, ""},
			{"with too little memory for its kernel", func(_ *T, c *libxl.DomainConfig) {
				c.BInfo.MaxMemkb, c.BInfo.TargetMemkb = 4<<10, 4<<10
			}, libxl.ErrorFail, ""},
		} {
			checks = append(checks, check{domainSection, fmt.Sprintf("a %s guest %s is refused and leaves nothing", kind, c.name), func(t *T) {
				config := t.config(kind)
				c.change(t, config)
				before := xenstoreKeys(t)
				domid, err := t.Host.DomainCreateNew(t.ctx, config)
				if err == nil {
					_ = t.Host.DomainDestroy(t.ctx, domid)
				}
				wantCode(t, "DomainCreateNew", err, c.code)
				equal(t, "the domain's number", domid, libxl.InvalidDomid)
				if e := asError(err); e != nil {
					t.Logf("%v", e)
					if len(e.Log) == 0 {
						t.Errorf("the error carries no line of libxl's log")
					}
					if c.log != "" && !slices.ContainsFunc(e.Log, contains(c.log)) {
						t.Errorf("no line of libxl's log has %q:%s", c.log, logOf(err))
					}
				}
				t.noDomain(config.CInfo.Uuid)
				t.sameKeys(before)
			}})
		}
	}
	return append(checks, check{domainSection, "bad arguments are refused before libxl sees them", checkFieldErrors})
}()

func checkFieldErrors(t *T) {
	calls := t.Host.Calls()["libxl_domain_create_new"].Made
	for path, change := range map[string]func(*libxl.DomainConfig){
		"CInfo.Name":      func(c *libxl.DomainConfig) { c.CInfo.Name = "a\x00b" },
		"CInfo.Type":      func(c *libxl.DomainConfig) { c.CInfo.Type = libxl.DomainTypeInvalid },
		"BInfo.TypeUnion": func(c *libxl.DomainConfig) { c.BInfo.TypeUnion = libxl.NewDomainBuildInfoTypeUnionHvm() },
		"BInfo.MaxVcpus":  func(c *libxl.DomainConfig) { c.BInfo.MaxVcpus = 1 << 40 },
		"Disks[0].Vdev": func(c *libxl.DomainConfig) {
			c.Disks = append(c.Disks, *libxl.NewDeviceDisk())
			c.Disks[0].Vdev = "\x00"
		},
	} {
		c := libxl.NewDomainConfig()
		c.CInfo.Type = libxl.DomainTypePv
		c.BInfo.TypeUnion = libxl.NewDomainBuildInfoTypeUnionPv()
		change(c)
		_, err := t.Host.DomainCreateNew(t.ctx, c)
		var field *xenlight.FieldError
		if !errors.As(err, &field) || field.Path != path {
			t.Errorf("%s: got %v", path, err)
		}
	}
	_, err := t.Host.DomainCreateNew(t.ctx, nil)
	wantError(t, "DomainCreateNew(nil)", err)
	equal(t, "calls of libxl_domain_create_new", t.Host.Calls()["libxl_domain_create_new"].Made, calls)
}
