package xltest

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/go-xenlight/xenlight"
)

// SoakLoad is what one round of a soak makes.
var SoakLoad = Load{Creations: 12, Guests: 12, Opens: 10}

// sample is what there was at one moment of a soak.
type sample struct {
	at     time.Duration
	values []int // of levels
}

// Soak makes the checks under load again and again for a time, after a first round
// in which everything is made that is made once, and reports how much of everything
// there is at the end of each round, and by how much that grows in an hour. It
// tells whether a check failed or something leaks; a first round that has not made
// all checks, or in which none passed, is a failure and the end.
func Soak(ctx context.Context, host *xenlight.Host, o Options, duration time.Duration, out io.Writer) (failed bool, err error) {
	var samples []sample
	var start time.Time
	for round := 0; round == 0 || time.Since(start) < duration; round++ {
		var results []Result
		for _, c := range slices.Concat(loadChecks, crowdChecks, faultChecks) {
			if !o.selects(c) {
				continue
			}
			r := runCheck(ctx, host, o, c)
			results = append(results, r)
			if r.Status == Failed {
				failed = true
			}
			if r.Status != Passed {
				fmt.Fprintf(out, "round %d: ", round)
				r.Print(out, true)
			}
		}
		if ctx.Err() != nil {
			return true, ctx.Err()
		}
		if why := idle(results); round == 0 && why != "" {
			fmt.Fprintf(out, "the soak ends here: %s\n", why)
			return true, nil
		}
		s, err := rested(host, samples)
		if err != nil {
			return true, err
		}
		if round == 0 {
			start = time.Now()
		}
		var values []int
		for _, l := range levels {
			values = append(values, l.of(&s))
		}
		samples = append(samples, sample{time.Since(start), values})
		fmt.Fprintf(out, "%7s  round %d:", time.Since(start).Round(time.Second), round)
		for i, l := range levels {
			fmt.Fprintf(out, " %s %d%s", l.name, values[i], l.unit)
			if i < len(levels)-1 {
				fmt.Fprint(out, ",")
			}
		}
		fmt.Fprintln(out)
	}
	fmt.Fprintf(out, "\n%d rounds after a first one\n", len(samples)-1)
	return printTrends(out, samples) || failed, nil
}

// idle says why a round is no load, if it is none.
func idle(results []Result) string {
	passed := 0
	for _, r := range results {
		switch r.Status {
		case Untestable:
			return r.Name + ": " + string(r.Status)
		case Passed:
			passed++
		}
	}
	if passed == 0 {
		return "no check has passed"
	}
	return ""
}

// rested looks at the host when what ends asynchronously has ended: when there is
// no more than after the first round, or after some time.
func rested(host *xenlight.Host, samples []sample) (snapshot, error) {
	for deadline := time.Now().Add(patience); ; time.Sleep(200 * time.Millisecond) {
		s, err := takeSnapshot(host)
		if err != nil || len(samples) == 0 || time.Now().After(deadline) {
			return s, err
		}
		more := false
		for i, l := range levels {
			more = more || l.slack == 0 && l.of(&s) > samples[0].values[i]
		}
		if !more {
			return s, nil
		}
	}
}

// trend is how a figure goes.
type trend struct {
	perHour float64
	leaks   bool
}

// trendOf fits a straight line through the samples of a level. A leak is what has
// grown along that line by more than its slack, of what is counted by one.
func trendOf(samples []sample, i int) trend {
	n := float64(len(samples))
	var meanT, meanV float64
	for _, s := range samples {
		meanT += s.at.Hours() / n
		meanV += float64(s.values[i]) / n
	}
	var above, below float64
	for _, s := range samples {
		above += (s.at.Hours() - meanT) * (float64(s.values[i]) - meanV)
		below += (s.at.Hours() - meanT) * (s.at.Hours() - meanT)
	}
	if below == 0 {
		return trend{math.NaN(), true} // one sample tells nothing
	}
	t := trend{perHour: above / below}
	first, last := samples[0], samples[len(samples)-1]
	grown := t.perHour * (last.at - first.at).Hours()
	if levels[i].slack == 0 {
		grown = float64(last.values[i] - first.values[i])
	}
	t.leaks = grown > float64(levels[i].slack)
	return t
}

// printTrends prints what has become of each level, and tells whether one leaks.
func printTrends(out io.Writer, samples []sample) (leaks bool) {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\tat the start\tat the end\tper hour\tgrowth allowed\t\t")
	first, last := samples[0], samples[len(samples)-1]
	for i, l := range levels {
		trend, verdict := trendOf(samples, i), ""
		if trend.leaks {
			verdict, leaks = "LEAKS", true
		}
		name := l.name
		if l.unit != "" {
			name += ", " + l.unit
		}
		fmt.Fprintf(t, "%s\t%d\t%d\t%+.1f\t%d\t%s\t\n", name, first.values[i], last.values[i], trend.perHour, l.slack, verdict)
	}
	t.Flush()
	return leaks
}
