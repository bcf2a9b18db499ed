//go:build linux

package xenbox

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

const matrixText = `xenbox matrix [flags] [-- PROGRAM [ARGS...]]

Runs PROGRAM, which is xltest or reports as it does, on a host of every suite
and architecture, or on those of -targets, keeps the reports, and prints a table
of them and of those that are kept of the other hosts. {arch} in PROGRAM, ARGS
and -send stands for the host's architecture. Without PROGRAM nothing is run.
For each architecture the table has reports of one program only, that of the
newest: hosts where another one has run count as not run.

The exit status is 1 if on one of -targets a check failed, or could not be made
and internal/xenbox/untestable.txt does not say so (without KVM), or if one has no
report of this program.

`

// A matrix is one command line.
type matrix struct {
	targets []target
	reports string // folder of the reports
	readme  string // file whose table is replaced
	sends   []string
	timeout time.Duration
	argv    []string
}

func parseMatrix(args []string, help io.Writer) (*matrix, error) {
	m := &matrix{}
	fs := flag.NewFlagSet("xenbox matrix", flag.ContinueOnError)
	fs.SetOutput(help)
	fs.Usage = func() {
		fmt.Fprint(help, matrixText)
		fs.PrintDefaults()
	}
	var names []string
	for _, t := range targets {
		names = append(names, t.String())
	}
	list := fs.String("targets", strings.Join(names, ","), "the `hosts`, separated by commas")
	fs.StringVar(&m.reports, "reports", "matrix", "`folder` of the reports")
	fs.StringVar(&m.readme, "readme", "", "also write the table between the marks in this `file`")
	fs.DurationVar(&m.timeout, "timeout", 2*time.Hour, "end PROGRAM on each host after this `time`")
	fs.Func("send", "copy `HOST[:GUEST]` into every dom0; may be repeated", func(s string) error {
		m.sends = append(m.sends, s)
		return nil
	})
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil, err
		}
		return nil, &UsageError{Msg: err.Error()}
	}
	m.argv = fs.Args()
	for name := range strings.SplitSeq(*list, ",") {
		i := slices.IndexFunc(targets, func(t target) bool { return t.String() == name })
		if i < 0 {
			return nil, usageErrorf("unknown host %q: choose from %s", name, strings.Join(names, ","))
		}
		m.targets = append(m.targets, targets[i])
	}
	return m, nil
}

// A hostReport is what is kept of a run on one host.
type hostReport struct {
	Suite, Arch string
	Xen         string // as the hypervisor says, empty if there was no report
	SHA256      string // of the program
	Args        string // its arguments
	Date        string // and time of the start, as RFC 3339 has them
	KVM         bool   // it was not emulated
	Sections    []sectionCount
	Total       sectionCount
	Passed      []string     // the names of the checks that passed
	Failed      []string     // that failed
	Untestable  []untestable // and that could not be made
	Functions   []functionCount
	Error       string // why there is no report, or not all of it
}

// A sectionCount is a section of xltest's report.
type sectionCount struct {
	Name                       string
	Passed, Failed, Untestable int
	Bound, Called, Succeeded   int
}

// A functionCount tells how often the program has called a function of libxl: it
// is there for "xlidl coverage".
type functionCount struct {
	Name              string
	Called, Succeeded uint64
}

// cell is a table's cell about the section.
func (c sectionCount) cell() string {
	if c.Passed+c.Failed+c.Untestable == 0 {
		return "-"
	}
	return fmt.Sprintf("%d / %d / %d", c.Passed, c.Failed, c.Untestable)
}

// readReport takes what the matrix needs from xltest's report.
func (h *hostReport) readReport(data []byte) error {
	var r struct {
		Xen     string
		Results []struct {
			Section, Name, Status string
			Details               []string
		}
		Functions []functionCount
		Total     sectionCount
	}
	var sections struct{ Sections []sectionCount }
	if err := errors.Join(json.Unmarshal(data, &r), json.Unmarshal(data, &sections)); err != nil {
		return err
	}
	if r.Xen == "" || len(r.Results) == 0 {
		return errors.New("the report has no results")
	}
	h.Xen, h.Sections, h.Total, h.Functions = r.Xen, sections.Sections, r.Total, r.Functions
	for _, c := range r.Results {
		switch name := c.Section + "/" + c.Name; c.Status {
		case "passed":
			h.Passed = append(h.Passed, name)
		case "failed":
			h.Failed = append(h.Failed, name)
		default:
			h.Untestable = append(h.Untestable, untestable{name, strings.Join(c.Details, "; ")})
		}
	}
	return nil
}

