package xltest

import (
	"strings"
	"testing"
	"time"
)

func TestTrendsTellLeaksFromNoise(t *testing.T) {
	// Values as they were measured, one sample a minute.
	for _, test := range []struct {
		level  string
		values []int
		leaks  bool
	}{
		{"descriptors", []int{17, 17, 17, 17}, false},
		{"descriptors", []int{17, 17, 17, 18}, true},
		{"descriptors", []int{17, 19, 18, 17}, false},
		{"domains", []int{1, 1, 1, 2}, true},
		{"xenstore keys", []int{400, 390, 390, 390}, false},
		{"C heap", []int{300, 380, 310, 360, 320}, false},
		{"C heap", []int{300, 350, 400, 450, 500}, true}, // 50 KB a round
		{"resident memory", []int{30000, 34000, 31000, 33000}, false},
		{"resident memory", []int{30000, 60000, 90000, 120000}, true},
		{"Xen memory not free", []int{-900000, -900100, -899950, -900000}, false},
		{"Xen memory not free", []int{-900000, -899500, -899000, -898500}, true},
		{"threads", []int{11}, true}, // which tells nothing
	} {
		at := -1
		for i, l := range levels {
			if l.name == test.level {
				at = i
			}
		}
		if at < 0 {
			t.Errorf("there is no level %q", test.level)
			continue
		}
		var samples []sample
		for i, v := range test.values {
			s := sample{time.Duration(i) * time.Minute, make([]int, len(levels))}
			s.values[at] = v
			samples = append(samples, s)
		}
		if got := trendOf(samples, at); got.leaks != test.leaks {
			t.Errorf("%s %v: %+v, want a leak: %t", test.level, test.values, got, test.leaks)
		}
		var out strings.Builder
		if printTrends(&out, samples); strings.Contains(out.String(), "LEAKS") != test.leaks {
			t.Errorf("%s %v prints:\n%s", test.level, test.values, &out)
		}
	}
}

func TestSoakDemandsAFirstRoundThatTests(t *testing.T) {
	for _, test := range []struct {
		passed, untestable int
		strict, idle       bool
	}{
		{0, 0, false, true}, {0, 3, false, true}, {1, 3, false, false}, {1, 3, true, true}, {1, 0, true, false},
	} {
		if why := idle(test.passed, test.untestable, test.strict); (why != "") != test.idle {
			t.Errorf("%+v: %q", test, why)
		}
	}
	// The host is not looked at.
	var out strings.Builder
	failed, err := Soak(t.Context(), nil, Options{Section: "Primary domain operations"}, time.Hour, &out)
	if !failed || err == nil || !strings.Contains(err.Error(), "leave no check") {
		t.Errorf("without a check: failed %t, %v; it said %q", failed, err, &out)
	}
}

func TestRatesArePerHour(t *testing.T) {
	samples := []sample{{0, make([]int, len(levels))}, {30 * time.Minute, make([]int, len(levels))}}
	samples[1].values[0] = 5
	if got := trendOf(samples, 0); got.perHour != 10 {
		t.Errorf("5 in half an hour are %v per hour", got.perHour)
	}
}
