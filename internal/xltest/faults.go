package xltest

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/go-xenlight/xenlight"
	"github.com/go-xenlight/xenlight/internal/capi"
	"github.com/go-xenlight/xenlight/libxl"
)

var faultChecks = []check{
	{loadSection, "a guest that ignores shutdown requests is waited for no longer than asked, and destroyed", checkIgnored},
	{loadSection, "a guest whose disk image is missing, or that is bigger than the host, is refused and leaves nothing", checkRefused},
	{loadSection, "a Host opened and closed many times leaves nothing", checkOpens},
	{loadSection, "leaks that are planted are found", checkPlanted},
}

func checkIgnored(t *T) {
	was := t.snapshot()
	for _, kind := range t.kinds() {
		g := t.create(t.tiny(kind, "tiny=ignore"))
		g.start()
		g.expect("tiny: up")
		// libxl waits for the guest to answer, up to a minute.
		for what, wait := range map[string]func(context.Context) error{
			"DomainShutdown": func(ctx context.Context) error { return t.Host.DomainShutdown(ctx, g.Domid) },
			"WaitShutdown": func(ctx context.Context) error {
				_, err := t.Host.WaitShutdown(ctx, g.Domid)
				return err
			},
		} {
			start := time.Now()
			const patience = time.Second
			ctx, cancel := context.WithTimeout(t.ctx, patience)
			err := wait(ctx)
			cancel()
			if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took < patience {
				t.Errorf("%s of a guest that ignores it: %v after %v", what, err, took)
			}
		}
		if g.info().Shutdown {
			t.Errorf("the guest has shut down")
		}
		g.say("echo still here")
		g.expect("tiny: still here")
		g.destroy()
		t.noDomain(g.Config.CInfo.Uuid)
		g.console.Close()
	}
	t.nothingLeft(was)
}

// refused demands that a creation fails for a reason that the error tells.
func (t *T) refused(what string, c *libxl.DomainConfig, reason string) {
	domid, err := t.Host.DomainCreateNew(t.ctx, c)
	if err == nil {
		t.adopt(c, domid)
		t.Errorf("%s: it was created", what)
		return
	}
	t.Logf("%s: %v", what, err)
	wantError(t, what, err)
	equal(t, "the number of a domain that is refused", domid, libxl.InvalidDomid)
	if !strings.Contains(strings.ToLower(err.Error()+logOf(err)), reason) {
		t.Errorf("%s: %v does not say %q%s", what, err, reason, logOf(err))
	}
}

func checkRefused(t *T) {
	const absent = "/nonexistent/xltest.img"
	attempt := func() {
		for _, kind := range t.kinds() {
			c := t.tiny(kind, "")
			c.Disks = append(c.Disks, *disk("xvda", absent, libxl.DiskBackendPhy))
			t.refused("a guest without its disk", c, absent)

			info, err := t.Host.GetPhysinfo()
			t.ok(err, "GetPhysinfo")
			const page = 4 // kB
			c = t.tiny(kind, "")
			c.BInfo.MaxMemkb = (info.TotalPages + 1<<18) * page
			c.BInfo.TargetMemkb = c.BInfo.MaxMemkb
			t.refused("a guest that is bigger than the host", c, "out of memory")
		}
	}
	attempt() // what is made once is there then
	was := t.snapshot()
	attempt()
	now := t.nothingLeft(was)
	t.Logf("since before: %s", was.difference(now))

	// A host that has no room is waited for, and not for ever.
	const patience = 300 * time.Millisecond
	start := time.Now()
	ctx, cancel := context.WithTimeout(t.ctx, patience)
	defer cancel()
	err := t.Host.WaitForFreeMemory(ctx, 1<<40)
	wantCode(t, "WaitForFreeMemory", err, libxl.ErrorNomem)
	if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took < patience {
		t.Errorf("WaitForFreeMemory: %v after %v", err, took)
	}
}

func checkOpens(t *T) {
	open := func(n int) {
		for range n {
			h, err := xenlight.Open()
			t.ok(err, "Open")
			_, err = h.ListDomain()
			t.ok(errors.Join(err, h.Close()), "ListDomain and Close")
		}
	}
	open(10) // what is made once is there then
	was := t.snapshot()
	start := time.Now()
	open(t.o.Load.Opens)
	took := time.Since(start)
	now := t.nothingLeft(was)
	t.Logf("%d times in %v; since before: %s", t.o.Load.Opens, took.Round(time.Millisecond), was.difference(now))
}

// once is for what is undone within the check, and after it if it does not come so
// far.
func (t *T) once(f func()) func() {
	f = sync.OnceFunc(f)
	t.Cleanup(f)
	return f
}

// checkPlanted leaves one of each behind and demands that it is noticed.
func checkPlanted(t *T) {
	was := t.snapshot()
	notice := func(what, name string) {
		t.until(what+" to be noticed", func() bool {
			now, err := takeSnapshot(t.Host)
			t.ok(err, "looking at the host")
			for _, f := range was.grown(now) {
				if strings.HasPrefix(f, name) {
					t.Logf("%s: %s", what, f)
					return true
				}
			}
			return false
		})
	}

	g := t.create(t.tiny(t.plain(), ""))
	notice("a domain", "domains: ")
	notice("its keys", "xenstore keys: ")
	notice("its memory", "Xen memory not free: ")
	g.destroy()
	t.nothingLeft(was)

	x := t.xenbus()
	was = t.snapshot() // with the connection
	const key = "/local/domain/0/xltest"
	t.ok(x.Write(key, "planted"), "xenstore")
	notice("a key", "xenstore keys: ")
	t.ok(x.Remove(key), "xenstore")
	t.nothingLeft(was)

	file := t.file("", diskSize)
	f, err := os.Open(file)
	t.ok(err, file)
	notice("a descriptor", "descriptors: ")
	t.ok(f.Close(), "Close")

	_, detach := t.loop(file)
	notice("a loop device", "loop devices: ")
	detach()

	child := exec.Command("sleep", "1h")
	t.ok(child.Start(), "sleep")
	endChild := t.once(func() {
		_ = child.Process.Kill() // which is not over
		_ = child.Wait()         // it was killed
	})
	notice("a child", "children: ")
	endChild()

	// Processes that are not children: one that runs, and one that nobody waits for.
	if was.programs != nil {
		parent := exec.Command("sh", "-c", "sleep 1h & sleep 0 & exec tail -f /dev/null")
		parent.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
		t.ok(parent.Start(), "sh")
		endAll := t.once(func() {
			_ = unix.Kill(-parent.Process.Pid, unix.SIGKILL) // which are not over
			_ = parent.Wait()                                // it was killed
		})
		notice("a process", "process: 1 new: sleep")
		notice("a zombie", "process: 1 new: [sleep]")
		endAll()
	}

	stop := make(chan struct{})
	go func() { <-stop }()
	endGoroutine := t.once(func() { close(stop) })
	notice("a goroutine", "goroutines: ")
	endGoroutine()

	h := t.open()
	notice("a Host", "descriptors: ")
	t.ok(h.Close(), "Close")

	lib, err := capi.Load(t.Host.Library()) // it is loaded already
	t.ok(err, "the library")
	if was.memory.heap > 0 {
		giveBack, err := lib.Waste(1 << 20)
		t.ok(err, "C memory")
		giveBack = t.once(giveBack)
		notice("C memory", "C heap: ")
		giveBack()
		t.nothingLeft(was)
	}
	end, err := lib.Linger()
	t.ok(err, "a thread")
	end = t.once(end)
	notice("a thread that is not Go's", "threads not Go's: ")
	end()
	t.nothingLeft(was)
}
