package xltest

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/go-xenlight/xenlight/libxl"
)

const domainConfigSection = "Advanced domain config"

// dataChecks are of what libxl keeps of a domain, and of copies of its memory.
var dataChecks = []check{
	{domainConfigSection, "userdata is kept with a domain until it is unlinked or the domain dies", checkUserdata},
	{domainConfigSection, "RetrieveDomainConfiguration tells the configuration as it is now", checkRetrieve},
	{domainConfigSection, "the device model's monitor answers", checkMonitor},
	// Not of a pvh guest: libxl tries each page up to the highest, which takes 12
	// minutes on an emulated host.
	{miscSection, "a core dump of a pv guest is an ELF file with its memory", func(t *T) { checkCoreDump(t, libxl.DomainTypePv) }},
	{miscSection, "Remus copies a guest that runs into a black hole, until it is cancelled", checkRemusBlackhole},
	{miscSection, "Remus lets the copy run when the original is gone", checkRemusFailover},
}

func checkUserdata(t *T) {
	g := t.create(t.tiny(t.plain(), ""))
	file := fmt.Sprintf("/var/lib/xen/userdata-d.%d.%s.xenlight", g.Domid, g.Config.CInfo.Uuid)
	for _, data := range []string{"a", "\x00two\xff\n", strings.Repeat("xenlight", 100000)} {
		got, err := t.Host.UserdataRetrieve(g.Domid, "other")
		if got != nil || err != nil {
			t.Errorf("UserdataRetrieve of nothing: %q, %v", got, err)
		}
		t.ok(t.Host.UserdataStore(g.Domid, "xenlight", []byte(data)), "UserdataStore")
		got, err = t.Host.UserdataRetrieve(g.Domid, "xenlight")
		t.ok(err, "UserdataRetrieve")
		equal(t, "UserdataRetrieve", string(got), data)
		kept, err := os.ReadFile(file)
		t.ok(err, "the file of userdata")
		equal(t, "the file of userdata", string(kept), data)
	}
	t.ok(t.Host.UserdataUnlink(g.Domid, "xenlight"), "UserdataUnlink")
	got, err := t.Host.UserdataRetrieve(g.Domid, "xenlight")
	if got != nil || err != nil {
		t.Errorf("UserdataRetrieve after UserdataUnlink: %q, %v", got, err)
	}
	wantCode(t, "UserdataUnlink of nothing", t.Host.UserdataUnlink(g.Domid, "xenlight"), libxl.ErrorFail)
	wantField(t, "UserdataStore of nothing", t.Host.UserdataStore(g.Domid, "xenlight", nil), "data")
	for _, name := range []string{"", "../x", "a\x00b"} {
		wantField(t, "UserdataStore", t.Host.UserdataStore(g.Domid, name, []byte("x")), "userid")
	}
	wantCode(t, "UserdataStore of a domain that is not there", t.Host.UserdataStore(nobody, "xenlight", []byte("x")), libxl.ErrorLockFail)
	_, err = t.Host.UserdataRetrieve(nobody, "xenlight")
	wantCode(t, "UserdataRetrieve of a domain that is not there", err, libxl.ErrorLockFail)
	wantCode(t, "UserdataUnlink of a domain that is not there", t.Host.UserdataUnlink(nobody, "xenlight"), libxl.ErrorLockFail)

	t.ok(t.Host.UserdataStore(g.Domid, "xenlight", []byte("x")), "UserdataStore")
	g.destroy()
	t.until("the userdata to go with its domain", func() bool {
		_, err := os.Stat(file)
		return errors.Is(err, os.ErrNotExist)
	})
}

