//go:build linux

package xenbox

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

// toolPackages names the Debian package of every program of the host that
// xenbox runs.
var toolPackages = map[string]string{
	"mmdebstrap":          "mmdebstrap",
	"mke2fs":              "e2fsprogs",
	"depmod":              "kmod",
	"ldconfig":            "libc-bin",
	"xz":                  "xz-utils",
	"zstd":                "zstd",
	"qemu-system-x86_64":  "qemu-system-x86",
	"qemu-system-aarch64": "qemu-system-arm",
	"newuidmap":           "uidmap",
}

// lookTool finds a program in PATH or in the administrator's folders, which
// are not in everybody's PATH.
func lookTool(name string) (string, bool) {
	if p, err := exec.LookPath(name); err == nil {
		return p, true
	}
	for _, dir := range []string{"/usr/local/sbin", "/usr/sbin", "/sbin"} {
		p := filepath.Join(dir, name)
		if st, err := os.Stat(p); err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 {
			return p, true
		}
	}
	return "", false
}

// needTools finds all of the programs, or says in one error which are missing
// and what to install.
func needTools(names ...string) (map[string]string, error) {
	found := make(map[string]string)
	missing := &MissingToolError{}
	for _, n := range names {
		p, ok := lookTool(n)
		if !ok {
			missing.Tools = append(missing.Tools, n)
			missing.Packages = append(missing.Packages, toolPackages[n])
			continue
		}
		found[n] = p
	}
	if missing.Tools != nil {
		slices.Sort(missing.Packages)
		missing.Packages = slices.Compact(missing.Packages)
		return nil, missing
	}
	return found, nil
}
