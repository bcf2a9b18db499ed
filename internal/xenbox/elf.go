//go:build linux

package xenbox

import (
	"debug/elf"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// agentBinary finds the binary that becomes the agent: this one, if dom0 can
// run it.
func agentBinary(t target) (string, error) {
	if p := os.Getenv("XENBOX_AGENT"); p != "" {
		if err := checkELF(p, t); err != nil {
			return "", fmt.Errorf("XENBOX_AGENT: %w", err)
		}
		return p, nil
	}
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	err = checkELF(self, t)
	if err == nil {
		return self, nil
	}
	sibling := filepath.Join(filepath.Dir(self), t.Arch, filepath.Base(self))
	if serr := checkELF(sibling, t); serr == nil {
		return sibling, nil
	}
	return "", fmt.Errorf("xenbox can't run itself in dom0: %w; build a static one "+
		"(CGO_ENABLED=0 GOARCH=%s go build -o %s ./cmd/xenbox) or name one in XENBOX_AGENT", err, t.Arch, sibling)
}

// elfMachines are the architectures' names in ELF headers.
var elfMachines = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}

// checkELF tells why a program can't run in the target's dom0. Scripts and
// other files that are not ELF pass.
func checkELF(name string, t target) error {
	r, err := os.Open(name)
	if err != nil {
		return err
	}
	defer r.Close()
	magic := make([]byte, len(elf.ELFMAG))
	if _, err := io.ReadFull(r, magic); err != nil || string(magic) != elf.ELFMAG {
		return nil
	}
	f, err := elf.NewFile(r)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if f.Machine != elfMachines[t.Arch] {
		return fmt.Errorf("%s is a program for %v, dom0 is %s", name, f.Machine, t.Arch)
	}
	symbols, err := f.ImportedSymbols()
	if err != nil {
		return nil // static
	}
	for _, s := range symbols {
		version, ok := strings.CutPrefix(s.Version, "GLIBC_")
		if ok && versionLess(t.Glibc, version) {
			return fmt.Errorf("%s needs version %s of the C library, %s has %s", name, version, t.Suite, t.Glibc)
		}
	}
	return nil
}

// versionLess compares dotted numbers. What is not a number counts as 0.
func versionLess(a, b string) bool {
	for a != "" || b != "" {
		var x, y string
		x, a, _ = strings.Cut(a, ".")
		y, b, _ = strings.Cut(b, ".")
		m, _ := strconv.Atoi(x)
		n, _ := strconv.Atoi(y)
		if m != n {
			return m < n
		}
	}
	return false
}
