package xltest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/go-xenlight/xenlight"
	"github.com/go-xenlight/xenlight/libxl"
)

const secondarySection = "Secondary domain operations: manipulate, suspend / resume / reset"

// saveChecks has each of these for each type of guest, but for the last ones.
var saveChecks = func() (checks []check) {
	for _, kind := range guestTypes {
		for _, c := range []struct {
			name string
			run  func(*T, libxl.DomainType)
		}{
			{"is saved to a file, and goes on where it was when it is restored", checkSaveFile},
			{"goes on in another domain at the other end of a pipe", checkSavePipe},
			{"suspends itself and goes on, as if restored or as if nothing had been", checkResume},
			{"goes on when its saving is cancelled, or its writer fails", checkSaveFails},
			{"that does not answer goes on when its saving is cancelled", checkSaveIgnored},
			{"leaves nothing when its restoring is cancelled, or the stream is broken", checkRestoreFails},
		} {
			checks = append(checks, saving(fmt.Sprintf("a tiny %s guest %s", kind, c.name), func(t *T) { c.run(t, kind) }))
		}
		checks = append(checks, saving(fmt.Sprintf("a %s Linux guest moves over a TCP connection while it runs", kind),
			func(t *T) { checkLinuxMoves(t, kind) }))
	}
	for _, c := range []struct {
		name string
		run  func(*T)
	}{
		{"is saved to a file, and goes on where it was when it is restored", func(t *T) { checkSaveFile(t, libxl.DomainTypeHvm) }},
		{"suspends itself and goes on, as if restored or as if nothing had been", func(t *T) { checkResume(t, libxl.DomainTypeHvm) }},
		{"is soft reset, and goes on", checkSoftReset},
	} {
		checks = append(checks, saving("a tiny hvm guest "+c.name, c.run))
	}
	return append(checks,
		check{secondarySection, "on Arm a guest cannot be saved, and goes on", checkArmSaves},
		check{secondarySection, "bad streams and domains are refused before libxl sees them", checkSaveErrors})
}()

// saving is a check of what only guests can that can be saved.
func saving(name string, run func(*T)) check {
	return check{secondarySection, name, func(t *T) {
		t.needSave()
		run(t)
	}}
}

// startTiny starts a tiny guest and has it count to 2.
func (t *T) startTiny(kind libxl.DomainType, cmdline string) *guest {
	var c *libxl.DomainConfig
	if kind == libxl.DomainTypeHvm {
		c = t.tinyHvm()
	} else {
		c = t.tiny(kind, cmdline)
	}
	g := t.create(c)
	g.start()
	g.expect("tiny: up " + kind.String())
	g.count(1)
	g.count(2)
	return g
}

// count has a tiny guest count, and demands how far it has come.
func (g *guest) count(n int) {
	g.say("count")
	g.expect(fmt.Sprintf("tiny: count %d\n", n))
}

// goesOn starts a guest that was restored, which had counted so far.
func (g *guest) goesOn(counted int) {
	g.start()
	g.expect("tiny: resumed")
	g.count(counted + 1)
}

// suspended demands that a guest has suspended itself.
func (g *guest) suspended() {
	equal(g.t, "Shutdown", g.info().Shutdown, true)
	equal(g.t, "ShutdownReason", g.info().ShutdownReason, libxl.ShutdownReasonSuspend)
}

// saved saves a tiny guest that has counted to 2 to a file, and destroys it.
func (t *T) saved(kind libxl.DomainType) (*libxl.DomainConfig, *os.File) {
	g := t.startTiny(kind, "")
	f, err := os.OpenFile(t.file("", 0), os.O_RDWR, 0)
	t.ok(err, "a file")
	t.Cleanup(func() { f.Close() })
	const header = "a header of ours"
	_, err = f.WriteString(header)
	t.ok(err, "the file")
	t.ok(t.Host.DomainSuspend(t.ctx, g.Domid, f), "DomainSuspend")
	g.suspended()
	g.destroy()
	t.noDomain(g.Config.CInfo.Uuid)
	_, err = f.Seek(int64(len(header)), io.SeekStart)
	t.ok(err, "the file")
	return g.Config, f
}

