package xltest

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/go-xenlight/xenlight/libxl"
)

func TestFaultsOfTheProcessorAreFound(t *testing.T) {
	const console = "(XEN) d14v0 Triple fault - invoking HVM shutdown action 1\n(XEN) d4v1 Triple fault - invoking HVM shutdown action 1\n"
	for _, test := range []struct {
		details []string
		guests  []libxl.Domid
		want    string
	}{
		{nil, nil, ""},
		{nil, []libxl.Domid{1, 2}, ""},
		{nil, []libxl.Domid{3, 4}, "d4v1 Triple fault"},
		{nil, []libxl.Domid{14}, "d14v0 Triple fault"},
		{[]string{"the guest said:\n[    2.195269] Oops: int3: 0000 [#1] PREEMPT SMP NOPTI\n"}, []libxl.Domid{1}, "int3: 0000 [#1]"},
		{[]string{"Oops: 0002 [#1] SMP", "Oops: int3: 0000 [#2] SMP"}, []libxl.Domid{1}, ""},
	} {
		if got := processorFault(console, test.details, test.guests); got != test.want {
			t.Errorf("guests %d: got %q, want %q", test.guests, got, test.want)
		}
	}
}

func TestAFailureIsTriedAgainOnlyAfterAFault(t *testing.T) {
	for _, test := range []struct {
		what   string
		resets int // so often the check fails for one
		fails  bool
		made   int
		status Status
	}{
		{"nothing wrong", 0, false, 1, Passed},
		{"a failure", 0, true, 1, Failed},
		{"a reset", 1, false, 2, Passed},
		{"two resets", 2, false, 3, Passed},
		{"a reset each time", 100, false, tries, Failed},
		{"a reset, then a failure", 1, true, 2, Failed},
	} {
		made := 0
		r := runCheck(context.Background(), nil, Options{Timeout: time.Second}, check{"section", test.what, func(t *T) {
			if made++; made <= test.resets {
				t.fault = "reset"
				t.Fatalf("try %d", made)
			}
			if test.fails {
				t.Errorf("it fails")
			}
		}})
		if r.Status != test.status || made != test.made || r.Again != test.made-1 {
			t.Errorf("%s: %s after %d tries, Again %d; want %s after %d", test.what, r.Status, made, r.Again, test.status, test.made)
		}
		if said := strings.Join(r.Details, " "); test.resets > 0 && !strings.Contains(said, "try 1 so it was made again") {
			t.Errorf("%s: the result does not tell of it: %s", test.what, said)
		}
	}
}