// bad tells whether the host's column is a failure.
func (h *hostReport) bad() bool {
	return h.Error != "" || h.Total.Failed > 0 || len(h.surprises(untestableList)) > 0
}

// run makes the report of one host.
func (m *matrix) run(t target) (*hostReport, error) {
	fill := func(s string) string { return strings.ReplaceAll(s, "{arch}", t.Arch) }
	program := fill(m.argv[0])
	data, err := os.ReadFile(program)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(data)
	h := &hostReport{Suite: t.Suite, Arch: t.Arch, SHA256: hex.EncodeToString(sum[:]), Args: fill(strings.Join(m.argv[1:], " ")), Date: time.Now().UTC().Format(time.RFC3339)}
	if h.KVM, _, err = chooseKVM("auto", t.Arch); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	tmp, err := os.MkdirTemp("", "xenbox-matrix-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	report := filepath.Join(tmp, "report.json")
	args := []string{"run", "-suite", t.Suite, "-arch", t.Arch, "-timeout", m.timeout.String(), "-fetch", "/run/xenbox/report.json:" + report}
	for _, s := range m.sends {
		args = append(args, "-send", fill(s))
	}
	args = append(args, "--", program, "-json", "/run/xenbox/report.json")
	for _, a := range m.argv[1:] {
		args = append(args, fill(a))
	}
	fmt.Fprintf(os.Stderr, "xenbox: %s, Xen %s: %s, SHA-256 %s\n", t, t.Xen, program, h.SHA256)
	cmd := exec.Command(self, args...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr // stdout is for the table
	runErr := cmd.Run()
	data, err = os.ReadFile(report)
	if err == nil {
		err = h.readReport(data)
	}
	switch {
	case err != nil:
		h.Error = fmt.Sprintf("no report: %v", cmp.Or(runErr, err))
	case runErr != nil && (h.Total.Failed == 0 || cmd.ProcessState.ExitCode() != 1):
		h.Error = fmt.Sprintf("not finished: %v", runErr)
	}
	return h, nil
}

func (m *matrix) file(t target) string { return filepath.Join(m.reports, t.String()+".json") }

// matrixMain is the command.
func matrixMain(args []string) (int, error) {
	m, err := parseMatrix(args, os.Stdout)
	if errors.Is(err, flag.ErrHelp) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if err := os.MkdirAll(m.reports, 0o755); err != nil {
		return 0, err
	}
	var hosts []*hostReport
	for _, t := range targets {
		h, err := m.host(t, slices.Contains(m.targets, t))
		if err != nil {
			return 0, err
		}
		hosts = append(hosts, h)
	}
	onePerArch(hosts)
	status := 0
	for i, h := range hosts {
		if h.bad() && slices.Contains(m.targets, targets[i]) {
			status = 1
		}
		for _, name := range h.outdated(untestableList) {
			fmt.Fprintf(os.Stderr, "xenbox: %s: it has passed, so take it off internal/xenbox/untestable.txt: %s\n", targets[i], name)
		}
	}
	var table bytes.Buffer
	writeMatrix(&table, hosts)
	if m.readme != "" {
		if err := replaceTable(m.readme, table.Bytes()); err != nil {
			return 0, err
		}
	}
	_, err = os.Stdout.Write(table.Bytes())
	return status, err
}

// host runs the program on a host, if it was chosen, and keeps the report; else
// it reads the one that is kept.
func (m *matrix) host(t target, chosen bool) (*hostReport, error) {
	if chosen && len(m.argv) > 0 {
		h, err := m.run(t)
		if err != nil {
			return nil, err
		}
		data, err := json.MarshalIndent(h, "", "\t")
		if err != nil {
			return nil, err
		}
		return h, os.WriteFile(m.file(t), append(data, '\n'), 0o644)
	}
	h := &hostReport{Suite: t.Suite, Arch: t.Arch, Error: "not run"}
	data, err := os.ReadFile(m.file(t))
	if errors.Is(err, os.ErrNotExist) {
		return h, nil
	}
	if err != nil {
		return nil, err
	}
	h.Error = ""
	return h, json.Unmarshal(data, h)
}

// onePerArch leaves out, for each architecture, the reports of other programs than
// that of the newest, which is this run's if there was one.
func onePerArch(hosts []*hostReport) {
	newest := make(map[string]*hostReport)
	for _, h := range hosts {
		if n := newest[h.Arch]; n == nil || h.Date > n.Date {
			newest[h.Arch] = h
		}
	}
	for i, h := range hosts {
		if h.SHA256 != "" && h.SHA256 != newest[h.Arch].SHA256 {
			hosts[i] = &hostReport{Suite: h.Suite, Arch: h.Arch, Error: "not run with this program"}
		}
	}
}

// writeMatrix writes the table as Markdown: a row for each section, a column
// for each host.
func writeMatrix(w io.Writer, hosts []*hostReport) {
	var sections []string
	for _, h := range hosts {
		for _, s := range h.Sections {
			if !slices.Contains(sections, s.Name) && s.Passed+s.Failed+s.Untestable > 0 {
				sections = append(sections, s.Name)
			}
		}
	}
	t := tabwriter.NewWriter(w, 0, 0, 0, ' ', 0)
	row := func(name string, cell func(*hostReport) string) {
		fmt.Fprintf(t, "| %s\t", name)
		for _, h := range hosts {
			fmt.Fprintf(t, " | %s\t", cell(h))
		}
		fmt.Fprint(t, " |\n")
	}
	row("passed / failed / not testable there", func(h *hostReport) string {
		if h.Xen == "" {
			return h.Suite + " " + h.Arch
		}
		return fmt.Sprintf("Xen %s %s (%s)", h.Xen, h.Arch, h.Suite)
	})
	row("---", func(*hostReport) string { return "---" })
	for _, name := range sections {
		row(name, func(h *hostReport) string {
			i := slices.IndexFunc(h.Sections, func(s sectionCount) bool { return s.Name == name })
			if i < 0 {
				return "-"
			}
			return h.Sections[i].cell()
		})
	}
	row("**total**", func(h *hostReport) string {
		switch {
		case h.Xen == "":
			return h.Error
		case h.Error != "":
			return "**" + h.Total.cell() + "**, " + h.Error
		}
		return "**" + h.Total.cell() + "**"
	})
	row("functions of libxl called / with success", func(h *hostReport) string {
		if h.Total.Bound == 0 {
			return "-"
		}
		return fmt.Sprintf("%d / %d of %d", h.Total.Called, h.Total.Succeeded, h.Total.Bound)
	})
	t.Flush()
	writePrograms(w, hosts)
	for _, h := range hosts {
		for i, name := range slices.Concat(h.Failed, h.surprises(untestableList)) {
			if i == 0 {
				fmt.Fprintf(w, "\nFailed on %s %s:\n\n", h.Suite, h.Arch)
			}
			fmt.Fprintln(w, "* "+name)
		}
	}
}

// writePrograms tells which program has run where.
func writePrograms(w io.Writer, hosts []*hostReport) {
	suites := make(map[string][]string)
	for _, h := range hosts {
		if h.SHA256 != "" {
			day, _, _ := strings.Cut(h.Date, "T")
			program := fmt.Sprintf("%s: `%s`, run on %s", h.Arch, h.SHA256, day)
			if h.Args != "" {
				program += " with `" + h.Args + "`"
			}
			suites[program] = append(suites[program], h.Suite)
		}
	}
	for i, p := range slices.Sorted(maps.Keys(suites)) {
		if i == 0 {
			fmt.Fprint(w, "\nThe program's SHA-256, its arguments, and where it ran:\n\n")
		}
		fmt.Fprintf(w, "* %s: %s\n", p, strings.Join(suites[p], ", "))
	}
}

// The marks between which the table stands in a Markdown file.
const (
	matrixBegin = "<!-- make matrix writes from here -->\n"
	matrixEnd   = "<!-- to here -->\n"
)

// replaceTable puts a table into a file.
func replaceTable(name string, table []byte) error {
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	head, rest, ok := bytes.Cut(data, []byte(matrixBegin))
	_, tail, ok2 := bytes.Cut(rest, []byte(matrixEnd))
	if !ok || !ok2 {
		return fmt.Errorf("%s has no lines %q and %q", name, strings.TrimSpace(matrixBegin), strings.TrimSpace(matrixEnd))
	}
	return os.WriteFile(name, slices.Concat(head, []byte(matrixBegin), table, []byte(matrixEnd), tail), 0o644)
}
