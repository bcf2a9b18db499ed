package loop

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/go-xenlight/xenlight/libxl"
)

func TestParseLine(t *testing.T) {
	seven := libxl.Domid(7)
	previous := Record{Level: slog.LevelError, Domid: &seven}
	tests := []struct {
		name, line string
		want       []string // level|source|domain|text
	}{
		{"domain and source", "libxl: error: libxl_dom.c:40:libxl__domain_type: Domain 12:unable to get domain type",
			[]string{"ERROR|libxl_dom.c:40:libxl__domain_type|12|unable to get domain type"}},
		{"no domain", "libxl: warning: libxl_create.c:1:f: a: b: c", []string{"WARN|libxl_create.c:1:f||a: b: c"}},
		{"no source", "libxl: error: out of something", []string{"ERROR|||out of something"}},
		{"a domain's name is no number", `libxl: error: libxl_domain.c:81:f: Domain with name "Domain 3:" already exists.`,
			[]string{`ERROR|libxl_domain.c:81:f||Domain with name "Domain 3:" already exists.`}},
		{"of libxc", "xc: error: panic: xg_dom_core.c:205: failed to open file",
			[]string{"ERROR|||xc: panic: xg_dom_core.c:205: failed to open file"}},
		{"of the domain builder, after an error", "domainbuilder: detail: xc_dom_release: called",
			[]string{"DEBUG|||domainbuilder: xc_dom_release: called"}},
		{"of libxencall, after an error", "xencall:buffer: debug: cache hits:154 misses:3", []string{"DEBUG|||xencall:buffer: cache hits:154 misses:3"}},
		{"levels below warning", "libxl: debug: libxl_event.c:2:f: x", []string{"DEBUG|libxl_event.c:2:f||x"}},
		{"critical", "libxl: critical: libxl_event.c:2:f: x", []string{"ERROR|libxl_event.c:2:f||x"}},
		{"second line of a message", "more about it", []string{"ERROR||7|more about it"}},
		{"two messages on one line", "libxl: error: a.c:1:f: Domain 1:onelibxl: error: a.c:2:g: Domain 2:two",
			[]string{"ERROR|a.c:1:f|1|one", "ERROR|a.c:2:g|2|two"}},
		{"a message after the rest of another", "rest libxl: error: a.c:2:g: two", []string{"ERROR||7|rest ", "ERROR|a.c:2:g||two"}},
		{"pieces of messages", "libxl: libxl: error: error: a", []string{"ERROR||7|libxl: ", "ERROR|||error: a"}},
		{"a piece that says that it is an error", "Domain 5:liberror: x", []string{"ERROR|||Domain 5:liberror: x"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			for _, r := range parseLine(test.line, previous) {
				domain := ""
				if r.Domid != nil {
					domain = fmt.Sprint(*r.Domid)
				}
				got = append(got, fmt.Sprintf("%s|%s|%s|%s", r.Level, r.Source, domain, r.Text))
			}
			if strings.Join(got, "\n") != strings.Join(test.want, "\n") {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
}

func TestProgressIsToldApartFromTheLog(t *testing.T) {
	for line, want := range map[string]*Progress{
		"xc: progress: Saving memory: iter 1 (last sent 3 skipped 0): 1024/8192   12%": {"Saving memory: iter 1 (last sent 3 skipped 0)", 1024, 8192, 12},
		"xc: detail: Saving memory: iter 1: 1100/8192   13%":                           {"Saving memory: iter 1", 1100, 8192, 13},
		"xc: detail: xc_dom_malloc: 42 kB":                                             nil,
		"xc: info: Saving memory: 1/2   50%":                                           nil,
	} {
		got := parseLine(line, Record{})[0].step
		if (got == nil) != (want == nil) || got != nil && *got != *want {
			t.Errorf("%s: got %+v", line, got)
		}
	}
}

func TestExplainGivesTheLinesOfTheDomain(t *testing.T) {
	l := open(t, slog.DiscardHandler)
	l.logs(t, "libxl: error: a.c:1:f: Domain 7:before")
	l.Explain(0, nil) // has read it
	mark := l.Mark()
	for _, line := range []string{"error: a.c:1:f: Domain 7:mine", "error: a.c:1:f: Domain 8:another's", "warning: a.c:1:f: nobody's", "info: a.c:1:f: Domain 7:idle"} {
		l.logs(t, "libxl: "+line)
	}
	seven := libxl.Domid(7)
	var got []string
	for _, r := range l.Explain(mark, &seven) {
		got = append(got, r.Text)
	}
	if fmt.Sprint(got) != "[mine nobody's]" {
		t.Errorf("got %q", got)
	}
	// A thousand others fail meanwhile.
	for range 1000 {
		l.logs(t, "libxl: error: a.c:1:f: Domain 8:another's")
	}
	if n := len(l.Explain(mark, &seven)); n != len(got) {
		t.Errorf("after many lines about others %d are left", n)
	}
	closed(t, l)
}
