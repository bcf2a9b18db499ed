package xltest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/go-xenlight/xenlight"
)

// SoakLoad is what one round of a soak makes.
var SoakLoad = Load{Creations: 12, Guests: 12, Opens: 10, Waiting: 100}

// sample is what there was at one moment of a soak.
type sample struct {
	at     time.Duration
	values []int // of levels
}

// Soak makes the checks of operations, events and load again and again for a time,
// after a first round in which everything is made that is made once, and reports
// how much of everything there is at the end of each round, and by how much that
// grows in an hour. What a host cannot do is told of once, and left. It tells
// whether a check failed or something leaks; a first round in which no check passed,
// or if that is strict one could not be made, is a failure and the end.
func Soak(ctx context.Context, host *xenlight.Host, o Options, duration time.Duration, out io.Writer) (failed bool, err error) {
	var samples []sample
	var start time.Time
	checks := slices.DeleteFunc(allChecks(), func(c check) bool {
		return c.section != loopSection && c.section != loadSection || !o.selects(c)
	})
	if len(checks) == 0 {
		return true, errors.New("-section and -run leave no check that a soak makes")
	}
	found, err := takeSnapshot(host)
	if err != nil {
		return true, err
	}
	was := found.values() // the first round waits in vain for what a Host makes once and keeps
	for round := 0; round == 0 || time.Since(start) < duration; round++ {
		passed, all := 0, len(checks)
		checks = slices.DeleteFunc(checks, func(c check) bool {
			r := runCheck(ctx, host, o, c)
			switch r.Status {
			case Passed:
				passed++
				return false
			case Failed:
				failed = true
			}
			fmt.Fprintf(out, "round %d: ", round)
			r.Print(out, true)
			return r.Status == Untestable
		})
		if ctx.Err() != nil {
			return true, ctx.Err()
		}
		if why := idle(passed, all-len(checks), o.Strict); round == 0 && why != "" {
			fmt.Fprintln(out, "the soak ends here:", why)
			return true, nil
		}
		values, err := rested(host, was)
		if err != nil {
			return true, err
		}
		if round == 0 {
			start, was = time.Now(), values
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
	fmt.Fprintf(out, "\n%d rounds of %d checks after a first one\n", len(samples)-1, len(checks))
	failed = printTrends(out, samples) || failed
	if o.Last {
		r := runCheck(ctx, host, o, disasterCheck)
		r.Print(out, true)
		failed = failed || r.Status != Passed
	}
	return failed, nil
}

// idle says why a round is no load, if it is none.
func idle(passed, untestable int, strict bool) string {
	switch {
	case passed == 0:
		return "no check has passed"
	case strict && untestable > 0:
		return fmt.Sprintf("%d checks cannot be made here", untestable)
	}
	return ""
}

// rested looks at the host when what ends asynchronously has ended: when no more
// is there than there was, or after some time.
func rested(host *xenlight.Host, was []int) (values []int, err error) {
	for deadline := time.Now().Add(patience); ; time.Sleep(200 * time.Millisecond) {
		s, err := takeSnapshot(host)
		if err != nil {
			return nil, err
		}
		values, more := s.values(), false
		for i, l := range levels {
			more = more || l.slack == 0 && values[i] > was[i]
		}
		if !more || time.Now().After(deadline) {
			return values, nil
		}
	}
}

// values are the figures of all levels.
func (s *snapshot) values() (values []int) {
	for _, l := range levels {
		values = append(values, l.of(s))
	}
	return values
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
