package xltest

import (
	"strings"
	"testing"

	"github.com/go-xenlight/xenlight"
)

func TestReportCountsChecksAndFunctionsOfASection(t *testing.T) {
	var r Report
	r.Add(Result{Section: "Names: first and last", Status: Passed})
	r.Add(Result{Section: "Names: first and last", Status: Failed})
	r.Add(Result{Section: "Devices: Disk", Status: Untestable, Copies: []string{"libxl_exec"}})
	r.AddCalls(map[string]xenlight.CallCount{
		"libxl_name":  {Section: "Names", Made: 3, Succeeded: 1},
		"libxl_title": {Section: "Names", Made: 2},
		"libxl_disk":  {Section: "Devices: Disk"},
		"libxl_exec":  {Section: "Devices: Disk"}, // called by a copy of the program
	})
	want := []Section{
		{Name: "Names", Passed: 1, Failed: 1, Bound: 2, Called: 2, Succeeded: 1},
		{Name: "Devices: Disk", Untestable: 1, Bound: 2, Called: 1, Succeeded: 1},
	}
	if len(r.Sections) != len(want) {
		t.Fatalf("sections: %+v", r.Sections)
	}
	for i, w := range want {
		if r.Sections[i] != w {
			t.Errorf("got %+v, want %+v", r.Sections[i], w)
		}
	}
	var text strings.Builder
	r.Summary(&text)
	for _, line := range []string{
		"only seen failing: libxl_title\n", "never called: libxl_disk\n", "xltest: 1 passed, 1 failed, 1 skipped\n",
	} {
		if !strings.Contains(text.String(), line) {
			t.Errorf("the summary lacks %q:\n%s", line, text.String())
		}
	}
}
