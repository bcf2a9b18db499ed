package capi

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// againstAnyLibrary are the tests that say something of each release's library.
var againstAnyLibrary = []string{"TestOracle", "TestProbeRefusesALibraryOfOtherLayouts", "TestTemplatesAreWhatInitWrites",
	"TestFunctionsComeWithTheirRelease", "TestConfigSurvivesTheLibrarysMemory", "TestTypesOfANewerReleaseAreRefused", "TestNothingLeaks"}

// TestOracleOfOtherReleases uses the packages that scripts/fetch-xen has
// unpacked.
func TestOracleOfOtherReleases(t *testing.T) {
	if os.Getenv(shimmed) != "" {
		t.Skip("runs the others")
	}
	if runtime.GOARCH != "amd64" {
		t.Skip("they are amd64's")
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skip(err)
	}
	for _, suite := range []struct {
		name, release string
		loader        string // where the suite's libc is newer than this machine's may be
	}{
		{"bullseye", "4.14", ""},
		{"trixie", "4.20", "ld-linux-x86-64.so.2"},
	} {
		t.Run(suite.release, func(t *testing.T) {
			libs := filepath.Join(cache, "xenlight", "packages", suite.name+"-amd64", "usr/lib/x86_64-linux-gnu")
			library := filepath.Join(libs, "libxenlight.so."+suite.release)
			if _, err := os.Stat(library); err != nil && os.Getenv("XENLIGHT_TEST_HEADERS") == "1" {
				t.Fatalf("the layout tests, which fetch it, come first: %v", err)
			} else if err != nil {
				t.Skipf("not tested: scripts/fetch-xen %s amd64 has not been run", suite.name)
			}
			var loader []string
			env := []string{"XENLIGHT_LIBRARY=" + library}
			if suite.loader != "" {
				loader = []string{filepath.Join(libs, suite.loader), "--library-path", libs}
			} else {
				env = append(env, "LD_LIBRARY_PATH="+libs)
			}
			preloaded(t, loader, againstAnyLibrary, env...)
		})
	}
}

// preloaded runs tests with the shim, perhaps by another dynamic loader.
func preloaded(t *testing.T, loader, tests []string, env ...string) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	shim, err := filepath.Abs(shimPath(t))
	if err != nil {
		t.Fatal(err)
	}
	args := append(loader, self, "-test.run", "^("+strings.Join(tests, "|")+")$", "-test.v", fmt.Sprintf("-test.short=%t", testing.Short()))
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(append(os.Environ(), shimmed+"=1", "LD_PRELOAD="+shim), env...)
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Errorf("with %s: %v", filepath.Base(shim), err)
	}
	for _, test := range tests {
		if !bytes.Contains(out, []byte("--- PASS: "+test+" (")) {
			t.Errorf("%s has not passed", test)
		}
	}
}

// shimPath is the file that XENLIGHT_SHIM names, or a new one.
func shimPath(t *testing.T) string {
	if shim := os.Getenv("XENLIGHT_SHIM"); shim != "" {
		return shim
	}
	shim := filepath.Join(t.TempDir(), "shim.so")
	out, err := exec.Command("gcc", "-shared", "-fPIC", "-o", shim, filepath.Join("testdata", "shim.c")).CombinedOutput()
	switch {
	case errors.Is(err, exec.ErrNotFound) && os.Getenv("XENLIGHT_TEST_LIBRARY") == "":
		t.Skip("no gcc and no XENLIGHT_SHIM: the library's JSON is not compared")
	case err != nil:
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	return shim
}