func checkRetrieve(t *T) {
	g := t.create(t.tiny(t.plain(), "retrieved"))
	c, err := t.Host.RetrieveDomainConfiguration(t.ctx, g.Domid)
	t.ok(err, "RetrieveDomainConfiguration")
	equal(t, "CInfo.Name", c.CInfo.Name, g.Config.CInfo.Name)
	equal(t, "CInfo.Uuid", c.CInfo.Uuid, g.Config.CInfo.Uuid)
	equal(t, "CInfo.Type", c.CInfo.Type, g.Config.CInfo.Type)
	equal(t, "BInfo.Kernel", c.BInfo.Kernel, g.Config.BInfo.Kernel)
	equal(t, "BInfo.Cmdline", c.BInfo.Cmdline, "retrieved")
	equal(t, "BInfo.MaxMemkb", c.BInfo.MaxMemkb, g.Config.BInfo.MaxMemkb)
	equal(t, "BInfo.MaxVcpus", c.BInfo.MaxVcpus, 1)

	name := g.Config.CInfo.Name + "-now"
	t.ok(t.Host.DomainRename(g.Domid, "", name), "DomainRename")
	t.ok(t.Host.SetMemoryTarget(g.Domid, -1<<10, true, false), "SetMemoryTarget")
	c, err = t.Host.RetrieveDomainConfiguration(t.ctx, g.Domid)
	t.ok(err, "RetrieveDomainConfiguration")
	equal(t, "CInfo.Name after DomainRename", c.CInfo.Name, name)
	equal(t, "BInfo.TargetMemkb after SetMemoryTarget", c.BInfo.TargetMemkb, g.Config.BInfo.TargetMemkb-1<<10)
	_, err = t.Host.RetrieveDomainConfiguration(t.ctx, nobody)
	wantError(t, "RetrieveDomainConfiguration of a domain that is not there", err)

	// It is good for another domain.
	g.destroy()
	t.noDomain(c.CInfo.Uuid)
	c.BInfo.TargetMemkb = c.BInfo.MaxMemkb
	again := t.create(&c)
	again.start()
	again.expect("cmdline=retrieved")
}

func checkMonitor(t *T) {
	g := t.startTiny(libxl.DomainTypeHvm, "")
	for command, answer := range map[string]string{"info status": "VM status: running", "nonsense": "unknown command: 'nonsense'"} {
		said, err := t.Host.QemuMonitorCommand(t.ctx, g.Domid, command)
		t.ok(err, "QemuMonitorCommand")
		if !strings.Contains(said, answer) {
			t.Errorf("QemuMonitorCommand(%s): %q, want %q", command, said, answer)
		}
	}
	t.ok(t.Host.SendTrigger(t.ctx, g.Domid, libxl.TriggerPower, 0), "SendTrigger")
	g.count(3)
	other := t.create(t.tiny(t.plain(), ""))
	_, err := t.Host.QemuMonitorCommand(t.ctx, other.Domid, "info status")
	wantError(t, "QemuMonitorCommand to a guest without a device model", err)
	t.Logf("%v", err)
	_, err = t.Host.QemuMonitorCommand(t.ctx, nobody, "info status")
	wantError(t, "QemuMonitorCommand to a domain that is not there", err)
	_, err = t.Host.QemuMonitorCommand(t.ctx, g.Domid, "a\x00b")
	wantField(t, "QemuMonitorCommand", err, "commandLine")
}

func checkCoreDump(t *T, kind libxl.DomainType) {
	g := t.startTiny(kind, "tiny=echo")
	const secret = "an uncommon sentence"
	g.say("echo " + secret)
	g.expect("tiny: " + secret)
	g.do("DomainPause", t.Host.DomainPause)
	path := filepath.Join(filepath.Dir(t.file("", 0)), g.Config.CInfo.Name+".core")
	t.Cleanup(func() { os.Remove(path) })
	t.ok(t.Host.DomainCoreDump(t.ctx, g.Domid, path), "DomainCoreDump")
	f, err := elf.Open(path)
	t.ok(err, "the core")
	defer f.Close()
	equal(t, "the ELF type", f.Type, elf.ET_CORE)
	pages := f.Section(".xen_pages")
	if pages == nil {
		t.Fatalf("the core has no section .xen_pages, but %v", f.Sections)
	}
	memory, err := pages.Data()
	t.ok(err, "the core's memory")
	// The shared page may count, and there may be holes.
	if n, want := len(memory)/1024, int(g.info().CurrentMemkb); n < want-64 || n > want+64 {
		t.Errorf("the core has %d kB of memory, the domain %d", n, want)
	}
	if !bytes.Contains(memory, []byte(secret)) {
		t.Errorf("the memory in the core lacks what the guest has said")
	}
	if f.Section(".note.Xen") == nil || f.Section(".xen_prstatus") == nil {
		t.Errorf("the core has no notes or no registers: %v", f.Sections)
	}
	g.do("DomainUnpause", t.Host.DomainUnpause)
	g.count(3)
	wantCode(t, "DomainCoreDump of a domain that is not there", t.Host.DomainCoreDump(t.ctx, nobody, path), libxl.ErrorFail)
	wantCode(t, "DomainCoreDump to a folder that is not there", t.Host.DomainCoreDump(t.ctx, g.Domid, "/nonexistent/core"), libxl.ErrorFail)
	wantField(t, "DomainCoreDump", t.Host.DomainCoreDump(t.ctx, g.Domid, "a\x00b"), "filename")
}

