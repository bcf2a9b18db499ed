//go:build linux

package xenbox

import (
	"fmt"
	"slices"
	"strings"
)

// A target is one Debian suite on one architecture.
type target struct {
	Suite string // Debian's name of the release
	Arch  string // Debian's and Go's name of the architecture
	Xen   string // the Xen release that the suite carries
	Glibc string // the C library's release
}

// targets lists every suite and architecture that xenbox knows. A new release
// is one more line here, provided that its package names follow the pattern of
// (target).packages. Sid's lines change with sid.
var targets = []target{
	{Suite: "bullseye", Arch: "amd64", Xen: "4.14", Glibc: "2.31"},
	{Suite: "bookworm", Arch: "amd64", Xen: "4.17", Glibc: "2.36"},
	{Suite: "trixie", Arch: "amd64", Xen: "4.20", Glibc: "2.41"},
	{Suite: "sid", Arch: "amd64", Xen: "4.20", Glibc: "2.42"},
	{Suite: "bookworm", Arch: "arm64", Xen: "4.17", Glibc: "2.36"},
	{Suite: "trixie", Arch: "arm64", Xen: "4.20", Glibc: "2.41"},
}

// defaultSuite is the suite taken when none is named.
const defaultSuite = "bookworm"

// defaultArch is the architecture taken when none is named: emulation makes
// every target run on every machine.
const defaultArch = "amd64"

// findTarget looks a target up and refuses, with the choices, what is unknown.
func findTarget(suite, arch string) (target, error) {
	var known []string
	for _, t := range targets {
		if t.Suite == suite && t.Arch == arch {
			return t, nil
		}
		known = append(known, t.Suite+"/"+t.Arch)
	}
	return target{}, usageErrorf("unknown suite and architecture %s/%s: choose one of %s", suite, arch, strings.Join(known, ", "))
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
	// Debian has none for arm64.
	switch {
	case t.Suite == "bullseye":
		p = append(p, "qemu-system-x86")
	case t.Arch == "amd64":
		p = append(p, "qemu-system-xen")
	}
	slices.Sort(p)
	return p
}