func checkSaveFile(t *T, kind libxl.DomainType) {
	c, f := t.saved(kind)
	info, err := f.Stat()
	t.ok(err, "the file")
	if size := uint64(info.Size()); size < c.BInfo.MaxMemkb<<10/2 {
		t.Errorf("the file has %d bytes for %d kB of memory", size, c.BInfo.MaxMemkb)
	}
	console := make(chan libxl.Domid, 1)
	domid, err := t.Host.DomainCreateRestore(t.ctx, c, f, nil, xenlight.OnConsole(func(d libxl.Domid) { console <- d }))
	t.restored(c, err, "DomainCreateRestore")
	g := t.adopt(c, domid)
	select {
	case d := <-console:
		equal(t, "OnConsole's domain", d, domid)
	case <-t.ctx.Done():
		t.Errorf("OnConsole's function was never called")
	}
	equal(t, "Paused", g.info().Paused, true)
	equal(t, "Uuid", g.info().Uuid, c.CInfo.Uuid)
	g.goesOn(2)
	end, err := f.Seek(0, io.SeekCurrent)
	t.ok(err, "the file")
	equal(t, "how far the file was read", end, info.Size())
}

// move saves a guest to one end of something while another domain is restored
// from the other end, destroys the old one and returns the new.
func (g *guest) move(w io.WriteCloser, r io.Reader, opts ...xenlight.SuspendOption) *guest {
	t := g.t
	c := g.Config.Clone()
	c.CInfo.Name += "-moved"
	c.CInfo.Uuid = libxl.NewUuid()
	sent := make(chan error, 1)
	go func() {
		sent <- errors.Join(t.Host.DomainSuspend(t.ctx, g.Domid, w, opts...), w.Close())
	}()
	domid, err := t.Host.DomainCreateRestore(t.ctx, c, r, nil)
	t.ok(<-sent, "DomainSuspend")
	t.ok(err, "DomainCreateRestore")
	moved := t.adopt(c, domid)
	g.suspended()
	g.destroy()
	return moved
}

func checkSavePipe(t *T, kind libxl.DomainType) {
	g := t.startTiny(kind, "")
	r, w, err := os.Pipe()
	t.ok(err, "a pipe")
	t.Cleanup(func() { r.Close() })
	g = g.move(w, r)
	g.goesOn(2)
	// Neither end has a descriptor.
	pr, pw := io.Pipe()
	g = g.move(pw, pr, t.live(kind)...)
	g.goesOn(3)
}

// live is the option for what a guest can here.
func (t *T) live(kind libxl.DomainType) []xenlight.SuspendOption {
	info, err := t.Host.GetPhysinfo()
	t.ok(err, "GetPhysinfo")
	if kind == libxl.DomainTypePv && !info.CapShadow {
		t.Logf("no shadow paging here: a pv guest cannot be saved while it runs")
		return nil
	}
	return []xenlight.SuspendOption{xenlight.SuspendLive}
}

func checkLinuxMoves(t *T, kind libxl.DomainType) {
	g := t.create(t.config(kind))
	g.boot()
	g.sh("i=0; while sleep 1; do i=$((i+1)); echo $i >/count; done & true")
	g.await("the guest to count", "[ $(cat /count) -ge 2 ]")
	before := g.sh("cat /count /proc/sys/kernel/random/boot_id")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	t.ok(err, "a listener")
	defer l.Close()
	w, err := net.Dial("tcp", l.Addr().String())
	t.ok(err, "a connection")
	r, err := l.Accept()
	t.ok(err, "a connection")
	t.Cleanup(func() { r.Close() })
	g = g.move(w, r, t.live(kind)...)
	g.start()
	after := g.sh("cat /count /proc/sys/kernel/random/boot_id")
	was, bootID, _ := strings.Cut(before, "\n")
	is, nowID, _ := strings.Cut(after, "\n")
	equal(t, "the guest's boot ID", strings.TrimSpace(nowID), strings.TrimSpace(bootID))
	g.await("the guest to go on counting", "[ $(cat /count) -gt "+strings.TrimSpace(is)+" ]")
	t.Logf("the guest had counted to %s before and to %s after the move", strings.TrimSpace(was), strings.TrimSpace(is))
}

func checkResume(t *T, kind libxl.DomainType) {
	g := t.startTiny(kind, "")
	counted := 2
	for _, suspend := range []struct {
		name string
		f    operation
	}{
		{"DomainSuspendOnly", t.Host.DomainSuspendOnly},
		{"DomainSuspend", func(ctx context.Context, d libxl.Domid) error { return t.Host.DomainSuspend(ctx, d, io.Discard) }},
	} {
		for _, cancel := range []bool{true, false} {
			g.do(suspend.name, suspend.f)
			g.suspended()
			t.ok(t.Host.DomainResume(t.ctx, g.Domid, cancel), fmt.Sprintf("DomainResume(%t) after %s", cancel, suspend.name))
			equal(t, "Shutdown after DomainResume", g.info().Shutdown, false)
			g.expect("tiny: resumed")
			counted++
			g.count(counted)
		}
	}
	if err := t.Host.DomainResume(t.ctx, g.Domid, true); kind != libxl.DomainTypePvh || t.release() > 14 { // where libxl does not look
		wantError(t, "DomainResume of a guest that runs", err)
	}
	g.count(counted + 1)
}

