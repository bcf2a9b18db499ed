//go:build linux

package xenbox

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestWhoseProgram(t *testing.T) {
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"prog": 0o755, "data": 0o644, "xl": 0o755} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		prog   string
		inDom0 bool
		sent   string // the host's path, if it is sent
		bad    bool
	}{
		{prog: "xl"},
		{prog: "./xl", sent: dir + "/xl"},
		{prog: "./prog", sent: dir + "/prog"},
		{prog: "./prog", inDom0: true},
		{prog: dir + "/prog", sent: dir + "/prog"},
		{prog: "/bin/sh"},
		{prog: "/usr/sbin/xl"},
		{prog: "/only/in/dom0"},
		{prog: "./missing", bad: true},
		{prog: "./data", bad: true},
		{prog: "./", bad: true},
	}
	for _, test := range tests {
		t.Run(test.prog, func(t *testing.T) {
			argv := []string{test.prog, "x"}
			got, err := programTransfer(&options{inDom0: test.inDom0, target: targets[0]}, argv, dir)
			var u *UsageError
			if errors.As(err, &u) != test.bad {
				t.Fatalf("got %v", err)
			}
			switch {
			case test.sent == "" && got != nil:
				t.Errorf("sent %+v", got)
			case test.sent != "" && (got == nil || got.Host != test.sent || got.Guest != test.sent || argv[0] != test.sent):
				t.Errorf("got %+v, argv %q", got, argv)
			}
		})
	}
}

func TestJobOfATestBinary(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	t.Setenv("XENLIGHT_SOMETHING", "1")
	t.Setenv("SECRET", "1")
	if err := os.Mkdir("testdata", 0o755); err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(dir, "pkg.test")
	if err := os.WriteFile(bin, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	o := &options{command: "run", target: targets[0], argv: []string{bin, "-test.timeout=1m", "-test.coverprofile=c.out"},
		env: []string{"X=y"}, sends: []transfer{{Host: "/h/file", Guest: "sub/"}}, fetches: []transfer{{Guest: "res", Host: "."}}}
	j, sends, fetches, err := planJob(o)
	if err != nil {
		t.Fatal(err)
	}
	if j.Dir != dir || o.timeout != time.Minute+testGrace {
		t.Errorf("folder %s, timeout %v", j.Dir, o.timeout)
	}
	wantSends := []transfer{{Host: bin, Guest: bin}, {Host: dir + "/testdata", Guest: dir + "/testdata"}, {Host: "/h/file", Guest: dir + "/sub/file"}}
	if !slices.Equal(sends, wantSends) {
		t.Errorf("sends %+v", sends)
	}
	wantFetches := []transfer{{Host: dir + "/c.out", Guest: dir + "/c.out", Optional: true}, {Host: dir + "/res", Guest: dir + "/res"}}
	if !slices.Equal(fetches, wantFetches) || !slices.Equal(j.Fetch, []string{dir + "/c.out", dir + "/res"}) {
		t.Errorf("fetches %+v, %q", fetches, j.Fetch)
	}
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module m\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Chdir("testdata")
	o.argv, o.sends, o.fetches = []string{bin}, nil, nil
	_, sends, _, err = planJob(o)
	wantSends = []transfer{{Host: bin, Guest: bin}, {Host: dir, Guest: dir, Sources: true}}
	if err != nil || !slices.Equal(sends, wantSends) {
		t.Errorf("in a module: sends %+v, %v", sends, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "large"), make([]byte, maxSourceFile+1), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, ".git"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, ".git", "x"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	disk := filepath.Join(t.TempDir(), "disk")
	if err := writePayload(disk, bin, j, sends[1:]); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(disk)
	if err != nil || !strings.Contains(string(data), "go.mod") || strings.Contains(string(data), "large") || strings.Contains(string(data), ".git") {
		t.Errorf("the payload has what it should not have, or lacks go.mod (%v)", err)
	}
	if !slices.Contains(j.Env, "XENLIGHT_SOMETHING=1") || !slices.Contains(j.Env, "XENBOX=1") || slices.Contains(j.Env, "SECRET=1") {
		t.Errorf("environment %q", j.Env)
	}
}

func TestELFCheck(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var own, other target
	for _, tg := range targets {
		tg.Glibc = "999"
		if tg.Arch == runtime.GOARCH {
			own = tg
		} else {
			other = tg
		}
	}
	if err := checkELF(self, own); err != nil {
		t.Errorf("own architecture: %v", err)
	}
	if err := checkELF(self, other); err == nil {
		t.Error("another architecture passes")
	}
	for _, v := range []struct {
		a, b string
		less bool
	}{{"2.36", "2.4", false}, {"2.4", "2.36", true}, {"2.36", "2.36", false}, {"2.2.5", "2.36", true}, {"2", "2.1", true}} {
		if versionLess(v.a, v.b) != v.less {
			t.Errorf("%s < %s: want %v", v.a, v.b, v.less)
		}
	}
}
