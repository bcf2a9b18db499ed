package xenlight

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// build compiles xltest without cgo, and without a C compiler in PATH.
func build(t *testing.T, arch string, flags ...string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("compiles programs")
	}
	tool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("no go here")
	}
	program := filepath.Join(t.TempDir(), "program")
	cmd := exec.Command(tool, append(append([]string{"build", "-o", program}, flags...), "./cmd/xltest")...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH="+arch, "PATH="+t.TempDir())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

func TestCrossBuildNeedsNoCompiler(t *testing.T) {
	for arch, machine := range map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64} {
		f, err := elf.Open(build(t, arch))
		if err != nil {
			t.Fatal(err)
		}
		if f.Machine != machine {
			t.Errorf("%s: the program is for %v", arch, f.Machine)
		}
		// A version of glibc's symbols would tie it to that glibc.
		if needs, err := f.DynamicVersionNeeds(); err == nil && len(needs) > 0 {
			t.Errorf("%s: the program needs %v", arch, needs)
		}
		f.Close()
	}
}

// On a system with musl, such as Alpine, a program is linked for musl's loader.
func TestRunsWithMusl(t *testing.T) {
	loader := map[string]string{"amd64": "/lib/ld-musl-x86_64.so.1", "arm64": "/lib/ld-musl-aarch64.so.1"}[runtime.GOARCH]
	if _, err := os.Stat(loader); err != nil {
		if os.Getenv("XENLIGHT_TEST_MUSL") != "" {
			t.Fatal(err)
		}
		t.Skipf("no musl: %v", err)
	}
	if kind, _ := os.ReadFile("/sys/hypervisor/type"); strings.TrimSpace(string(kind)) == "xen" {
		t.Skip("this is a Xen host")
	}
	program := build(t, runtime.GOARCH, "-ldflags", "-I "+loader)
	f, err := elf.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	interp, err := f.Section(".interp").Data()
	if err != nil || strings.TrimRight(string(interp), "\x00") != loader {
		t.Errorf("the program's loader is %q, %v", interp, err)
	}
	out, err := exec.Command(program).CombinedOutput()
	exit, _ := err.(*exec.ExitError)
	if exit == nil || exit.ExitCode() != 2 || !strings.Contains(string(out), ErrNoXen.Error()) {
		t.Errorf("got %v: %s", err, out)
	}
}
