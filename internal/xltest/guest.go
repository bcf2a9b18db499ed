package xltest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/go-xenlight/xenlight"
	"github.com/go-xenlight/xenlight/libxl"
)

// guest is a domain that xltest has created.
type guest struct {
	t       *T
	Config  *libxl.DomainConfig
	Domid   libxl.Domid
	console *os.File
	said    string
	unheard atomic.Bool // nobody need wait for what it says

	commands int // that the guest's shell has been given
}

var guestNumber atomic.Int32

// config describes a small Linux guest.
func (t *T) config(kind libxl.DomainType) *libxl.DomainConfig {
	if t.o.Kernel == "" {
		t.Cannot("no guest kernel: name one with -kernel and -ramdisk")
	}
	c := t.newConfig(kind, t.o.Kernel, 2, 128<<10)
	c.BInfo.Ramdisk = t.o.Ramdisk
	c.BInfo.Cmdline = "console=hvc0 quiet"
	return c
}

// plain is the type of guests whose type does not matter: PV, which takes the
// least, where there are such guests.
func (t *T) plain() libxl.DomainType {
	info, err := t.Host.GetPhysinfo()
	t.ok(err, "GetPhysinfo")
	if info.CapPv {
		return libxl.DomainTypePv
	}
	return libxl.DomainTypePvh
}

// newConfig describes a guest with nothing but vCPUs and memory, in KB.
func (t *T) newConfig(kind libxl.DomainType, kernel string, vcpus int, memory uint64) *libxl.DomainConfig {
	info, err := t.Host.GetPhysinfo()
	t.ok(err, "GetPhysinfo")
	c := libxl.NewDomainConfig()
	switch kind {
	case libxl.DomainTypePv:
		if !info.CapPv {
			t.Cannot("this hypervisor runs no PV guests")
		}
		c.BInfo.TypeUnion = libxl.NewDomainBuildInfoTypeUnionPv()
	case libxl.DomainTypePvh:
		if !info.CapHvm {
			t.Cannot("this hypervisor runs no PVH guests: no hardware virtualisation")
		}
		c.BInfo.TypeUnion = libxl.NewDomainBuildInfoTypeUnionPvh()
	}
	c.CInfo.Type = kind
	c.CInfo.Name = fmt.Sprintf("xltest-%d-%d", os.Getpid(), guestNumber.Add(1))
	c.CInfo.Uuid = libxl.NewUuid()
	c.BInfo.Kernel = kernel
	c.BInfo.MaxVcpus = vcpus
	for i := range vcpus {
		c.BInfo.AvailVcpus.Set(i)
	}
	c.BInfo.MaxMemkb, c.BInfo.TargetMemkb = memory, memory
	return c
}

// create makes a domain, which is destroyed after the check at the latest.
func (t *T) create(c *libxl.DomainConfig, opts ...xenlight.CreateOption) *guest {
	domid, err := t.Host.DomainCreateNew(t.ctx, c, opts...)
	t.ok(err, "DomainCreateNew")
	return t.adopt(c, domid)
}

// adopt takes over a domain that the check has made.
func (t *T) adopt(c *libxl.DomainConfig, domid libxl.Domid) *guest {
	g := &guest{t: t, Config: c, Domid: domid}
	t.guests = append(t.guests, domid)
	t.Cleanup(func() {
		if g.console != nil {
			g.rest()
			g.console.Close()
		}
		if g.exists() {
			g.destroy()
		}
	})
	return g
}

// rest tells, after a failure, what the guest has said that nobody has read.
func (g *guest) rest() {
	if !g.t.failed || g.console.SetReadDeadline(time.Now().Add(100*time.Millisecond)) != nil {
		return
	}
	said, _ := io.ReadAll(g.console)
	if g.said += string(said); strings.TrimSpace(g.said) != "" {
		g.t.Logf("guest %d has also said:\n%s", g.Domid, g.said)
	}
}

