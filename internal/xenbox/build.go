//go:build linux

package xenbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// The artefacts of an image, names below its folder.
const (
	fileXen    = "xen"       // the hypervisor, unpacked
	fileKernel = "vmlinux"   // dom0's kernel, unpacked where possible
	fileInitrd = "initrd"    // dom0's initramfs
	fileRoot   = "root.ext4" // dom0's root, a sparse file
)

// rootSize is the size of dom0's file system. The file is sparse: only what
// is used takes room.
const rootSize = "2G"

// buildTools are the host's programs that every build needs.
var buildTools = []string{"mmdebstrap", "mke2fs", "depmod", "ldconfig"}

// buildImage makes the target's artefacts in dir, an empty folder.
func buildImage(ctx context.Context, t target, dir string, p *progress) error {
	names := buildTools
	if os.Geteuid() != 0 {
		names = append(names[:len(names):len(names)], "newuidmap")
	}
	tools, err := needTools(names...)
	if err != nil {
		return err
	}
	if xz, ok := lookTool("xz"); ok {
		tools["xz"] = xz
	}

	rootDir := filepath.Join(dir, "root")
	if err := os.Mkdir(rootDir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(rootDir)
	if err != nil {
		return err
	}
	defer root.Close()
	err = bootstrap(ctx, t, tools["mmdebstrap"], p, func(r io.Reader) error { return unpackRoot(r, root) })
	if err != nil {
		return err
	}

	b := &builder{t: t, dir: dir, root: rootDir, tools: tools}
	steps := []struct {
		name string
		do   func(context.Context) error
	}{
		{"unpacking the hypervisor and the kernel", b.kernels},
		{"choosing kernel modules", b.modules},
		{"making the initramfs", b.initramfs},
		{"making the guest kit", b.guestKit},
		{"configuring dom0", b.configure},
		{"making the file system", b.fileSystem},
	}
	for _, s := range steps {
		p.stage(s.name)
		if err := s.do(ctx); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			var missing *MissingToolError
			if errors.As(err, &missing) {
				return missing
			}
			return &BuildError{Step: s.name, Err: err}
		}
	}
	return nil
}

// A builder holds what the steps of one build hand on.
type builder struct {
	t       target
	dir     string // where the artefacts go
	root    string // dom0's root while it is made
	tools   map[string]string
	version string // of the kernel
	vmlinuz []byte // as Debian packs it
	mods    *moduleTree
}

// kernels takes hypervisor and kernel out of the root.
func (b *builder) kernels(ctx context.Context) error {
	boot := filepath.Join(b.root, "boot")
	xen := filepath.Join(boot, "xen-"+b.t.Xen+"-"+b.t.Arch)
	err := os.Rename(xen, filepath.Join(b.dir, fileXen)) // arm64's is not packed
	if errors.Is(err, os.ErrNotExist) {
		err = gunzipFile(xen+".gz", filepath.Join(b.dir, fileXen))
	}
	if err != nil {
		return err
	}
	// Newer packages leave it to their scripts to put the kernel into /boot.
	found, _ := filepath.Glob(filepath.Join(boot, "vmlinuz-*"))
	modules, _ := filepath.Glob(filepath.Join(b.root, "usr/lib/modules/*"))
	if len(found) == 0 {
		found, _ = filepath.Glob(filepath.Join(b.root, "usr/lib/modules/*/vmlinuz"))
	}
	if len(found) != 1 || len(modules) != 1 {
		return fmt.Errorf("expected one kernel and its modules, found %q and %q", found, modules)
	}
	b.version = filepath.Base(modules[0])
	if b.vmlinuz, err = os.ReadFile(found[0]); err != nil {
		return err
	}
	if err := os.Remove(found[0]); err != nil {
		return err
	}
	kernel, err := unpackKernel(ctx, b.vmlinuz)
	if err != nil {
		if !errors.Is(err, errPacked) {
			return err
		}
		kernel = b.vmlinuz
	}
	if err := os.WriteFile(filepath.Join(b.dir, fileKernel), kernel, 0o644); err != nil {
		return err
	}
	return os.RemoveAll(boot)
}

