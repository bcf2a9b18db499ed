package xltest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/go-xenlight/xenlight"
	"github.com/go-xenlight/xenlight/internal/leak"
	"github.com/go-xenlight/xenlight/libxl"
)

const (
	openSection = "Open and Close"
	loopSection = "operations and events"
)

// nobody is a domain that does not exist.
const nobody libxl.Domid = 32000

// OpenOnly is set in the environment of a copy of the program which only opens
// the host and says what came of it.
const OpenOnly = "XLTEST_OPEN_ONLY"

var openChecks = []check{
	{openSection, "without root's rights the error is ErrPermission", checkPermission},
	{openSection, "a Host can be opened and closed many times, and several at once", checkManyHosts},
	{openSection, "a Host that has created and destroyed a guest leaves no descriptor when closed", checkDescriptors},
	{openSection, "every call on a closed Host returns ErrClosed", checkClosed},
}

var loopChecks = []check{
	{loopSection, "operations of many goroutines end, without a thread each", checkManyOperations},
	{loopSection, "a cancelled context ends a creation and leaves nothing", checkCancel},
	{loopSection, "what a cancelled creation leaves that cannot be destroyed is told of, with its number", checkHalfCreated},
	{loopSection, "Close aborts a creation that runs, and CloseContext names it", checkCloseAborts},
	{loopSection, "os/exec works while libxl reaps its own children", checkChildren},
	{loopSection, "an operation with a context that is over is not begun", checkOver},
}

func checkPermission(t *T) {
	dir, err := os.MkdirTemp("", "xltest")
	t.ok(err, "a folder")
	t.Cleanup(func() { os.RemoveAll(dir) })
	t.ok(os.Chmod(dir, 0o755), "chmod")
	program, err := os.ReadFile("/proc/self/exe")
	t.ok(err, "the program itself")
	file := filepath.Join(dir, "xltest")
	t.ok(os.WriteFile(file, program, 0o755), "a copy of the program")
	const uid = 65534
	cmd := exec.CommandContext(t.ctx, file)
	cmd.Env = []string{OpenOnly + "=1"}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	out, err := cmd.CombinedOutput()
	if !strings.HasPrefix(string(out), "ErrPermission: ") {
		t.Errorf("as nobody Open says %q (%v)", out, err)
	}
	t.Logf("%s", strings.TrimSpace(string(out)))
}

// TryOpen opens and closes the host, and names the error of Open.
func TryOpen() string {
	h, err := xenlight.Open()
	if err == nil {
		h.Close()
		return "no error: Open has succeeded"
	}
	name := "another error"
	for n, e := range map[string]error{"ErrNoXen": xenlight.ErrNoXen, "ErrPermission": xenlight.ErrPermission,
		"ErrUnknownRelease": xenlight.ErrUnknownRelease, "ErrNoLibrary": xenlight.ErrNoLibrary} {
		if errors.Is(err, e) {
			name = n
		}
	}
	return fmt.Sprintf("%s: %v", name, err)
}

