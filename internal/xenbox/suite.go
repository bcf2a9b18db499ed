//go:build linux

package xenbox

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
)

// A target is one Debian suite on one architecture.
type target struct {
	Suite string // Debian's name of the release
	Arch  string // Debian's and Go's name of the architecture
	Xen   string // the Xen release that the suite carries
	Glibc string // the C library's release
	// Missing says why the target can't be booted yet; empty if it can.
	Missing string
}

// targets lists every suite and architecture that xenbox knows. A new release
// is one more line here, provided that its package names follow the pattern of
// (target).packages.
var targets = []target{
	{Suite: "bookworm", Arch: "amd64", Xen: "4.17", Glibc: "2.36"},
	{Suite: "trixie", Arch: "amd64", Xen: "4.20", Glibc: "2.41"},
	{Suite: "bullseye", Arch: "amd64", Xen: "4.14", Glibc: "2.31", Missing: "its toolstack start-up is not worked out yet"},
	{Suite: "bookworm", Arch: "arm64", Xen: "4.17", Glibc: "2.36", Missing: "booting Xen on arm64 is not built in yet"},
	{Suite: "trixie", Arch: "arm64", Xen: "4.20", Glibc: "2.41", Missing: "booting Xen on arm64 is not built in yet"},
}

// defaultSuite is the suite taken when none is named.
const defaultSuite = "bookworm"

// defaultArch is the host's architecture where it is a target, else amd64:
// emulation makes every target run on every host.
func defaultArch() string {
	for _, t := range targets {
		if t.Arch == runtime.GOARCH && t.Missing == "" {
			return t.Arch
		}
	}
	return "amd64"
}

// findTarget looks a target up and refuses, with the choices, what is unknown
// or not supported yet.
func findTarget(suite, arch string) (target, error) {
	var ready []string
	for _, t := range targets {
		if t.Suite == suite && t.Arch == arch {
			if t.Missing != "" {
				return t, usageErrorf("%s on %s (Xen %s) is not supported yet: %s", suite, arch, t.Xen, t.Missing)
			}
			return t, nil
		}
		if t.Missing == "" {
			ready = append(ready, t.Suite+"/"+t.Arch)
		}
	}
	return target{}, usageErrorf("unknown suite and architecture %s/%s: choose one of %s", suite, arch, strings.Join(ready, ", "))
}

// String is the target's name for people and for folders.
func (t target) String() string { return t.Suite + "-" + t.Arch }

// packages are the Debian packages that are unpacked into the image.
// Their dependencies come along.
func (t target) packages() []string {
	p := []string{
		fmt.Sprintf("xen-hypervisor-%s-%s", t.Xen, t.Arch),
		"xen-utils-" + t.Xen,
		"xen-utils-common",
		"xenstore-utils",
		"linux-image-" + t.Arch,
		"busybox-static",
		"base-files", "bash", "coreutils", "dash", "findutils", "gawk", "grep", "sed", "tar", "util-linux",
		"bridge-utils", "bsdutils", "iproute2", "kmod", "libc-bin", "mount", "procps", "qemu-utils", "udev",
	}
	// The device model, which also serves qdisk, 9pfs and virtual screens.
	if t.Suite == "bullseye" {
		p = append(p, "qemu-system-x86")
	} else {
		p = append(p, "qemu-system-xen")
	}
	slices.Sort(p)
	return p
}
