package xltest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-xenlight/xenlight/libxl"
)

// sh runs a command in the shell on the console of a booted Linux guest, and
// returns what it has printed.
func (g *guest) sh(format string, args ...any) string {
	out, status := g.trySh(format, args...)
	if status != "0" {
		g.t.Fatalf("in the guest, %s: status %s: %s", fmt.Sprintf(format, args...), status, out)
	}
	return out
}

// trySh is sh for commands that may fail; it returns their status too.
func (g *guest) trySh(format string, args ...any) (out, status string) {
	g.commands++
	// The console echoes what it reads, so the marks must not be in it as they
	// are printed.
	begin, end := fmt.Sprintf("[begin %d]", g.commands), fmt.Sprintf("[end %d ", g.commands)
	_, err := fmt.Fprintf(g.console, "echo [be''gin %d]; %s; echo [en''d %d $?]\n", g.commands, fmt.Sprintf(format, args...), g.commands)
	g.t.ok(err, "the guest's console")
	g.expect(begin)
	out = g.expect(end)
	status = strings.TrimSuffix(g.expect("]"), "]")
	return strings.TrimSpace(strings.ReplaceAll(strings.TrimSuffix(out, end), "\r", "")), status
}

// hvm describes a Linux guest with a device model. Its console is an emulated
// serial port.
func (t *T) hvm() *libxl.DomainConfig {
	t.needHvm()
	kernel := filepath.Join(filepath.Dir(t.o.Kernel), "vmlinuz")
	if _, err := os.Stat(kernel); t.o.Kernel == "" || err != nil {
		t.Cannot("no kernel for HVM guests: %s", kernel)
	}
	c := t.config(libxl.DomainTypePvh)
	hvm := libxl.NewDomainBuildInfoTypeUnionHvm()
	hvm.Serial = "pty"
	hvm.Boot = "c"
	c.CInfo.Type, c.BInfo.TypeUnion = libxl.DomainTypeHvm, hvm
	c.BInfo.Kernel = kernel
	c.BInfo.Cmdline = "console=ttyS0 quiet"
	c.BInfo.VideoMemkb = 8 << 10
	return c
}

// file makes a file of a size with a text at its begin, for guests to read.
func (t *T) file(text string, size int64) string {
	f, err := os.CreateTemp("", "xltest-*")
	t.ok(err, "a file")
	t.Cleanup(func() { os.Remove(f.Name()) })
	_, err = f.WriteString(text)
	t.ok(err, f.Name())
	t.ok(f.Truncate(size), f.Name())
	t.ok(f.Close(), f.Name())
	return f.Name()
}