func checkManyHosts(t *T) {
	var group sync.WaitGroup
	errs := make(chan error, 8)
	for range cap(errs) {
		group.Go(func() {
			for range 5 {
				h, err := xenlight.Open()
				if err != nil {
					errs <- err
					return
				}
				_, err = h.ListDomain()
				if err = errors.Join(err, h.Close(), h.Close()); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	group.Wait()
	close(errs)
	for err := range errs {
		t.Errorf("%v", err)
	}
}

func checkDescriptors(t *T) {
	before, err := takeSnapshot(t.Host)
	t.ok(err, "looking at the host")
	h := t.open()
	config := t.config(t.plain())
	domid, err := h.DomainCreateNew(t.ctx, config)
	t.ok(err, "DomainCreateNew")
	t.ok(h.DomainDestroy(t.ctx, domid), "DomainDestroy")
	t.ok(h.Close(), "Close")
	after, err := takeSnapshot(t.Host)
	t.ok(err, "looking at the host")
	for _, d := range before.process.More(after.process) {
		t.Errorf("%s", d)
	}
}

func (t *T) open() *xenlight.Host {
	h, err := xenlight.Open()
	t.ok(err, "Open")
	t.Cleanup(func() { h.Close() })
	return h
}

func checkClosed(t *T) {
	h := t.open()
	t.ok(h.Close(), "Close")
	config := libxl.NewDomainConfig()
	config.CInfo.Type = libxl.DomainTypePv
	config.BInfo.TypeUnion = libxl.NewDomainBuildInfoTypeUnionPv()
	errs := map[string]error{}
	_, errs["GetVersionInfo"] = h.GetVersionInfo()
	_, errs["GetMaxCpus"] = h.GetMaxCpus()
	_, errs["GetPhysinfo"] = h.GetPhysinfo()
	_, errs["ListDomain"] = h.ListDomain()
	_, errs["DomainCreateNew"] = h.DomainCreateNew(t.ctx, config)
	errs["DomainPause"] = h.DomainPause(t.ctx, nobody)
	_, errs["PrimaryConsoleGetTty"] = h.PrimaryConsoleGetTty(nobody)
	for name, err := range errs {
		if !errors.Is(err, xenlight.ErrClosed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func checkManyOperations(t *T) {
	g := t.create(t.config(t.plain()))
	g.own()
	var group sync.WaitGroup
	// Xen counts how often a domain is paused, and not beyond 127.
	const goroutines, rounds = 100, 5
	errs := make(chan error, goroutines)
	for range goroutines {
		group.Go(func() {
			for range rounds {
				if err := errors.Join(t.Host.DomainPause(t.ctx, g.Domid), t.Host.DomainUnpause(t.ctx, g.Domid)); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	group.Wait()
	close(errs)
	for err := range errs {
		t.ok(err, "DomainPause and DomainUnpause")
	}
	equal(t, "Paused after as many DomainUnpause as DomainPause", g.info().Paused, true)
	threads, err := os.ReadDir("/proc/self/task")
	t.ok(err, "threads")
	t.Logf("%d threads after %d operations of %d goroutines", len(threads), 2*rounds*goroutines, goroutines)
	if len(threads) > 40 {
		t.Errorf("%d threads", len(threads))
	}
}

// scripted describes a disk that is connected when a script has ended: libxl runs
// it while it creates the guest, and does not look what the disk is.
func (t *T) scripted(commands string) libxl.DeviceDisk {
	dir, err := os.MkdirTemp("", "xltest")
	t.ok(err, "a folder")
	t.Cleanup(func() { os.RemoveAll(dir) })
	script := filepath.Join(dir, "block")
	t.ok(os.WriteFile(script, []byte("#!/bin/sh\n[ \"$1\" = add ] || exit 0\n"+commands+"\n"), 0o755), "a script")
	d := disk("xvda", "nothing", libxl.DiskBackendPhy)
	d.Script = script
	return *d
}

// stuck describes a guest whose creation lasts until it is aborted, for the
// script that connects its disk does not end. The channel is closed when the
// creation has come that far.
func (t *T) stuck() (*libxl.DomainConfig, <-chan struct{}) {
	dir, err := os.MkdirTemp("", "xltest")
	t.ok(err, "a folder")
	t.Cleanup(func() { os.RemoveAll(dir) })
	begun := filepath.Join(dir, "begun")
	config := t.config(t.plain())
	config.Disks = append(config.Disks, t.scripted("touch "+begun+"\nexec sleep 1000"))
	there := make(chan struct{})
	go func() {
		defer close(there)
		for t.ctx.Err() == nil {
			if _, err := os.Stat(begun); err == nil {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	}()
	return config, there
}

func checkCancel(t *T) {
	config, stuck := t.stuck()
	before := xenstoreKeys(t)
	_, _ = t.cancelCreation(config, stuck, func() {}) // it has looked at the error
	t.noDomain(config.CInfo.Uuid)
	t.sameKeys(before)
	t.until("no child to be left", func() bool { return len(leak.Children()) == 0 })
}

// cancelCreation cancels a creation where it is stuck, and demands that the error
// names the domain.
func (t *T) cancelCreation(config *libxl.DomainConfig, stuck <-chan struct{}, before func()) (domid libxl.Domid, err error) {
	ctx, cancel := context.WithCancel(t.ctx)
	defer cancel()
	number, ended := make(chan libxl.Domid, 1), make(chan struct{})
	go func() {
		defer close(number)
		select {
		case <-stuck:
		case <-ended:
			return
		}
		list, err := t.Host.ListDomain()
		i := slices.IndexFunc(list, func(d libxl.Dominfo) bool { return d.Uuid == config.CInfo.Uuid })
		before()
		cancel()
		if err == nil && i >= 0 {
			number <- list[i].Domid
		}
	}()
	got, err := t.Host.DomainCreateNew(ctx, config)
	close(ended)
	equal(t, "the domain's number", got, libxl.InvalidDomid)
	if !errors.Is(err, context.Canceled) || !errors.Is(err, libxl.ErrorAborted) {
		t.Errorf("got %v, want context.Canceled and libxl.ErrorAborted%s", err, logOf(err))
	}
	domid, ok := <-number
	if e := asError(err); !ok || e == nil || e.Domid == nil || *e.Domid != domid {
		t.Errorf("the error does not have the number, %d, of the domain that was half created: %#v", domid, e)
	}
	t.Logf("%v", err)
	return domid, err
}

// checkHalfCreated keeps libxl from destroying what is half created: for that it
// wants to read which numbers were used.
func checkHalfCreated(t *T) {
	if !throwAway() {
		t.Cannot("meanwhile nobody on this host could destroy a domain")
	}
	const file, aside = domidHistory, domidHistory + ".xltest"
	t.create(t.tiny(t.plain(), "")).destroy() // so that it is there
	restore := func() {
		if _, err := os.Stat(aside); err != nil {
			return // it is not there any more
		}
		if err := errors.Join(os.Remove(file), os.Rename(aside, file)); err != nil {
			t.Errorf("putting %s back: %v", file, err)
		}
	}
	t.Cleanup(restore)
	config, stuck := t.stuck()
	before := xenstoreKeys(t)
	domid, err := t.cancelCreation(config, stuck, func() {
		if err := errors.Join(os.Rename(file, aside), os.Mkdir(file, 0o755)); err != nil {
			t.Errorf("putting something else in the place of %s: %v", file, err)
		}
	})
	if !errors.Is(err, libxl.ErrorFail) || !strings.Contains(err.Error(), fmt.Sprintf("DomainDestroy of domain %d", domid)) {
		t.Errorf("the error does not say that domain %d is left: %v", domid, err)
	}
	restore()
	t.adopt(config, domid).destroy()
	t.noDomain(config.CInfo.Uuid)
	t.sameKeys(before)
}

func checkCloseAborts(t *T) {
	config, stuck := t.stuck()
	before := xenstoreKeys(t)
	h := t.open()
	created := make(chan error, 1)
	go func() {
		_, err := h.DomainCreateNew(t.ctx, config)
		created <- err
	}()
	<-stuck
	// A Host does not only wait for the creation: other calls go on.
	_, err := h.DomainInfo(nobody)
	wantCode(t, "DomainInfo beside a creation", err, libxl.ErrorDomainNotfound)
	over, cancel := context.WithCancel(t.ctx)
	cancel()
	err = h.CloseContext(over)
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), `DomainCreateNew of domain "`+config.CInfo.Name+`"`) {
		t.Errorf("CloseContext does not say what has not ended: %v", err)
	}
	_, err = h.ListDomain()
	if !errors.Is(err, xenlight.ErrClosed) {
		t.Errorf("ListDomain meanwhile: %v", err)
	}
	t.ok(h.Close(), "Close")
	select {
	case err := <-created:
		if !errors.Is(err, xenlight.ErrClosed) || !errors.Is(err, libxl.ErrorAborted) {
			t.Errorf("DomainCreateNew: %v", err)
		}
	case <-t.ctx.Done():
		t.Errorf("Close has returned, but DomainCreateNew has not")
	}
	t.noDomain(config.CInfo.Uuid)
	t.sameKeys(before)
}

func checkChildren(t *T) {
	stop := make(chan struct{})
	var group sync.WaitGroup
	failures := make(chan error, 1)
	for range cap(failures) {
		group.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if out, err := exec.Command("/bin/sh", "-c", "echo $((6*7))").Output(); err != nil || string(out) != "42\n" {
					failures <- fmt.Errorf("os/exec: %q, %w", out, err)
					return
				}
			}
		})
	}
	for range 2 {
		g := t.create(t.config(t.plain()))
		g.destroy()
		t.noDomain(g.Config.CInfo.Uuid)
	}
	close(stop)
	group.Wait()
	close(failures)
	for err := range failures {
		t.Errorf("%v", err)
	}
	t.until("no child to be left", func() bool { return len(leak.Children()) == 0 })
}

func checkOver(t *T) {
	ctx, cancel := context.WithCancel(t.ctx)
	cancel()
	calls := t.Host.Calls()
	config := t.config(t.plain())
	_, err := t.Host.DomainCreateNew(ctx, config)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("DomainCreateNew: %v", err)
	}
	equal(t, "calls of libxl_domain_create_new", t.Host.Calls()["libxl_domain_create_new"].Made, calls["libxl_domain_create_new"].Made)
	if slices.ContainsFunc([]error{t.Host.DomainDestroy(ctx, nobody), t.Host.DomainPause(ctx, nobody)}, func(err error) bool {
		return !errors.Is(err, context.Canceled)
	}) {
		t.Errorf("an operation was begun")
	}
}
