//go:build linux

package xenbox

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// bootModules are what dom0 needs to find its root: on amd64 its disk is on
// PCI, on arm64 it is not.
var bootModules = map[string][]string{
	"amd64": {"virtio_pci", "virtio_blk", "crc32c_generic", "ext4"},
	"arm64": {"virtio_mmio", "virtio_blk", "crc32c_generic", "ext4"},
}

// initModules are loaded by dom0's init.
var initModules = []string{
	"virtio_console", "xenfs", "xen-evtchn", "xen-gntdev", "xen-gntalloc", "xen-privcmd",
	"xen-blkback", "xen-netback", "xen-pciback", "loop", "bridge", "tun",
}

// extraModules are in the image for those who ask for them.
var extraModules = []string{
	"veth", "dummy", "xen-scsiback", "xen-blkfront", "xen-netfront",
	"pvcalls-front", "xen-acpi-processor", "xen_wdt",
	"overlay", "squashfs", "isofs", "vfat", "nls_ascii", "nls_cp437", "nls_iso8859-1", "virtio_net", "virtio_rng",
	"dm-mod", "nbd", "brd", "null_blk", "fuse", "autofs4", "unix_diag", "inet_diag", "tcp_diag",
}

// hardwareModules are drivers of what QEMU emulates, for dom0 and HVM guests,
// and what they need of the folders that are sifted.
var hardwareModules = []string{
	"libata", "ata-piix", "scsi-common", "scsi-mod", "sr-mod", "sd-mod",
	"usb-common", "usbcore", "uhci-hcd", "ehci-hcd", "ehci-pci", "xhci-hcd", "xhci-pci",
	"hid", "hid-generic", "usbhid", "evdev", "psmouse", "e1000", "8139cp", "mii",
}

// guestBootModules are loaded by the guest kit's init.
var guestBootModules = []string{"xen-blkfront", "xen-netfront"}

// guestModules are in the guest kit's initrd for modprobe.
var guestModules = append([]string{"xen-pcifront", "9p", "9pnet_xen", "isofs", "xen_wdt"}, hardwareModules...)

// A moduleTree is the modules of one kernel in a root.
type moduleTree struct {
	dir  string              // .../lib/modules/VERSION
	deps map[string][]string // file below dir, without .xz: files it needs, in depmod's order
	name map[string]string   // module's name with dashes: file
}

// selectModules drops every module that is not wanted or needed by a wanted
// one, unpacks the rest, and indexes them for modprobe.
func selectModules(ctx context.Context, arch, root, version string, tools map[string]string) (*moduleTree, error) {
	dir := filepath.Join(root, "usr/lib/modules", version)
	if err := depmod(ctx, tools["depmod"], root, version); err != nil {
		return nil, err
	}
	tree, err := readModules(dir)
	if err != nil {
		return nil, err
	}
	keep := make(map[string]bool)
	for _, f := range tree.closure(slices.Concat(bootModules[arch], initModules, extraModules, hardwareModules, guestBootModules, guestModules)) {
		keep[f] = true
	}
	var packed []string
	err = filepath.WalkDir(filepath.Join(dir, "kernel"), func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, _ := filepath.Rel(dir, p)
		if !keep[rel] {
			return os.Remove(p)
		}
		if strings.HasSuffix(p, ".xz") {
			packed = append(packed, p)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(packed) > 0 {
		xz, ok := tools["xz"]
		if !ok {
			return nil, &MissingToolError{Tools: []string{"xz"}, Packages: []string{toolPackages["xz"]}}
		}
		if out, err := exec.CommandContext(ctx, xz, append([]string{"-d", "-T0", "--"}, packed...)...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("xz: %w\n%s", err, out)
		}
		if err := depmod(ctx, tools["depmod"], root, version); err != nil {
			return nil, err
		}
	} else if err := depmod(ctx, tools["depmod"], root, version); err != nil {
		return nil, err
	}
	return readModules(dir)
}

func depmod(ctx context.Context, tool, root, version string) error {
	out, err := exec.CommandContext(ctx, tool, "-b", root, version).CombinedOutput()
	if err != nil {
		return fmt.Errorf("depmod: %w\n%s", err, out)
	}
	return nil
}

// readModules reads modules.dep.
func readModules(dir string) (*moduleTree, error) {
	f, err := os.Open(filepath.Join(dir, "modules.dep"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	t := &moduleTree{dir: dir, deps: make(map[string][]string), name: make(map[string]string)}
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		file, deps, ok := strings.Cut(sc.Text(), ":")
		if !ok {
			continue
		}
		t.deps[file] = strings.Fields(deps)
		t.name[moduleName(file)] = file
	}
	if len(t.name) == 0 {
		return nil, errors.Join(sc.Err(), fmt.Errorf("%s lists no module", f.Name()))
	}
	return t, sc.Err()
}

// moduleName is the name of a module file with underscores as dashes.
func moduleName(file string) string {
	base, _, _ := strings.Cut(filepath.Base(file), ".ko")
	return strings.ReplaceAll(base, "_", "-")
}

// closure lists the files of the named modules and of all they need, those
// needed first. Names that the kernel has built in (or lacks) are left out.
func (t *moduleTree) closure(names []string) []string {
	var files []string
	seen := make(map[string]bool)
	add := func(f string) {
		if !seen[f] {
			seen[f] = true
			files = append(files, f)
		}
	}
	for _, n := range names {
		f, ok := t.name[strings.ReplaceAll(n, "_", "-")]
		if !ok {
			continue
		}
		// depmod lists the direct needs first, the deepest last.
		for _, d := range slices.Backward(t.deps[f]) {
			add(d)
		}
		add(f)
	}
	return files
}
