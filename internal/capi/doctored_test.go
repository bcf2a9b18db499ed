package capi

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-xenlight/xenlight/internal/abi"
)

// doctoredLibraries differ from the real one, to which they pass all else on.
var doctoredLibraries = []struct{ name, init, want string }{
	{"a struct that is 8 bytes larger", `memset((char *)p + SIZE, 0, 8);`, "libxl_domain_build_info has"},
	{"a field that is left uninitialised", `((char *)p)[SIZE / 2] = seen++;`, "not all of libxl_domain_build_info is initialised"},
	{"nothing but a detour", ``, ""},
}

// The child of TestLoadRefusesADoctoredLibrary, for a process has one library.
func TestDoctoredChild(t *testing.T) {
	path := os.Getenv("XENLIGHT_TEST_DOCTORED")
	if path == "" {
		t.Skip("started by TestLoadRefusesADoctoredLibrary")
	}
	_, err := Load(path)
	if again, err2 := Load(path); (again == nil) != (err != nil) || !errors.Is(err2, err) {
		t.Errorf("loading it again: %v", err2)
	}
	switch want := os.Getenv("XENLIGHT_TEST_WANT"); {
	case want == "":
		if err != nil {
			t.Errorf("a library that is all right: %v", err)
		}
	case !errors.Is(err, ErrNoLibrary) || !strings.Contains(err.Error(), want):
		t.Errorf("got %v, want an ErrNoLibrary that says %q", err, want)
	case !strings.Contains(err.Error(), "known are 4.14 to 4.22: install"):
		t.Errorf("the error does not say what is known and what to do: %v", err)
	}
}

func TestLoadRefusesADoctoredLibrary(t *testing.T) {
	l := library(t)
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("no gcc")
	}
	for _, d := range doctoredLibraries {
		t.Run(d.name, func(t *testing.T) {
			dir := t.TempDir()
			so := doctor(t, gcc, dir, l, d.init)
			child := exec.Command(os.Args[0], "-test.run", "^TestDoctoredChild$", "-test.v")
			child.Env = append(os.Environ(), "XENLIGHT_TEST_DOCTORED="+so, "XENLIGHT_TEST_WANT="+d.want,
				"LD_LIBRARY_PATH="+filepath.Dir(l.Path)+":"+os.Getenv("LD_LIBRARY_PATH"))
			out, err := child.CombinedOutput()
			if err != nil || !strings.Contains(string(out), "--- PASS: TestDoctoredChild") {
				t.Errorf("%v:\n%s", err, out)
			}
		})
	}
}

// doctor builds a library that says it is l's release, is l in all but name, and
// does something more when it initialises a domain_build_info.
func doctor(t *testing.T, gcc, dir string, l *Lib, init string) string {
	t.Helper()
	// The loader takes libraries of the same soname for the same one: l gets
	// another of the same length.
	soname := Soname(l.Release)
	origin := strings.Replace(soname, "xenlight", "xenorigi", 1)
	file, err := os.ReadFile(l.Path)
	if err != nil {
		t.Fatal(err)
	}
	file = bytes.ReplaceAll(file, []byte(soname), []byte(origin))
	source := `#define _GNU_SOURCE
#include <dlfcn.h>
#include <string.h>
int libxl_ctx_alloc(void) { return -1; }
static char seen;
void libxl_domain_build_info_init(void *p)
{
	void (*init)(void *) = dlsym(RTLD_NEXT, "libxl_domain_build_info_init");
	init(p);
	(void)seen;
	` + init + `
}
`
	c, so := filepath.Join(dir, "doctored.c"), filepath.Join(dir, soname)
	for path, content := range map[string][]byte{c: []byte(source), filepath.Join(dir, origin): file} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(gcc, "-shared", "-fPIC", "-o", so, "-Wl,-soname,"+soname, "-Wl,-rpath,"+dir,
		fmt.Sprintf("-DSIZE=%d", l.Codec.Layout(abi.DomainBuildInfo).Size), c,
		"-Wl,--no-as-needed,--allow-shlib-undefined", filepath.Join(dir, origin))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	return so
}
