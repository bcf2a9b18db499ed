// Firstguest creates a guest on the Xen host that it runs on, shows what the
// guest prints, pauses it and lets it go on, shuts it down and destroys it.
//
// "make demo" runs it in a throw-away Xen host.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/go-xenlight/xenlight"
	"github.com/go-xenlight/xenlight/libxl"
)

var (
	kernel  = flag.String("kernel", "/usr/share/xenbox/guest/vmlinux", "the guest's kernel")
	ramdisk = flag.String("ramdisk", "/usr/share/xenbox/guest/initrd.img", "the guest's initramfs")
	ready   = flag.String("ready", "xenlight guest: up", "the line by which the guest says that it has booted")
	kind    = flag.String("type", "pvh", "the guest's type: pv or pvh")
)

func main() {
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()

	d := &demo{}
	err := d.run(ctx)
	failed := 0
	if err != nil {
		failed = 1
		fmt.Printf("FAILED: %v\n", err)
	}
	fmt.Printf("demo: %d steps passed, %d failed\n", d.passed, failed)
	os.Exit(failed)
}

type demo struct{ passed int }

// step tells what has just worked.
func (d *demo) step(format string, args ...any) {
	d.passed++
	fmt.Printf("%2d. %s\n", d.passed, fmt.Sprintf(format, args...))
}

func (d *demo) run(ctx context.Context) (err error) {
	host, err := xenlight.Open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, host.Close()) }()
	version, err := host.GetVersionInfo()
	if err != nil {
		return err
	}
	d.step("this is Xen %d.%d%s; loaded %s", version.XenVersionMajor, version.XenVersionMinor, version.XenVersionExtra, host.Library())

	config, err := guest()
	if err != nil {
		return err
	}
	domid, err := host.DomainCreateNew(ctx, config)
	if err != nil {
		return err
	}
	// Whatever happens from here on, the guest does not stay.
	defer func() {
		destroyed := host.DomainDestroy(context.WithoutCancel(ctx), domid)
		if destroyed == nil {
			d.step("destroyed domain %d", domid)
		}
		err = errors.Join(err, destroyed)
	}()
	d.step("created domain %d, a %s guest of %d MB", domid, config.CInfo.Type, config.BInfo.MaxMemkb/1024)

	tty, err := host.PrimaryConsoleGetTty(domid)
	if err != nil {
		return err
	}
	// Without O_NOCTTY the guest's end would hang up on this program.
	console, err := os.OpenFile(tty, os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	defer console.Close()
	d.step("its console is %s", tty)

	if err := host.DomainUnpause(ctx, domid); err != nil {
		return err
	}
	d.step("unpaused; the guest boots and says:")
	if err := show(ctx, console); err != nil {
		return err
	}
	d.step("the guest has booted to its own userspace")

	if err := host.DomainPause(ctx, domid); err != nil {
		return err
	}
	if err := wait(ctx, host, domid, func(i libxl.Dominfo) bool { return i.Paused }); err != nil {
		return err
	}
	d.step("paused it")
	if err := host.DomainUnpause(ctx, domid); err != nil {
		return err
	}
	if err := wait(ctx, host, domid, func(i libxl.Dominfo) bool { return !i.Paused }); err != nil {
		return err
	}
	d.step("unpaused it")

	if err := host.DomainShutdown(ctx, domid); err != nil {
		return err
	}
	if err := wait(ctx, host, domid, func(i libxl.Dominfo) bool { return i.Shutdown }); err != nil {
		return err
	}
	info, err := host.DomainInfo(domid)
	if err != nil {
		return err
	}
	if info.ShutdownReason != libxl.ShutdownReasonPoweroff {
		return fmt.Errorf("the guest has shut down because of %s, not to power off", info.ShutdownReason)
	}
	d.step("asked it to shut down, and it powered off")
	return nil
}

// guest describes a small guest. New gives libxl's defaults; the rest is what
// this guest is to be.
func guest() (*libxl.DomainConfig, error) {
	c := libxl.NewDomainConfig()
	t, err := libxl.DomainTypeFromString(*kind)
	if err != nil {
		return nil, err
	}
	c.CInfo.Type = t
	c.CInfo.Name = fmt.Sprintf("firstguest-%d", os.Getpid())
	c.CInfo.Uuid = libxl.NewUuid()
	c.BInfo.MaxVcpus = 1
	c.BInfo.MaxMemkb = 128 * 1024
	c.BInfo.TargetMemkb = c.BInfo.MaxMemkb
	c.BInfo.Kernel, c.BInfo.Ramdisk = *kernel, *ramdisk
	c.BInfo.Cmdline = "console=hvc0 quiet"
	switch t {
	case libxl.DomainTypePv:
		c.BInfo.TypeUnion = libxl.NewDomainBuildInfoTypeUnionPv()
	case libxl.DomainTypePvh:
		c.BInfo.TypeUnion = libxl.NewDomainBuildInfoTypeUnionPvh()
	default:
		return nil, fmt.Errorf("this demonstration knows pv and pvh guests, not %s", t)
	}
	return c, nil
}

// show prints what the guest prints, up to the line that says that it is ready.
func show(ctx context.Context, console *os.File) error {
	stop := context.AfterFunc(ctx, func() { console.Close() })
	defer stop()
	lines := bufio.NewScanner(console)
	for lines.Scan() {
		line := strings.TrimRight(lines.Text(), "\r")
		fmt.Printf("    | %s\n", line)
		if strings.Contains(line, *ready) {
			return nil
		}
	}
	return errors.Join(fmt.Errorf("the console ended before %q", *ready), lines.Err(), ctx.Err())
}

// wait returns as soon as the domain is as wanted.
func wait(ctx context.Context, host *xenlight.Host, domid libxl.Domid, ok func(libxl.Dominfo) bool) error {
	for {
		info, err := host.DomainInfo(domid)
		if err != nil || ok(info) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}
