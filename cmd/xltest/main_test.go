package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-xenlight/xenlight/internal/leak"
	"github.com/go-xenlight/xenlight/internal/xltest"
)

func TestMain(m *testing.M) { os.Exit(leak.Main(m)) }

// start runs the program and returns its exit status.
func start(t *testing.T, program string, args ...string) (status int, stdout, stderr string) {
	var out, errs strings.Builder
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

func TestProgramListsAndRefuses(t *testing.T) {
	program := filepath.Join(t.TempDir(), "xltest")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	status, all, _ := start(t, program, "-list")
	if lines := strings.Count(all, "\n"); status != 0 || lines < 100 {
		t.Errorf("-list: status %d, %d lines", status, lines)
	}
	status, some, _ := start(t, program, "-list", "-section", "Devices: Disk", "-run", "CD-ROM")
	if status != 0 || strings.Count(some, "\n") != 1 || !strings.Contains(all, some) {
		t.Errorf("-list of one: status %d, %q", status, some)
	}
	if status, _, says := start(t, program, "-run", "no such check"); status != 2 || !strings.Contains(says, "leave no check") {
		t.Errorf("-run of nothing: status %d, %q", status, says)
	}
	if status, _, says := start(t, program, "-run", "("); status != 2 || !strings.Contains(says, "missing closing )") {
		t.Errorf("-run (: status %d, %q", status, says)
	}
	// Wherever this runs, there is no such library.
	t.Setenv("XENLIGHT_LIBRARY", "/nowhere/libxenlight.so.4.17")
	if status, _, says := start(t, program, "-tiny", program); status != 2 || !strings.HasPrefix(says, "xltest: ") || strings.Contains(says, "-tiny") {
		t.Errorf("without a library: status %d, %q", status, says)
	}
	for _, name := range []string{"-kernel", "-ramdisk", "-tiny"} {
		if status, _, says := start(t, program, name, "/nowhere/file"); status != 2 || !strings.Contains(says, name+": stat /nowhere/file") {
			t.Errorf("%s of no file: status %d, %q", name, status, says)
		}
	}
}

func TestStrictCountsWhatIsSkipped(t *testing.T) {
	for _, test := range []struct {
		failed, skipped int
		strict, want    bool
		says            string
	}{
		{0, 0, false, false, ""}, {0, 0, true, false, ""}, {1, 0, false, true, ""}, {1, 0, true, true, ""},
		{0, 2, false, false, ""}, {0, 2, true, true, "the 2 skipped count as failed"},
	} {
		var out strings.Builder
		total := xltest.Section{Passed: 3, Failed: test.failed, Untestable: test.skipped}
		if got := verdict(total, test.strict, &out); got != test.want || !strings.Contains(out.String(), test.says) || test.says == "" && out.Len() > 0 {
			t.Errorf("%+v: %t, %q", test, got, &out)
		}
	}
}

func TestExitStatus(t *testing.T) {
	for _, test := range []struct {
		failed bool
		err    error
		want   int
	}{{false, nil, 0}, {true, nil, 1}, {false, errors.New("no host"), 2}, {true, errors.New("closing"), 2}} {
		if got := exitStatus(test.failed, test.err); got != test.want {
			t.Errorf("failed %v, error %v: status %d, want %d", test.failed, test.err, got, test.want)
		}
	}
}
