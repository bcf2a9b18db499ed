package xltest

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/go-xenlight/xenlight"
)

// Report is the outcome of a run.
type Report struct {
	Xen     string            `json:"xen"`
	Library string            `json:"library"`
	Results []Result          `json:"results"`
	Calls   map[string]uint64 `json:"calls"` // by libxl function, counted where C is entered
	Passed  int               `json:"passed"`
	Failed  int               `json:"failed"`
	Skipped int               `json:"skipped"`
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
	}, nil
}

// Add takes in a result.
func (r *Report) Add(result Result) {
	r.Results = append(r.Results, result)
	switch result.Status {
	case Passed:
		r.Passed++
	case Failed:
		r.Failed++
	case Untestable:
		r.Skipped++
	}
}

// Print writes a result for people; verbose adds what passed checks have to say.
func (r Result) Print(w io.Writer, verbose bool) {
	fmt.Fprintf(w, "%-8s %5.1fs  %s\n", map[Status]string{Passed: "ok", Failed: "FAILED", Untestable: "skipped"}[r.Status],
		r.Seconds, r.Name)
	if r.Status != Passed || verbose {
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

// Summary writes what follows the results: the functions called, and the count.
func (r *Report) Summary(w io.Writer) {
	var never []string
	called := 0
	for _, name := range slices.Sorted(maps.Keys(r.Calls)) {
		if r.Calls[name] == 0 {
			never = append(never, name)
		} else {
			called++
		}
	}
	fmt.Fprintf(w, "libxl functions called: %d of the %d that the binding knows\n", called, len(r.Calls))
	if len(never) > 0 {
		fmt.Fprintf(w, "never called: %s\n", strings.Join(never, ", "))
	}
	fmt.Fprintf(w, "xltest: %d passed, %d failed, %d skipped\n", r.Passed, r.Failed, r.Skipped)
}