// stalling is a writer that takes some bytes, says so, and no more until it is
// closed.
type stalling struct {
	room  atomic.Int64
	full  chan struct{}
	close chan struct{}
}

func newStalling(room int64) *stalling {
	s := &stalling{full: make(chan struct{}), close: make(chan struct{})}
	s.room.Store(room)
	return s
}

func (s *stalling) Write(b []byte) (int, error) {
	if n := s.room.Add(-int64(len(b))); n > 0 {
		return len(b), nil
	} else if n+int64(len(b)) > 0 {
		close(s.full)
	}
	<-s.close
	return 0, io.ErrClosedPipe
}

func checkSaveFails(t *T, kind libxl.DomainType) {
	g := t.startTiny(kind, "")
	counted := 2
	kinds := [][]xenlight.SuspendOption{nil, append(t.live(kind), xenlight.SuspendDebug)}
	if t.live(kind) == nil {
		err := t.Host.DomainSuspend(t.ctx, g.Domid, io.Discard, xenlight.SuspendLive)
		wantCode(t, "DomainSuspend of a pv guest while it runs", err, libxl.ErrorGuestTimedout)
	}
	for _, opts := range kinds {
		w := newStalling(100)
		ctx, cancel := context.WithCancel(t.ctx)
		go func() {
			select {
			case <-w.full:
			case <-ctx.Done():
			}
			cancel()
		}()
		err := t.Host.DomainSuspend(ctx, g.Domid, w, opts...)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("DomainSuspend%v to a writer that stalls: %v", opts, err)
		}
		cancel()
		close(w.close)
		equal(t, "Shutdown after a cancelled DomainSuspend", g.info().Shutdown, false)
		counted++
		g.count(counted)

		mine := errors.New("the disk is full")
		err = t.Host.DomainSuspend(t.ctx, g.Domid, failing{mine}, opts...)
		wantError(t, "DomainSuspend to a writer that fails", err)
		if !errors.Is(err, mine) {
			t.Errorf("DomainSuspend%v to a writer that fails: %v", opts, err)
		}
		equal(t, "Shutdown after a failed DomainSuspend", g.info().Shutdown, false)
		counted++
		g.count(counted)
	}
	// It can still be saved.
	g.do("DomainSuspend", func(ctx context.Context, d libxl.Domid) error { return t.Host.DomainSuspend(ctx, d, io.Discard) })
	g.suspended()
}

// failing is a writer and a reader that fails.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error)  { return 0, f.err }
func (f failing) Write([]byte) (int, error) { return 0, f.err }

func checkSaveIgnored(t *T, kind libxl.DomainType) {
	g := t.startTiny(kind, "tiny=ignore")
	for what, suspend := range map[string]operation{
		"DomainSuspend":     func(ctx context.Context, d libxl.Domid) error { return t.Host.DomainSuspend(ctx, d, io.Discard) },
		"DomainSuspendOnly": t.Host.DomainSuspendOnly,
	} {
		ctx, cancel := context.WithCancel(t.ctx)
		go func() {
			defer cancel()
			t.xenstoreIs(g.path("control/shutdown"), "suspend")
		}()
		err := suspend(ctx, g.Domid)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", what, err)
		}
		equal(t, "Shutdown", g.info().Shutdown, false)
	}
	g.count(3)
}

// halting gives some bytes, says so, and then nothing until it is closed.
type halting struct {
	io.Reader
	at    chan struct{}
	close chan struct{}
}

func (h *halting) Read(b []byte) (int, error) {
	n, err := h.Reader.Read(b)
	if err == io.EOF {
		close(h.at)
		<-h.close
	}
	return n, err
}

