package capi

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/go-xenlight/xenlight/internal/abi"
)

func TestUnprovenHypervisors(t *testing.T) {
	for minor, want := range map[string]error{"17": nil, "23": nil, "255": nil, "13": ErrUnknownRelease, "256": ErrUnknownRelease} {
		s := fakeHost(t, dom0(minor))
		s.Unproven = true
		r, err := s.Hypervisor()
		if !errors.Is(err, want) || err == nil && r.String() != "4."+minor {
			t.Errorf("4.%s: got %v, %v", minor, r, err)
		}
		if want != nil && (!strings.Contains(err.Error(), "known are 4.14 to 4.22; ") || strings.Contains(err.Error(), "WithUnprovenRelease")) {
			t.Errorf("4.%s: the error does not say what is known, or names the option that is set: %v", minor, err)
		}
	}
	if _, err := fakeHost(t, dom0("23")).Hypervisor(); !errors.Is(err, ErrUnknownRelease) || !strings.Contains(err.Error(), "WithUnprovenRelease") {
		t.Errorf("without the option: %v", err)
	}
}

// The child of TestUnprovenLibrary, for a process has one library.
func TestUnprovenChild(t *testing.T) {
	path := os.Getenv("XENLIGHT_TEST_UNPROVEN")
	if path == "" {
		t.Skip("started by TestUnprovenLibrary")
	}
	if _, err := Load(path); !errors.Is(err, ErrUnknownRelease) || !strings.Contains(err.Error(), "Xen 4.99, known are 4.14 to") {
		t.Errorf("without the option: %v", err)
	}
	same := os.Getenv("XENLIGHT_TEST_NEWEST")
	if same == "" {
		// It is no 4.22, whatever its name: the structs tell.
		if _, err := LoadUnproven(path); !errors.Is(err, ErrNoLibrary) {
			t.Errorf("a library with other structs: %v", err)
		}
		return
	}
	minor, err := strconv.Atoi(strings.TrimPrefix(same, "4."))
	if err != nil {
		t.Fatal(err)
	}
	r := abi.R(4, minor)
	newest = func() abi.Release { return r }
	if l, err := LoadUnproven(path); err != nil || l.Release != r {
		t.Errorf("got %v, %v", l, err)
	}
}

func TestUnprovenLibrary(t *testing.T) {
	l := library(t)
	file, err := os.ReadFile(l.Path)
	if err != nil {
		t.Fatal(err)
	}
	newer := filepath.Join(t.TempDir(), "libxenlight.so.4.99")
	file = bytes.ReplaceAll(file, []byte(Soname(l.Release)), []byte("libxenlight.so.4.99"))
	if err := os.WriteFile(newer, file, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, release := range []string{"", l.Release.String()} {
		if release == "" && l.Release == newest() {
			continue // then its structs are right
		}
		child := exec.Command(os.Args[0], "-test.run", "^TestUnprovenChild$", "-test.v")
		child.Env = append(os.Environ(), "XENLIGHT_TEST_UNPROVEN="+newer, "XENLIGHT_TEST_NEWEST="+release,
			"LD_LIBRARY_PATH="+filepath.Dir(l.Path)+":"+os.Getenv("LD_LIBRARY_PATH"))
		out, err := child.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "--- PASS: TestUnprovenChild") {
			t.Errorf("driven as %q: %v\n%s", release, err, out)
		}
	}
}
