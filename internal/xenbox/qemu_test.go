//go:build linux

package xenbox

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// needQEMU skips a test that boots real machines unless XENBOX_TEST=1, and
// returns a xenbox to run.
func needQEMU(t *testing.T) string {
	if os.Getenv("XENBOX_TEST") != "1" {
		t.Skip("boots Xen in QEMU, and builds the image if need be: set XENBOX_TEST=1 to run it")
	}
	bin := filepath.Join(t.TempDir(), "xenbox")
	if out, err := exec.Command("go", "build", "-o", bin, "../../cmd/xenbox").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return bin
}

func TestProgramsInDom0(t *testing.T) {
	bin := needQEMU(t)
	for _, suite := range []string{"bookworm", "trixie"} {
		t.Run(suite, func(t *testing.T) {
			dir := t.TempDir()
			var out, errs bytes.Buffer
			cmd := exec.Command(bin, "run", "-suite", suite, "-timeout", "2m", "-fetch", "result", "--",
				"sh", "-c", "cat; echo err >&2; cat /sys/hypervisor/version/minor; echo fetched > result; exit 7")
			cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = dir, strings.NewReader("in\n"), &out, &errs
			cmd.Run()
			tg, err := findTarget(suite, "amd64")
			if err != nil {
				t.Fatal(err)
			}
			_, minor, _ := strings.Cut(tg.Xen, ".")
			if code := cmd.ProcessState.ExitCode(); code != 7 || out.String() != "in\n"+minor+"\n" || !strings.Contains(errs.String(), "err\n") {
				t.Errorf("status %d, stdout %q, stderr %s", code, out.String(), errs.String())
			}
			if data, err := os.ReadFile(filepath.Join(dir, "result")); err != nil || string(data) != "fetched\n" {
				t.Errorf("fetched %q, %v", data, err)
			}
		})
	}
}

func TestDeadMachinesAreToldApart(t *testing.T) {
	bin := needQEMU(t)
	tests := []struct {
		name   string
		args   []string
		status int
		says   string
	}{
		{"dom0 panics", []string{"--", "sh", "-c", "echo c >/proc/sysrq-trigger; sleep 60"}, ExitFailure, "dom0's kernel panicked"},
		{"hypervisor panics", []string{"-xen-args", "dom0_mem=4M,max:4M", "--", "true"}, ExitFailure, "hypervisor panicked"},
		{"power off from inside", []string{"--", "sh", "-c", "busybox poweroff -f; sleep 60"}, ExitFailure, "QEMU ended early"},
		{"program hangs", []string{"-timeout", "1s", "--", "sleep", "1000"}, ExitFailure, "did not end within 1s"},
		{"boot hangs", []string{"-boot-timeout", "1s", "--", "true"}, ExitFailure, "did not come up within 1s"},
		{"no such program", []string{"--", "nosuchprogram"}, ExitNotFound, "not found"},
		{"killed program", []string{"--", "sh", "-c", "kill -9 $$"}, exitSignal + 9, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cmd := exec.Command(bin, append([]string{"run"}, test.args...)...)
			out, _ := cmd.CombinedOutput()
			if code := cmd.ProcessState.ExitCode(); code != test.status || !strings.Contains(string(out), test.says) {
				t.Errorf("status %d instead of %d, or it does not say %q:\n%s", code, test.status, test.says, out)
			}
		})
	}
}

// What the hypervisor would say is written to its console by dom0.
func TestAProgramRunsAgainIfTheProcessorIsToBlame(t *testing.T) {
	bin := needQEMU(t)
	const fault = `echo "d7v0 Triple fault" >/dev/hvc0; `
	tests := []struct {
		name, program  string
		args           []string
		runs, reported int
	}{
		{"fails", fault + "sleep 1; exit 3", []string{"-again"}, 2, 2},
		{"is not to run again", fault + "sleep 1; exit 3", nil, 1, 1},
		{"succeeds", fault + "sleep 1", []string{"-again"}, 1, 0},
		{"fails of itself", "exit 3", []string{"-again"}, 1, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			out, _ := exec.Command(bin, append(append([]string{"run"}, test.args...), "--", "sh", "-c", "echo it runs; "+test.program)...).CombinedOutput()
			runs, reported := bytes.Count(out, []byte("it runs")), bytes.Count(out, []byte(`the console says "d7v0 Triple fault"`))
			if runs != test.runs || reported != test.reported {
				t.Errorf("%d runs, %d reports; want %d, %d:\n%s", runs, reported, test.runs, test.reported, out)
			}
		})
	}
}

// Xen prints its command line.
func TestDom0BootsOnceMoreIfTheProcessorIsToBlame(t *testing.T) {
	bin := needQEMU(t)
	for args, boots := range map[string]int{
		"dom0_mem=4M,max:4M says=int3: 0000 [#1]": 2,
		"dom0_mem=4M,max:4M":                      1,
	} {
		out, err := exec.Command(bin, "run", "-xen-args", args, "--", "true").CombinedOutput()
		if got := bytes.Count(out, []byte(" booting Xen ")); err == nil || got != boots {
			t.Errorf("%q: %v, after %d boots instead of %d:\n%s", args, err, got, boots, out)
		}
	}
}

func TestKilledXenboxLeavesNoQEMU(t *testing.T) {
	bin := needQEMU(t)
	for _, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			tmp := t.TempDir()
			cmd := exec.Command(bin, "run", "--", "sleep", "1000")
			cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			console := waitFor(t, func() string {
				found, _ := filepath.Glob(filepath.Join(tmp, tempPattern+"*", "console"))
				return strings.Join(found, "")
			})
			waitFor(t, func() string { data, _ := os.ReadFile(console); return string(data) })
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			cmd.Wait()
			waitFor(t, func() string {
				if qemuUses(console) {
					return ""
				}
				return "gone"
			})
		})
	}
}

// waitFor polls until get returns something.
func waitFor(t *testing.T, get func() string) string {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if s := get(); s != "" {
			return s
		}
	}
	t.Fatal("waited in vain")
	return ""
}

// qemuUses tells whether a process has the file's name on its command line.
func qemuUses(file string) bool {
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, l := range lines {
		if data, err := os.ReadFile(l); err == nil && bytes.Contains(data, []byte(file)) {
			return true
		}
	}
	return false
}

// TestSideBySide boots one image, with the Xen of two suites installed, under
// each of the two hypervisors: the same program finds the library that fits, and
// works with it.
func TestSideBySide(t *testing.T) {
	bin := needQEMU(t)
	xltest := filepath.Join(t.TempDir(), "xltest")
	build := exec.Command("go", "build", "-o", xltest, "../../cmd/xltest")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH=amd64")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for suite, release := range map[string]string{"trixie": "4.20", "bookworm": "4.17"} {
		t.Run(release, func(t *testing.T) {
			// Neither library may be missing, else there would be no choice.
			const libraries = "ls /usr/lib/x86_64-linux-gnu/libxenlight.so.4.17 /usr/lib/x86_64-linux-gnu/libxenlight.so.4.20"
			cmd := exec.Command(bin, "run", "-suite", "trixie", "-beside", "bookworm", "-xen", suite, "-timeout", "3m", "-send", xltest+":/root/xltest", "--",
				"sh", "-c", libraries+" && /root/xltest -run 'GetVersionInfo|a pvh? guest is created paused'")
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			for _, want := range []string{"Xen " + release + ".", "/libxenlight.so." + release, "a pv guest is created paused", " 0 failed, 0 skipped"} {
				if !strings.Contains(string(out), want) {
					t.Errorf("it does not say %q:\n%s", want, out)
				}
			}
		})
	}
}
