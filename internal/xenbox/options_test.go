//go:build linux

package xenbox

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestCommandLines(t *testing.T) {
	t.Setenv("XENBOX_SUITE", "")
	t.Setenv("XENBOX_ARCH", "")
	o, err := parseArgs([]string{"run", "-suite", "trixie", "-arch=amd64", "-timeout", "3m", "-env", "A=b=c", "-send", os.Args[0] + ":bin/",
		"-fetch", "/var/log/xen:logs", "-fetch=x", "--", "./prog", "-v", "--", "x"})
	if err != nil {
		t.Fatal(err)
	}
	if o.target.Xen != "4.20" || o.timeout != 3*time.Minute || !slices.Equal(o.env, []string{"A=b=c"}) {
		t.Errorf("got %+v", o)
	}
	if !slices.Equal(o.argv, []string{"./prog", "-v", "--", "x"}) {
		t.Errorf("argv: %q", o.argv)
	}
	if len(o.sends) != 1 || o.sends[0].Guest != "bin/" || !filepath.IsAbs(o.sends[0].Host) {
		t.Errorf("sends: %+v", o.sends)
	}
	if want := []transfer{{Guest: "/var/log/xen", Host: "logs"}, {Guest: "x", Host: "."}}; !slices.Equal(o.fetches, want) {
		t.Errorf("fetches: %+v", o.fetches)
	}
}

func TestWhichHypervisor(t *testing.T) {
	for args, want := range map[string]string{
		"run -suite trixie -- true":                                "4.20 4.20 ",
		"run -suite trixie -xen trixie -- true":                    "4.20 4.20 ",
		"run -suite trixie -beside bookworm -- true":               "4.20 4.20 4.17",
		"run -suite trixie -beside bookworm -xen bookworm -- true": "4.20 4.17 4.17",
	} {
		o, err := parseArgs(strings.Fields(args))
		if err != nil {
			t.Fatal(err)
		}
		if got := o.target.Xen + " " + o.xen.Xen + " " + o.beside.Xen; got != want {
			t.Errorf("%s: got %q, want %q", args, got, want)
		}
	}
}

func TestBadCommandLines(t *testing.T) {
	for name, args := range map[string]string{
		"nothing":              "",
		"unknown command":      "start",
		"no program":           "run --",
		"unknown flag":         "run -x -- true",
		"unknown suite":        "run -suite woody -- true",
		"unknown architecture": "run -suite sid -arch arm64 -- true",
		"arguments to build":   "build x",
		"run's flag to build":  "build -accel tcg",
		"no such accelerator":  "run -accel hvf -- true",
		"machine too small":    "run -memory 1024 -- true",
		"no CPU":               "run -cpus 0 -- true",
		"no NUMA node":         "run -numa 0 -- true",
		"CPUs not shared out":  "run -cpus 3 -numa 2 -- true",
		"file to send missing": "run -send /no/such/file -- true",
		"nothing to fetch":     "run -fetch :x -- true",
		"the same Xen twice":   "run -suite bookworm -beside bookworm -- true",
		"nothing beside":       "run -suite bookworm -beside woody -- true",
		"another hypervisor":   "run -suite trixie -beside bookworm -xen bullseye -- true",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseArgs(strings.Fields(args))
			var u *UsageError
			if !errors.As(err, &u) || u.Msg == "" {
				t.Errorf("got %v, want a UsageError", err)
			}
		})
	}
}

func TestHelpIsNoError(t *testing.T) {
	for _, args := range []string{"-h", "help", "run -h", "build -help", "shell -h"} {
		o, err := parseArgs(strings.Fields(args))
		if err != nil || !strings.Contains(o.help, "xenbox ") {
			t.Errorf("%s: %v", args, err)
		}
	}
}

func TestSendArgument(t *testing.T) {
	odd := filepath.Join(t.TempDir(), "a:b")
	if err := os.WriteFile(odd, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for arg, want := range map[string][2]string{
		"a":                {"a", ""},
		"a:/b":             {"a", "/b"},
		"a:b:/c":           {"a:b", "/c"},
		odd:                {odd, ""},
		odd + ":/in/there": {odd, "/in/there"},
	} {
		if host, guest := splitTransfer(arg); host != want[0] || guest != want[1] {
			t.Errorf("%s: got %q, %q", arg, host, guest)
		}
	}
}

func TestTargetsAreDistinctAndNamed(t *testing.T) {
	seen := make(map[string]bool)
	for _, tg := range targets {
		if seen[tg.String()] || tg.Xen == "" || tg.Glibc == "" || elfMachines[tg.Arch] == 0 {
			t.Errorf("bad line in the table: %+v", tg)
		}
		seen[tg.String()] = true
		if !slices.Contains(tg.packages(), "xen-utils-"+tg.Xen) {
			t.Errorf("%s: packages %q", tg, tg.packages())
		}
	}
}

func TestExitStatuses(t *testing.T) {
	if got := exitStatus(&bootError{err: &InterruptError{Signal: 15}}); got != 143 {
		t.Errorf("interrupted: %d", got)
	}
	for _, err := range []error{&HangError{}, &PanicError{}, &QEMUExitError{}, &BuildError{Err: os.ErrInvalid}, &MissingToolError{}, &UsageError{Msg: "x"}} {
		if got := exitStatus(err); got != ExitFailure {
			t.Errorf("%T: %d", err, got)
		}
		if err.Error() == "" {
			t.Errorf("%T says nothing", err)
		}
	}
}
