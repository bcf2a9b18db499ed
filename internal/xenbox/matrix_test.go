//go:build linux

package xenbox

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-xenlight/xenlight/internal/xltest"
)

const savedReport = `{
  "xen": "4.17.7", "library": "/usr/lib/libxenlight.so.4.17",
  "results": [
    {"section": "Open", "name": "opens", "status": "passed", "seconds": 0.1},
    {"section": "Flask", "name": "a label is kept", "status": "cannot be tested here", "seconds": 0.1, "details": ["the seed is 1", "no labels"]},
    {"section": "Flask", "name": "a boolean is set", "status": "failed", "seconds": 0.1}
  ],
  "functions": [{"name": "libxl_flask_getenforce", "section": "Flask", "called": 2, "succeeded": 0}],
  "sections": [
    {"name": "Open", "passed": 1, "failed": 0, "untestable": 0, "bound": 3, "called": 2, "succeeded": 2},
    {"name": "Flask", "passed": 0, "failed": 1, "untestable": 1, "bound": 4, "called": 1, "succeeded": 0}
  ],
  "total": {"name": "total", "passed": 1, "failed": 1, "untestable": 1, "bound": 7, "called": 3, "succeeded": 2}
}`

// expect has a test know another untestable.txt.
func expect(t *testing.T, text string) {
	old := untestableList
	untestableList = parseUntestable(text)
	t.Cleanup(func() { untestableList = old })
}