func checkRestoreFails(t *T, kind libxl.DomainType) {
	config, f := t.saved(kind)
	stream, err := io.ReadAll(f)
	t.ok(err, "the file")
	before := xenstoreKeys(t)
	refused := func(what string, err error, domid libxl.Domid) {
		wantError(t, what, err)
		t.Logf("%s: %v", what, err)
		equal(t, what+": the domain's number", domid, libxl.InvalidDomid)
		t.noDomain(config.CInfo.Uuid)
		t.sameKeys(before)
	}
	for name, part := range map[string]int{"before the stream": 0, "in its header": 20, "in the middle": len(stream) / 2} {
		h := &halting{strings.NewReader(string(stream[:part])), make(chan struct{}), make(chan struct{})}
		ctx, cancel := context.WithCancel(t.ctx)
		go func() {
			<-h.at
			cancel()
		}()
		domid, err := t.Host.DomainCreateRestore(ctx, config.Clone(), h, nil)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("DomainCreateRestore cancelled %s: %v", name, err)
		}
		cancel()
		close(h.close)
		refused("DomainCreateRestore cancelled "+name, err, domid)
	}
	mine := errors.New("the network is down")
	domid, err := t.Host.DomainCreateRestore(t.ctx, config.Clone(), io.MultiReader(strings.NewReader(string(stream[:len(stream)/2])), failing{mine}), nil)
	if !errors.Is(err, mine) {
		t.Errorf("DomainCreateRestore from a reader that fails: %v", err)
	}
	refused("DomainCreateRestore from a reader that fails", err, domid)
	for name, c := range map[string]struct {
		stream []byte
		want   func(*T, string, error)
	}{
		"half a stream": {stream[:len(stream)/2], func(t *T, what string, err error) { wantCode(t, what, err, libxl.ErrorFail) }},
		// Libxl would take it for complete.
		"a stream without its end": {stream[:len(stream)-8], func(t *T, what string, err error) { wantCode(t, what, err, libxl.ErrorFail) }},
		"a stream that is garbled": {slices.Concat(stream[:24], bytes.Repeat([]byte("xenlight"), 1000)), func(t *T, what string, err error) { wantCode(t, what, err, libxl.ErrorFail) }},
		"another file":             {bytes.Repeat([]byte("xenlight"), 1000), func(t *T, what string, err error) { wantField(t, what, err, "r") }},
		"nothing": {nil, func(t *T, what string, err error) {
			if !errors.Is(err, io.EOF) {
				t.Errorf("%s: %v", what, err)
			}
		}},
	} {
		domid, err := t.Host.DomainCreateRestore(t.ctx, config.Clone(), bytes.NewReader(c.stream), nil)
		c.want(t, "DomainCreateRestore from "+name, err)
		refused("DomainCreateRestore from "+name, err, domid)
	}
	// The whole stream is still good.
	domid, err = t.Host.DomainCreateRestore(t.ctx, config, strings.NewReader(string(stream)), nil)
	t.ok(err, "DomainCreateRestore")
	t.adopt(config, domid).goesOn(2)
}

func checkSaveErrors(t *T) {
	calls := t.Host.Calls()
	for what, err := range map[string]error{
		"w":     t.Host.DomainSuspend(t.ctx, nobody, nil),
		"domid": t.Host.DomainSuspend(t.ctx, 1<<16+1, io.Discard),
	} {
		wantField(t, "DomainSuspend", err, what)
	}
	readOnly, err := os.Open("/dev/null")
	t.ok(err, "/dev/null")
	defer readOnly.Close()
	wantField(t, "DomainSuspend to a file for reading", t.Host.DomainSuspend(t.ctx, nobody, readOnly), "w")
	_, err = t.Host.DomainCreateRestore(t.ctx, t.config(t.plain()), nil, nil)
	wantField(t, "DomainCreateRestore from nil", err, "r")
	_, err = t.Host.DomainCreateRestore(t.ctx, t.config(t.plain()), readOnly, libxl.NewDomainRestoreParams())
	wantField(t, "DomainCreateRestore of version 1", err, "params.StreamVersion")
	_, err = t.Host.DomainCreateRestore(t.ctx, nil, readOnly, nil)
	wantError(t, "DomainCreateRestore(nil)", err)
	for _, f := range []string{"libxl_domain_suspend", "libxl_domain_create_restore"} {
		equal(t, "calls of "+f, t.Host.Calls()[f], calls[f])
	}
	wantCode(t, "DomainSuspend of a domain that is not there", t.Host.DomainSuspend(t.ctx, nobody, io.Discard), libxl.ErrorFail)
	wantCode(t, "DomainSuspendOnly of a domain that is not there", t.Host.DomainSuspendOnly(t.ctx, nobody), libxl.ErrorFail)
	wantError(t, "DomainResume of a domain that is not there", t.Host.DomainResume(t.ctx, nobody, true))
}
