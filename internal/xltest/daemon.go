package xltest

import (
	"context"
	"errors"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/go-xenlight/xenlight"
	"github.com/go-xenlight/xenlight/internal/leak"
	"github.com/go-xenlight/xenlight/libxl"
)

var daemonChecks = []check{
	{loopSection, "more than a hundred operations wait without a thread each, and are all cancelled", checkWaiting},
	{loopSection, "libxl's messages are logged with level, source and domain, and explain the errors of operations at once", checkLog},
}

func checkWaiting(t *T) {
	// Whoever asks a guest to shut down looks at what all ask who ask the same one.
	const guests, each = 16, 8
	var all []*guest
	for range guests {
		g := t.create(t.tiny(t.plain(), "tiny=ignore"))
		g.start()
		g.expect("tiny: up")
		all = append(all, g)
	}
	made := func() uint64 { return t.Host.Calls()["libxl_domain_shutdown"].Made }
	before, threads := made(), leak.Threads()
	ctx, cancel := context.WithCancel(t.ctx)
	defer cancel()
	errs := make([]error, guests*each)
	var group sync.WaitGroup
	for i := range errs {
		group.Go(func() { errs[i] = t.Host.DomainShutdown(ctx, all[i%guests].Domid) })
	}
	t.until("all to have begun", func() bool { return made() == before+guests*each })
	waiting := leak.Threads()
	cancel()
	group.Wait()
	for i, err := range errs {
		if !errors.Is(err, context.Canceled) || !errors.Is(err, libxl.ErrorAborted) {
			t.Fatalf("the %dth: %v", i, err)
		}
	}
	t.Logf("%d threads while %d operations waited, %d before", waiting, guests*each, threads)
	const few = 12 // the most that may be inside libxl at once, and what Go adds
	if waiting > threads+few {
		t.Errorf("that is %d more", waiting-threads)
	}
	for _, g := range all {
		g.destroy()
	}
}

// records is a slog.Handler that keeps what it gets.
type records struct {
	slog.Handler // for what is not needed
	level        slog.Level

	mu  sync.Mutex
	all []slog.Record
}

func (r *records) Enabled(_ context.Context, l slog.Level) bool { return l >= r.level }

func (r *records) Handle(_ context.Context, rec slog.Record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, rec)
	return nil
}

var sourceLine = regexp.MustCompile(`^libxl\w*\.c:\d+:\w+$`)

// complete tells whether a record is an error with its source and domain.
func complete(rec slog.Record) bool {
	source, domain := false, false
	rec.Attrs(func(a slog.Attr) bool {
		source = source || a.Key == "libxl" && sourceLine.MatchString(a.Value.String())
		domain = domain || a.Key == "domid" && a.Value.Kind() == slog.KindUint64 && a.Value.Uint64() > 0
		return true
	})
	return rec.Level == slog.LevelError && source && domain
}

func checkLog(t *T) {
	for _, level := range []slog.Level{slog.LevelDebug, slog.LevelError} {
		log := &records{level: level}
		h, err := xenlight.Open(xenlight.WithLogger(slog.New(log)))
		t.ok(err, "Open")
		// One domain each, at once: what explains the error of each is in it.
		var group sync.WaitGroup
		absent := []string{"/nonexistent/one", "/nonexistent/two", "/nonexistent/three"}
		errs := make([]error, len(absent))
		for i, kernel := range absent {
			c := t.config(t.plain())
			c.BInfo.Kernel = kernel
			group.Go(func() { _, errs[i] = h.DomainCreateNew(t.ctx, c) })
		}
		group.Wait()
		for i, err := range errs {
			if e := asError(err); e == nil || !slices.ContainsFunc(e.Log, func(l xenlight.LogLine) bool { return strings.Contains(l.Text, absent[i]) }) {
				t.Errorf("%s: %v does not say so%s", absent[i], err, logOf(err))
			}
		}
		t.ok(h.Close(), "Close")
		if !slices.ContainsFunc(log.all, complete) {
			t.Errorf("at level %v: of %d records none is an error with source and domain", level, len(log.all))
		}
		lower := slices.ContainsFunc(log.all, func(r slog.Record) bool { return r.Level < slog.LevelWarn })
		equal(t, "at level "+level.String()+": there are messages of less weight", lower, level == slog.LevelDebug)
	}
}
