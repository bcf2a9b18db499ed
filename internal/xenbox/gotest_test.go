//go:build linux

package xenbox

import (
	"cmp"
	"slices"
	"testing"
	"time"
)

func TestGoTestFlags(t *testing.T) {
	const dir = "/src/pkg"
	tests := []struct {
		name    string
		args    []string
		fetch   []string
		mkdirs  []string
		timeout time.Duration
	}{
		{name: "plain", args: []string{"-test.paniconexit0", "-test.timeout=10m0s"}, timeout: 10 * time.Minute},
		{name: "test log", args: []string{"-test.testlogfile=/tmp/b001/testlog.txt"},
			fetch: []string{"/tmp/b001/testlog.txt"}, mkdirs: []string{"/tmp/b001"}},
		{name: "coverage", args: []string{"-test.coverprofile=/tmp/b001/_cover_.out", "-test.gocoverdir=/tmp/b001/gocoverdir"},
			fetch: []string{"/tmp/b001/_cover_.out", "/tmp/b001/gocoverdir"}, mkdirs: []string{"/tmp/b001", "/tmp/b001/gocoverdir"}},
		{name: "profile in the output folder", args: []string{"-test.outputdir=/out", "-test.cpuprofile=cpu.prof"},
			fetch: []string{"/out/cpu.prof"}, mkdirs: []string{"/out", "/out"}},
		{name: "profile beside the package", args: []string{"-test.memprofile=mem.prof"},
			fetch: []string{"/src/pkg/mem.prof"}, mkdirs: []string{"/src/pkg"}},
		{name: "value apart, two dashes", args: []string{"--test.trace", "/tmp/t", "-test.timeout", "5s", "-test.v"},
			fetch: []string{"/tmp/t"}, mkdirs: []string{"/tmp"}, timeout: 5 * time.Second},
		{name: "artifacts", args: []string{"-test.outputdir=/out", "-test.artifacts=true"},
			fetch: []string{"/out/_artifacts"}, mkdirs: []string{"/out"}},
		{name: "the program's own arguments", args: []string{"-test.v", "--", "-test.trace=/tmp/t", "-test.timeout=1s"}},
		{name: "other flags", args: []string{"-testdata=/x", "-coverprofile=/x", "trace=/x"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := planTest(test.args, dir)
			var fetch []string
			for _, f := range p.fetches {
				if f.Host != f.Guest || !f.Optional {
					t.Errorf("unexpected transfer %+v", f)
				}
				fetch = append(fetch, f.Guest)
			}
			slices.SortFunc(fetch, cmp.Compare[string])
			slices.Sort(p.mkdirs)
			if !slices.Equal(fetch, test.fetch) || !slices.Equal(p.mkdirs, test.mkdirs) || p.timeout != test.timeout {
				t.Errorf("got fetch %q, mkdirs %q, timeout %v\nwant      %q,        %q,         %v",
					fetch, p.mkdirs, p.timeout, test.fetch, test.mkdirs, test.timeout)
			}
		})
	}
}