// exists tells whether the domain with the guest's UUID is there, and guards
// everything that is done to it. One that is dying may be gone at the next call.
func (g *guest) exists() bool {
	info, err := g.t.Host.DomainInfo(g.Domid)
	if errors.Is(err, libxl.ErrorDomainNotfound) {
		return false
	}
	g.t.ok(err, "DomainInfo")
	return info.Uuid == g.Config.CInfo.Uuid && !info.Dying
}

func (g *guest) own() {
	if !g.exists() {
		g.t.Fatalf("domain %d is not the one that this check has created", g.Domid)
	}
}

func (g *guest) info() libxl.Dominfo {
	info, err := g.t.Host.DomainInfo(g.Domid)
	g.t.ok(err, "DomainInfo")
	return info
}

type operation func(context.Context, libxl.Domid) error

// do makes an operation on the guest.
func (g *guest) do(what string, f operation) {
	g.own()
	g.t.ok(f(g.t.ctx, g.Domid), what)
}

func (g *guest) destroy() {
	g.own()
	// The check's deadline may be over; the guest must go all the same.
	g.t.ok(g.t.Host.DomainDestroy(context.WithoutCancel(g.t.ctx), g.Domid), "DomainDestroy")
}

// openConsole opens the terminal that libxl names.
func (g *guest) openConsole() {
	tty, err := g.t.Host.PrimaryConsoleGetTty(g.Domid)
	if hvm, ok := g.Config.BInfo.TypeUnion.(*libxl.DomainBuildInfoTypeUnionHvm); ok && hvm.Serial == "" {
		tty, err = g.t.Host.ConsoleGetTty(g.Domid, 0, libxl.ConsoleTypePv)
	}
	g.t.ok(err, "PrimaryConsoleGetTty")
	g.console, err = os.OpenFile(tty, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	g.t.ok(err, "the guest's console")
}

// boot starts the guest and waits until its userspace is up.
func (g *guest) boot() {
	g.openConsole()
	g.do("DomainUnpause", g.t.Host.DomainUnpause)
	g.expect(g.t.o.Ready)
}

// expect reads the console up to a text, which is the end of what it returns. It
// does not wait for a guest that is over.
func (g *guest) expect(text string) (said string) {
	buf := make([]byte, 4096)
	slice := time.Second
	for over := false; !strings.Contains(g.said, text); {
		g.console.SetReadDeadline(time.Now().Add(slice))
		n, err := g.console.Read(buf)
		g.said += string(buf[:n])
		switch {
		case err == nil:
		case !errors.Is(err, os.ErrDeadlineExceeded):
			g.t.Fatalf("the guest has not said %q: %v; it said:\n%s", text, err, g.said)
		case over:
			g.t.Fatalf("the guest has not said %q, and never will: it is over; it said:\n%s", text, g.said)
		case g.unheard.Load() || g.t.ctx.Err() != nil:
			g.t.Fatalf("the guest has not said %q; it said:\n%s", text, g.said)
		case g.over():
			over, slice = true, 5*time.Second // its last words may be on their way
		}
	}
	n := strings.Index(g.said, text) + len(text)
	said, g.said = g.said[:n], g.said[n:]
	return said
}

// over tells whether the guest has ended. One that is suspended has not.
func (g *guest) over() bool {
	info, err := g.t.Host.DomainInfo(g.Domid)
	return err != nil || info.Shutdown && info.ShutdownReason != libxl.ShutdownReasonSuspend
}

// shutDown waits until the guest has shut down, and returns why.
func (g *guest) shutDown() libxl.ShutdownReason {
	var info libxl.Dominfo
	g.t.until("the guest to shut down", func() bool {
		info = g.info()
		return info.Shutdown
	})
	return info.ShutdownReason
}

// asError finds the Error in an error.
func asError(err error) *xenlight.Error {
	var e *xenlight.Error
	errors.As(err, &e)
	return e
}