func TestMatrixOfSavedReports(t *testing.T) {
	expect(t, "*-amd64\tFlask/a label is kept\n")
	book := &hostReport{Suite: "bookworm", Arch: "amd64", SHA256: "aa", Date: "2026-11-23T10:00:00Z"}
	if err := book.readReport([]byte(savedReport)); err != nil {
		t.Fatal(err)
	}
	if !book.bad() {
		t.Error("a failed check is no failure")
	}
	// What is kept is enough for "xlidl coverage".
	if want := []functionCount{{"libxl_flask_getenforce", 2, 0}}; !slices.Equal(book.Functions, want) {
		t.Errorf("the functions: %v, want %v", book.Functions, want)
	}
	arm := &hostReport{Suite: "trixie", Arch: "arm64", SHA256: "bb", Args: "-run a", Date: "2026-11-23"}
	one := strings.NewReplacer(`"failed": 1`, `"failed": 0`, `"status": "failed"`, `"status": "passed"`, `"passed": 0`, `"passed": 1`,
		"4.17.7", "4.20.3", `"name": "Flask", "passed"`, `"name": "PCI", "passed"`).Replace(savedReport)
	if err := arm.readReport([]byte(one)); err != nil {
		t.Fatal(err)
	}
	if !arm.bad() {
		t.Error("a check that could not be made against expectation is no failure")
	}
	expect(t, "*-amd64,trixie-*\tFlask/a label is kept\n")
	if arm.bad() {
		t.Error("what has no failed check is a failure")
	}
	lost := &hostReport{Suite: "sid", Arch: "amd64", Error: "not run"}
	if !lost.bad() {
		t.Error("a host without a report is no failure")
	}
	half := &hostReport{Suite: "bullseye", Arch: "amd64", Xen: "4.14.6", Total: sectionCount{Passed: 5}, Error: "not finished: exit status 125"}
	if !half.bad() {
		t.Error("half a report is no failure")
	}
	var out bytes.Buffer
	writeMatrix(&out, []*hostReport{book, arm, lost, half})
	squeezed := strings.Join(strings.FieldsFunc(out.String(), func(r rune) bool { return r == ' ' }), " ")
	for _, want := range []string{
		"| passed / failed / not testable there | Xen 4.17.7 amd64 (bookworm) | Xen 4.20.3 arm64 (trixie) | sid amd64 | Xen 4.14.6 amd64 (bullseye) |",
		"| Open | 1 / 0 / 0 | 1 / 0 / 0 | - | - |",
		"| Flask | 0 / 1 / 1 | - | - | - |",
		"| PCI | - | 0 / 0 / 1 | - | - |",
		"| **total** | **1 / 1 / 1** | **1 / 0 / 1** | not run | **5 / 0 / 0**, not finished: exit status 125 |",
		"| 3 / 2 of 7 | 3 / 2 of 7 | - | - |",
		"* amd64: `aa`, run on 2026-11-23: bookworm\n* arm64: `bb`, run on 2026-11-23 with `-run a`: trixie\n",
		"Failed on bookworm amd64:\n\n* Flask/a boolean is set\n",
	} {
		if !strings.Contains(squeezed, want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
}

func TestMatrixTellsWhatIsNotTestableAgainstExpectation(t *testing.T) {
	for _, test := range []struct{ list, want, made string }{
		{"*\tFlask/a label is kept\n", "", ""},
		{"# Why.\n\nsid-amd64,*-arm64,book*-amd64\tFlask/a label is kept\n*-arm64\tOpen/opens\n", "", ""},
		{"*-arm64\tFlask/a label is kept\nbookworm-amd64\tFlask/a label is kept\n", "", ""},
		{"", "not testable, against expectation: Flask/a label is kept: the seed is 1; no labels", ""},
		{"*-arm64,sid-*\tFlask/a label is kept\n", "not testable, against expectation: Flask/a label is kept: the seed is 1; no labels", ""},
		{"#*\tFlask/a label is kept\n", "not testable, against expectation: Flask/a label is kept: the seed is 1; no labels", ""},
		{"*\tFlask/a label is kept\n*\tOpen/opens\n", "", "Open/opens"},
		{"*\tFlask/a label is kept\n*\tFlask/what was not chosen\n", "", ""},
	} {
		expect(t, test.list)
		h := &hostReport{Suite: "bookworm", Arch: "amd64", Date: "2026-11-23T10:00:00Z"}
		if err := h.readReport([]byte(savedReport)); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(h.surprises(untestableList), "\n"); got != test.want {
			t.Errorf("with %q: got %q, want %q", test.list, got, test.want)
		}
		if made := strings.Join(h.outdated(untestableList), "\n"); made != test.made {
			t.Errorf("with %q: made all the same: %q, want %q", test.list, made, test.made)
		}
		var out bytes.Buffer
		writeMatrix(&out, []*hostReport{h})
		if test.want != "" && !strings.Contains(out.String(), "Failed on bookworm amd64:\n\n* Flask/a boolean is set\n* "+test.want+"\n") {
			t.Errorf("with %q: %q is not in\n%s", test.list, test.want, &out)
		}
		if h.Total.Failed = 0; h.bad() != (test.want != "") {
			t.Errorf("with %q: bad is %t", test.list, h.bad())
		}
		if h.KVM = true; h.bad() {
			t.Errorf("with %q: a host that is not emulated is bad", test.list)
		}
	}
}

// TestUntestableChecksAreXltests sees to it that no line of the list is idle.
func TestUntestableChecksAreXltests(t *testing.T) {
	checks := xltest.Checks(xltest.Options{})
	for line := range strings.Lines(untestableText) {
		if line == "\n" || strings.HasPrefix(line, "#") {
			continue
		}
		list := parseUntestable(line)
		if len(list) != 1 || !slices.Contains(checks, list[0].check) {
			t.Errorf("xltest has no such check: %q", line)
			continue
		}
		for _, pattern := range list[0].hosts {
			if !slices.ContainsFunc(targets, func(h target) bool { return expectation{[]string{pattern}, ""}.on(h.String()) }) {
				t.Errorf("%q is no host: %q", pattern, line)
			}
		}
	}
}

func TestTableHasOneProgramForEachArchitecture(t *testing.T) {
	newer := hostReport{Arch: "amd64", SHA256: "bb", Xen: "4.17", Date: "2026-11-23T10:00:00Z"}
	same := hostReport{Arch: "amd64", SHA256: "bb", Xen: "4.20", Date: "2026-11-22"}
	older := hostReport{Arch: "amd64", SHA256: "aa", Xen: "4.14", Date: "2026-11-23"} // as dates once were
	never := hostReport{Arch: "amd64", Error: "not run"}
	other := hostReport{Arch: "arm64", SHA256: "cc", Xen: "4.17", Date: "2026-11-20T10:00:00Z"}
	broken := hostReport{Arch: "amd64", SHA256: "cc", Date: "2026-11-24T10:00:00Z", Error: "no report: exit status 125"}
	for _, test := range []struct {
		hosts []hostReport
		want  []string // the programs that remain, and the errors
	}{
		{[]hostReport{older, newer, same, never, other}, []string{"not run with this program", "bb", "bb", "not run", "cc"}},
		{[]hostReport{newer, older, other}, []string{"bb", "not run with this program", "cc"}},
		{[]hostReport{never, older, same}, []string{"not run", "aa", "not run with this program"}},
		{[]hostReport{newer, broken}, []string{"not run with this program", "ccno report: exit status 125"}},
		{[]hostReport{never, never}, []string{"not run", "not run"}},
	} {
		var hosts []*hostReport
		for _, h := range test.hosts {
			hosts = append(hosts, &h)
		}
		onePerArch(hosts)
		var got []string
		for _, h := range hosts {
			got = append(got, h.SHA256+h.Error)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%+v: got %q, want %q", test.hosts, got, test.want)
		}
	}
}

func TestMatrixKeepsReportsOfOtherHosts(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"bookworm-amd64.json": `{"Suite": "bookworm", "Arch": "amd64", "SHA256": "aa", "Date": "2026-11-23T10:00:00Z", "Xen": "4.17.7", "Total": {"Passed": 3}}`,
		"trixie-amd64.json":   `{"Suite": "trixie", "Arch": "amd64", "SHA256": "aa", "Date": "2026-11-23T11:00:00Z", "Xen": "4.20.3", "Total": {"Passed": 2, "Failed": 1}}`,
		"bullseye-amd64.json": `{"Suite": "bullseye", "Arch": "amd64", "SHA256": "bb", "Date": "2026-11-23T09:00:00Z", "Xen": "4.14.6", "Total": {"Passed": 4}}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	readme := filepath.Join(dir, "README.md")
	for chosen, want := range map[string]int{"bookworm-amd64": 0, "trixie-amd64": 1, "bookworm-amd64,sid-amd64": 1, "bookworm-amd64,bullseye-amd64": 1} {
		if err := os.WriteFile(readme, []byte(matrixBegin+matrixEnd), 0o644); err != nil {
			t.Fatal(err)
		}
		status, err := matrixMain([]string{"-targets", chosen, "-reports", dir, "-readme", readme})
		if err != nil || status != want {
			t.Errorf("%s: status %d, %v; want %d", chosen, status, err, want)
		}
		table, _ := os.ReadFile(readme)
		for _, want := range []string{"**3 / 0 / 0**", "**2 / 1 / 0**", "bullseye amd64", "not run with this program", "not run "} {
			if !strings.Contains(string(table), want) {
				t.Errorf("%s: %q is not in\n%s", chosen, want, table)
			}
		}
	}
}

func TestReportsThatAreNone(t *testing.T) {
	for _, bad := range []string{"", "{}", "[]", `{"xen": "4.17"}`, savedReport[:100]} {
		if err := new(hostReport).readReport([]byte(bad)); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestTableIsReplaced(t *testing.T) {
	name := filepath.Join(t.TempDir(), "README.md")
	for _, test := range []struct{ before, after string }{
		{"a\n" + matrixBegin + "old\n" + matrixEnd + "b\n", "a\n" + matrixBegin + "new\n" + matrixEnd + "b\n"},
		{"no marks\n", ""},
		{matrixBegin + "no end\n", ""},
	} {
		if err := os.WriteFile(name, []byte(test.before), 0o644); err != nil {
			t.Fatal(err)
		}
		err := replaceTable(name, []byte("new\n"))
		got, _ := os.ReadFile(name)
		if (err == nil) != (test.after != "") || err == nil && string(got) != test.after || err != nil && string(got) != test.before {
			t.Errorf("%q became %q, %v", test.before, got, err)
		}
	}
}

func TestMatrixCommandLine(t *testing.T) {
	m, err := parseMatrix([]string{"-targets", "trixie-arm64,bullseye-amd64", "-send", "x.{arch}", "--", "bin/{arch}/xltest", "-v"}, io.Discard)
	if err != nil || len(m.targets) != 2 || m.targets[1].Xen != "4.14" || len(m.argv) != 2 {
		t.Errorf("got %+v, %v", m, err)
	}
	var usage *UsageError
	for _, bad := range []string{"-targets=woody-amd64", "-targets=", "-nosuchflag"} {
		if _, err := parseMatrix([]string{bad}, io.Discard); !errors.As(err, &usage) {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if _, err := parseMatrix([]string{"-h"}, io.Discard); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("-h: %v", err)
	}
}
