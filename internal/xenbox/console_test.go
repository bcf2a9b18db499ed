//go:build linux

package xenbox

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestConsoleLinesOfDeadMachines(t *testing.T) {
	tests := []struct {
		line             string
		dead, hypervisor bool
	}{
		{"(XEN) Xen version 4.17.7", false, false},
		{"(XEN) Panic on CPU 0:", true, true},
		{"(XEN) [   12.345678] Panic on CPU 1:", true, true},
		{"(XEN) FATAL TRAP: vector = 13 (general protection fault)", true, true},
		{"[    1.234567] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)\r", true, false},
		{"(d0) [    1.2] Kernel panic - not syncing: x", true, false},
		{"(XEN) Hardware Dom0 crashed: rebooting machine in 5 seconds.", true, false},
		{"(XEN) Domain 0 crashed: 'noreboot' set - not rebooting.", true, false},
		{"(d3) [    1.234567] Kernel panic - not syncing: guest's own business", false, false},
		{"(XEN) [   12.345678] (d12) Kernel panic - not syncing: guest's own business", false, false},
		{"(XEN) d5v0 Triple fault - invoking HVM shutdown action 1", false, false},
		{"[    2.0] Kernel command line: root=/dev/vda panic=5", false, false},
	}
	for _, test := range tests {
		t.Run(test.line, func(t *testing.T) {
			err := scanConsoleLine(test.line)
			var p *PanicError
			if errors.As(err, &p) != test.dead {
				t.Fatalf("got %v", err)
			}
			if test.dead && p.Hypervisor != test.hypervisor {
				t.Errorf("hypervisor: got %v", p.Hypervisor)
			}
		})
	}
}

func TestConsoleIsFollowed(t *testing.T) {
	name := filepath.Join(t.TempDir(), "console")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	stages := make(chan string, 10)
	dead := make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	go func() { dead <- watchConsole(ctx, name, func(s string) { stages <- s }) }()

	f.WriteString("(XEN) Xen version 4.17\n[ 0.0] Linux ver")
	if s := <-stages; s != "Xen starts" {
		t.Errorf("first stage: %q", s)
	}
	f.WriteString("sion 6.1\nxenbox-stage: toolstack\n")
	if s := <-stages; s != "dom0's kernel starts" {
		t.Errorf("second stage: %q", s)
	}
	if s := <-stages; s != "the toolstack starts" {
		t.Errorf("third stage: %q", s)
	}
	f.WriteString("[ 3.0] Kernel panic - not syncing: test\n")
	var p *PanicError
	if err := <-dead; !errors.As(err, &p) || p.Hypervisor {
		t.Errorf("got %v, want a panic of dom0", err)
	}
}

func TestConsoleTailIsItsEnd(t *testing.T) {
	name := filepath.Join(t.TempDir(), "console")
	if err := os.WriteFile(name, []byte("a\r\nb\r\nc\r\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := consoleTail(name, 2); got != "b\nc" {
		t.Errorf("got %q", got)
	}
	if got := consoleTail(name, 9); got != "a\nb\nc" {
		t.Errorf("got %q", got)
	}
}

func TestFaultsOfTheEmulationAreFound(t *testing.T) {
	for text, want := range map[string]string{
		"(XEN) d5v0 Triple fault - invoking HVM shutdown action 1\r\n":                      "d5v0 Triple fault",
		"(XEN) boot\r\n(XEN) [   12.345678] d12v3 Triple fault - invoking HVM shutdown\r\n": "d12v3 Triple fault",
		"(XEN) d0v0 Triple fault\r\n(XEN) d5v0 Double fault\r\n":                            "",
		"[    3.163570] Oops: int3: 0000 [#1] SMP NOPTI\r\n":                                "int3: 0000 [#1]", // Linux 6.12
		"[    2.913301] int3: 0000 [#1] SMP NOPTI\r\n":                                      "int3: 0000 [#1]", // Linux 6.1
		"Oops: 0002 [#1]\r\nOops: int3: 0000 [#2] SMP NOPTI\r\n":                            "",
		"": "",
	} {
		name := filepath.Join(t.TempDir(), "console")
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := emulationFault(name); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestHypervisorPanicComesWithItsReason(t *testing.T) {
	name := filepath.Join(t.TempDir(), "console")
	text := "(XEN) ****\r\n(XEN) Panic on CPU 0:\r\n(XEN) Not enough RAM\r\n(XEN) ****\r\n"
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	err := withReason(scanConsoleLine("(XEN) Panic on CPU 0:\r"), name)
	var p *PanicError
	if !errors.As(err, &p) || p.Line != "(XEN) Panic on CPU 0: Not enough RAM" {
		t.Errorf("got %v", err)
	}
}