func (b *builder) modules(ctx context.Context) (err error) {
	b.mods, err = selectModules(ctx, b.t.Arch, b.root, b.version, b.tools)
	return err
}

// addBusybox puts busybox and modules into an initramfs: modules/order lists
// those to load at start; modprobe finds these and more.
func (b *builder) addBusybox(c *cpioWriter, start, more []string) error {
	c.dirs("bin", "sbin", "dev", "proc", "sys", "root", "modules", "tmp", "lib", "lib/modules")
	c.link("lib/modules/"+b.version, "../../modules")
	c.char("dev/console", 0o600, 5, 1)
	c.char("dev/null", 0o666, 1, 3)
	if err := c.copyFile("bin/busybox", 0o755, filepath.Join(b.root, "usr/bin/busybox")); err != nil {
		return err
	}
	c.link("bin/sh", "busybox")
	var order, deps strings.Builder
	for _, f := range b.mods.closure(start) {
		order.WriteString(filepath.Base(f) + "\n")
	}
	for _, f := range b.mods.closure(slices.Concat(start, more)) {
		if err := c.copyFile("modules/"+filepath.Base(f), 0o644, filepath.Join(b.mods.dir, f)); err != nil {
			return err
		}
		deps.WriteString(filepath.Base(f) + ":")
		for _, d := range b.mods.deps[f] {
			deps.WriteString(" " + filepath.Base(d))
		}
		deps.WriteString("\n")
	}
	c.file("modules/order", 0o644, []byte(order.String()))
	c.file("modules/modules.dep", 0o644, []byte(deps.String()))
	return nil
}

func (b *builder) initramfs(context.Context) error {
	var c cpioWriter
	if err := b.addBusybox(&c, bootModules[b.t.Arch], nil); err != nil {
		return err
	}
	c.file("init", 0o755, initramfsScript)
	return os.WriteFile(filepath.Join(b.dir, fileInitrd), c.bytes(), 0o644)
}

// guestKit puts a kernel and an initramfs for guests into dom0's root.
func (b *builder) guestKit(context.Context) error {
	kit := filepath.Join(b.root, "usr/share/xenbox/guest")
	if err := os.MkdirAll(kit, 0o755); err != nil {
		return err
	}
	var c cpioWriter
	if err := b.addBusybox(&c, guestBootModules, guestModules); err != nil {
		return err
	}
	c.file("init", 0o755, guestInitScript)
	for _, end := range []string{"poweroff", "reboot", "halt"} {
		c.file("sbin/"+end, 0o755, []byte("#!/bin/sh\nexec /bin/busybox "+end+" -f\n"))
	}
	for _, applet := range guestApplets {
		c.link("bin/"+applet, "busybox")
	}
	kernel, err := os.ReadFile(filepath.Join(b.dir, fileKernel))
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(kit, "initrd.img"), c.bytes(), 0o644),
		os.WriteFile(filepath.Join(kit, "vmlinuz"), b.vmlinuz, 0o644),
		os.WriteFile(filepath.Join(kit, "vmlinux"), kernel, 0o644),
	)
}

// configure writes what maintainer scripts would have set up.
func (b *builder) configure(ctx context.Context) error {
	if err := writeConfig(b.root); err != nil {
		return err
	}
	return runAsRoot(ctx, b.tools["ldconfig"], "-r", b.root)
}

func (b *builder) fileSystem(ctx context.Context) error {
	err := runAsRoot(ctx, b.tools["mke2fs"], "-q", "-F", "-t", "ext4", "-L", "xenbox", "-m", "0", "-N", "65536",
		"-O", "^has_journal", "-E", "lazy_itable_init=1,root_owner=0:0", "-d", b.root,
		filepath.Join(b.dir, fileRoot), rootSize)
	if err != nil {
		return err
	}
	return os.RemoveAll(b.root)
}

// runAsRoot runs a tool that is to see the caller's files as root's: a plain
// user's in a user namespace of its own.
func runAsRoot(ctx context.Context, tool string, args ...string) error {
	cmd := exec.CommandContext(ctx, tool, args...)
	if os.Geteuid() != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
		}
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", filepath.Base(tool), err, out)
	}
	return nil
}
