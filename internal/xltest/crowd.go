package xltest

import (
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"time"

	"github.com/go-xenlight/xenlight"
	"github.com/go-xenlight/xenlight/internal/leak"
	"github.com/go-xenlight/xenlight/libxl"
)

var crowdChecks = []check{
	{loadSection, "guests at once end in different ways, and every watcher is told of each end once", checkCrowd},
}

// ways are how the guests of a crowd end: by themselves as soon as they run, when
// they are told to, or because somebody does it to them.
var ways = []struct {
	cmdline string
	end     func(*guest)
	events  string // what is told of it
}{
	{"tiny=poweroff", nil, "poweroff death"},
	{"tiny=reboot", nil, "reboot death"},
	{"tiny=crash", nil, "crash death"},
	{"tiny=halt", nil, "poweroff death"},
	{"tiny=watchdog", nil, "watchdog death"},
	{"", func(g *guest) { g.say("poweroff") }, "poweroff death"},
	{"", func(g *guest) { g.say("reboot") }, "reboot death"},
	{"", func(g *guest) { g.say("crash") }, "crash death"},
	{"", func(g *guest) { g.say("halt") }, "poweroff death"},
	{"", func(g *guest) { g.do("DomainShutdown", g.t.Host.DomainShutdown) }, "poweroff death"},
	{"", func(g *guest) { g.do("DomainReboot", g.t.Host.DomainReboot) }, "reboot death"},
	{"", func(g *guest) { g.destroy() }, "death"},
}

// journal is what watchers are told, by domain.
type journal map[libxl.Uuid][]string

func (j journal) note(ev xenlight.Event) { j[ev.Uuid] = append(j[ev.Uuid], inAWord(ev)) }

// inAWord tells of a shutdown by its reason, and of a death.
func inAWord(ev xenlight.Event) string {
	if ev.Type == libxl.EventTypeDomainShutdown {
		return ev.Reason.String()
	}
	return "death"
}

// keep notes events until the domain dies that is told last.
func keep(events iter.Seq2[xenlight.Event, error], last libxl.Uuid) (journal, error) {
	j := journal{}
	for ev, err := range events {
		if err != nil {
			return j, err
		}
		if j.note(ev); ev.Uuid == last && ev.Type == libxl.EventTypeDomainDeath {
			break
		}
	}
	return j, nil
}

// crowd makes guests, some of them at a time.
func (t *T) crowd(n int) []*guest {
	configs := make([]*libxl.DomainConfig, n)
	kinds := t.kinds()
	for i := range configs {
		configs[i] = t.tiny(kinds[i/len(ways)%len(kinds)], ways[i%len(ways)].cmdline)
	}
	domids, errs := make([]libxl.Domid, n), make([]error, n)
	var group sync.WaitGroup
	for i := range configs {
		group.Go(func() { domids[i], errs[i] = t.Host.DomainCreateNew(t.ctx, configs[i]) })
	}
	group.Wait()
	var guests []*guest
	for i, err := range errs {
		if err != nil {
			t.Errorf("guest %d: %v%s", i, err, logOf(err))
			continue
		}
		guests = append(guests, t.adopt(configs[i], domids[i]))
	}
	if len(guests) < n {
		t.Fatalf("%d of %d guests were created", len(guests), n)
	}
	return guests
}

func checkCrowd(t *T) {
	n := t.o.Load.Guests
	was := t.snapshot()
	last := t.tiny(t.plain(), "")

	// Watchers of all domains begin before there is one. One of them is not read
	// before the end.
	const all = 4
	watches := make([]iter.Seq2[xenlight.Event, error], all)
	journals, errs := make([]journal, all), make([]error, all)
	var reading sync.WaitGroup
	for i := range watches {
		watches[i] = t.Host.Events(t.ctx)
		if i > 0 {
			reading.Go(func() { journals[i], errs[i] = keep(watches[i], last.CInfo.Uuid) })
		}
	}
	start := time.Now()
	guests := t.crowd(n)
	created := time.Since(start)

	// And two of each domain, of which one wants to know why it shuts down.
	one, oneErrs := make([]journal, n), make([]error, n)
	reasons := make([]string, n)
	for i, g := range guests {
		events := t.Host.DomainEvents(t.ctx, g.Domid)
		reading.Go(func() { one[i], oneErrs[i] = keep(events, g.Config.CInfo.Uuid) })
		reading.Go(func() {
			reason, err := t.Host.WaitShutdown(t.ctx, g.Domid)
			switch {
			case errors.Is(err, libxl.ErrorDomainDestroyed):
				reasons[i] = "death"
			case err != nil:
				reasons[i] = err.Error()
			default:
				reasons[i] = reason.String()
			}
		})
	}
	for _, g := range guests {
		g.start()
	}
	for i, g := range guests {
		g.expect("tiny: up " + g.Config.CInfo.Type.String())
		if end := ways[i%len(ways)].end; end != nil {
			end(g)
		}
	}
	threads := leak.Threads()
	for i, g := range guests {
		if strings.HasPrefix(ways[i%len(ways)].events, "death") {
			continue
		}
		g.shutDown()
		g.destroy()
	}
	// What is told of this one is told after all else, and twice would be before it.
	t.create(last).destroy()
	reading.Wait()
	journals[0], errs[0] = keep(watches[0], last.CInfo.Uuid)
	took := time.Since(start)

	for i, err := range errs {
		t.ok(err, fmt.Sprintf("watcher %d of all domains", i))
	}
	told := 0
	for i, g := range guests {
		t.ok(oneErrs[i], fmt.Sprintf("the watcher of domain %d", g.Domid))
		want, uuid := ways[i%len(ways)].events, g.Config.CInfo.Uuid
		about := fmt.Sprintf("domain %d (%s, %q)", g.Domid, g.Config.CInfo.Type, ways[i%len(ways)].cmdline)
		for w, j := range journals {
			equal(t, fmt.Sprintf("what watcher %d of all domains was told of %s", w, about), strings.Join(j[uuid], " "), want)
			told += len(j[uuid])
		}
		equal(t, "what the watcher of it alone was told of "+about, strings.Join(one[i][uuid], " "), want)
		told += len(one[i][uuid])
		reason, _, _ := strings.Cut(want, " ")
		equal(t, "WaitShutdown of "+about, reasons[i], reason)
	}
	for _, g := range guests {
		g.console.Close()
	}
	now := t.nothingLeft(was)
	t.Logf("%d guests, created in %v, gone after %v; %d watchers were told of %d events; the process had %d threads",
		n, created.Round(time.Second), took.Round(time.Second), all+2*n, told, threads)
	t.Logf("since before: %s", was.difference(now))
}
