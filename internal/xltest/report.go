package xltest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/go-xenlight/xenlight"
)

// Report is the outcome of a run.
type Report struct {
	Xen       string     `json:"xen"`
	Library   string     `json:"library"`
	Results   []Result   `json:"results"`
	Functions []Function `json:"functions"`
	Sections  []Section  `json:"sections"`
	Total     Section    `json:"total"`
}

// Function is what became of a function of libxl that the binding knows,
// counted where C is entered, and in copies of the program that replace
// themselves, of which it was seen that they did.
type Function struct {
	Name      string `json:"name"`
	Section   string `json:"section"`
	Called    uint64 `json:"called"`
	Succeeded uint64 `json:"succeeded"`
}

// Section counts the checks and the functions of a section of libxl's function
// list.
type Section struct {
	Name       string `json:"name"`
	Passed     int    `json:"passed"`
	Failed     int    `json:"failed"`
	Untestable int    `json:"untestable"`
	Bound      int    `json:"bound"`     // functions that the binding calls
	Called     int    `json:"called"`    // of these, called in this run
	Succeeded  int    `json:"succeeded"` // of these, with success at least once
}

// NewReport begins a report about a host.
func NewReport(h *xenlight.Host) (*Report, error) {
	v, err := h.GetVersionInfo()
	if err != nil {
		return nil, err
	}
	return &Report{
		Xen:     fmt.Sprintf("%d.%d%s", v.XenVersionMajor, v.XenVersionMinor, v.XenVersionExtra),
		Library: h.Library(),
		Total:   Section{Name: "total"},
	}, nil
}

// sectionName is a section's title without its explanation.
func sectionName(title string) string {
	if strings.HasPrefix(title, "Devices: ") {
		return title
	}
	name, _, _ := strings.Cut(title, ":")
	return name
}

// section is the counts of a section.
func (r *Report) section(title string) *Section {
	name := sectionName(title)
	i := slices.IndexFunc(r.Sections, func(s Section) bool { return s.Name == name })
	if i < 0 {
		i = len(r.Sections)
		r.Sections = append(r.Sections, Section{Name: name})
	}
	return &r.Sections[i]
}

// Add takes in a result.
func (r *Report) Add(result Result) {
	r.Results = append(r.Results, result)
	for _, s := range []*Section{r.section(result.Section), &r.Total} {
		switch result.Status {
		case Passed:
			s.Passed++
		case Failed:
			s.Failed++
		case Untestable:
			s.Untestable++
		}
	}
}

// AddCalls takes in the calls that the binding has made, after all results.
func (r *Report) AddCalls(calls map[string]xenlight.CallCount) {
	for name, c := range calls {
		for _, result := range r.Results {
			if slices.Contains(result.Copies, name) {
				c.Made, c.Succeeded = c.Made+1, c.Succeeded+1
			}
		}
		r.Functions = append(r.Functions, Function{name, c.Section, c.Made, c.Succeeded})
		for _, s := range []*Section{r.section(c.Section), &r.Total} {
			s.Bound++
			if c.Made > 0 {
				s.Called++
			}
			if c.Succeeded > 0 {
				s.Succeeded++
			}
		}
	}
	slices.SortFunc(r.Functions, func(a, b Function) int { return strings.Compare(a.Name, b.Name) })
}

// Print writes a result for people; verbose adds what passed checks have to say.
func (r Result) Print(w io.Writer, verbose bool) {
	name := r.Name
	if r.Again > 0 {
		name += fmt.Sprintf(" (try %d)", r.Again+1)
	}
	fmt.Fprintf(w, "%-8s %5.1fs  %s\n", map[Status]string{Passed: "ok", Failed: "FAILED", Untestable: "skipped"}[r.Status],
		r.Seconds, name)
	if r.Status != Passed || r.Again > 0 || verbose {
		for _, d := range r.Details {
			fmt.Fprintf(w, "%16s%s\n", "", strings.ReplaceAll(d, "\n", fmt.Sprintf("\n%16s", "")))
		}
	}
}

// JSON writes the report as JSON.
func (r *Report) JSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// Summary writes what follows the results: the sections, the functions that
// were never called or never succeeded, and the count.
func (r *Report) Summary(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\tchecks\t\t\tfunctions\t\t\t")
	fmt.Fprintln(t, "section\tpassed\tfailed\tskipped\tbound\tcalled\tsucceeded\t")
	sections := slices.SortedStableFunc(slices.Values(r.Sections), func(a, b Section) int {
		return cmp.Compare(min(a.Bound, 1), min(b.Bound, 1)) // checks of no functions come first
	})
	for _, s := range append(sections, r.Total) {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t\n", s.Name, s.Passed, s.Failed, s.Untestable, s.Bound, s.Called, s.Succeeded)
	}
	t.Flush()
	var failing, never []string
	for _, f := range r.Functions {
		switch {
		case f.Called == 0:
			never = append(never, f.Name)
		case f.Succeeded == 0:
			failing = append(failing, f.Name)
		}
	}
	for _, list := range []struct {
		what  string
		names []string
	}{{"only seen failing", failing}, {"never called", never}} {
		if len(list.names) > 0 {
			fmt.Fprintf(w, "%s: %s\n", list.what, strings.Join(list.names, ", "))
		}
	}
	for _, r := range r.Results {
		if r.Again > 0 {
			fmt.Fprintf(w, "made again because the emulated processor had erred: %s\n", r.Name)
		}
	}
	fmt.Fprintf(w, "xltest: %d passed, %d failed, %d skipped\n", r.Total.Passed, r.Total.Failed, r.Total.Untestable)
}