// counting counts the bytes that are written to it.
type counting struct{ n atomic.Int64 }

func (c *counting) Write(b []byte) (int, error) {
	c.n.Add(int64(len(b)))
	return len(b), nil
}

// remusInfo is for guests without disks and network.
func remusInfo() *libxl.DomainRemusInfo {
	info := libxl.NewDomainRemusInfo()
	info.Interval = 100
	info.AllowUnsafe.Set(true)
	info.Netbuf.Set(false)
	info.Diskbuf.Set(false)
	info.Colo.Set(false)
	return info
}

// remus keeps a copy of a guest until the function is called that it returns,
// which demands that it has ended for that reason.
func (g *guest) remus(info *libxl.DomainRemusInfo, w io.Writer) (stop func()) {
	ctx, cancel := context.WithCancel(g.t.ctx)
	ended := make(chan error)
	go func() {
		err := g.t.Host.DomainRemusStart(ctx, info, g.Domid, w, nil)
		if ctx.Err() == nil {
			g.unheard.Store(true)
		}
		ended <- err
	}()
	return func() {
		cancel()
		err := <-ended
		wantError(g.t, "DomainRemusStart", err)
		if !errors.Is(err, context.Canceled) {
			g.t.Errorf("DomainRemusStart: %v%s", err, logOf(err))
		}
	}
}

func checkRemusBlackhole(t *T) {
	t.needSave()
	g := t.startTiny(libxl.DomainTypePvh, "")
	info := remusInfo()
	info.Blackhole.Set(true)
	var hole counting
	counted := 2
	func() {
		stop := g.remus(info, &hole)
		defer stop()
		for range 3 {
			// Each checkpoint stops the guest and writes what it has changed;
			// between two it runs.
			last := hole.n.Load()
			g.expect("tiny: resumed")
			if hole.n.Load() <= last {
				t.Errorf("a checkpoint has written nothing after %d bytes", last)
			}
			counted++
			g.count(counted)
		}
	}()
	t.Logf("%d bytes for %d kB of memory", hole.n.Load(), g.Config.BInfo.MaxMemkb)
	equal(t, "Shutdown after Remus", g.info().Shutdown, false)
	g.count(counted + 1)

	safe := remusInfo()
	safe.AllowUnsafe.Set(false)
	wantCode(t, "DomainRemusStart without AllowUnsafe", t.Host.DomainRemusStart(t.ctx, safe, g.Domid, &hole, nil), libxl.ErrorFail)
	wantCode(t, "DomainRemusStart without Colo", t.Host.DomainRemusStart(t.ctx, libxl.NewDomainRemusInfo(), g.Domid, &hole, nil), libxl.ErrorFail)
	wantField(t, "DomainRemusStart", t.Host.DomainRemusStart(t.ctx, info, g.Domid, nil, nil), "w")
	wantError(t, "DomainRemusStart(nil)", t.Host.DomainRemusStart(t.ctx, nil, g.Domid, &hole, nil))
	wantCode(t, "DomainRemusStart of a domain that is not there", t.Host.DomainRemusStart(t.ctx, info, nobody, &hole, nil), libxl.ErrorFail)
}

func checkRemusFailover(t *T) {
	t.needSave()
	g := t.startTiny(libxl.DomainTypePvh, "")
	c := g.Config.Clone()
	c.CInfo.Name += "-copy"
	c.CInfo.Uuid = libxl.NewUuid()
	r, w, err := os.Pipe()
	t.ok(err, "a pipe")
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		defer w.Close()
		stop := g.remus(remusInfo(), w)
		defer stop()
		g.count(3)
		g.expect("tiny: resumed") // from a checkpoint that may have begun before
		g.expect("tiny: resumed")
	}()
	params := libxl.NewDomainRestoreParams()
	params.StreamVersion, params.CheckpointedStream = 2, int(libxl.CheckpointedStreamRemus)
	domid, err := t.Host.DomainCreateRestore(t.ctx, c, r, params)
	r.Close()
	<-gone
	t.ok(err, "DomainCreateRestore of a checkpointed stream")
	copied := t.adopt(c, domid)
	g.destroy()
	copied.goesOn(3)
	t.inCopy("libxl_domain_remus_start")
}
