package xltest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/go-xenlight/xenlight"
	"github.com/go-xenlight/xenlight/internal/leak"
	"github.com/go-xenlight/xenlight/libxl"
)

var daemonChecks = []check{
	{loopSection, "more than a hundred operations wait without a thread each, and are all cancelled", checkWaiting},
	{loopSection, "hundreds of operations wait for another program's lock without a thread each", checkLocked},
	{loopSection, "libxl's messages are logged with level, source and domain, and explain the errors of operations at once", checkLog},
	{loopSection, "what a child of libxl's logs is logged like all else", checkChildLog},
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
	t.fewThreads(guests*each, threads, waiting)
	for _, g := range all {
		g.destroy()
	}
}

// fewThreads demands that waiting operations do not need threads.
func (t *T) fewThreads(operations, before, waiting int) {
	t.Logf("%d threads while %d operations waited, %d before", waiting, operations, before)
	const few = 12 // the most that may be inside libxl at once, and what Go adds
	if waiting > before+few {
		t.Errorf("that is %d more", waiting-before)
	}
}

var memAvailable = regexp.MustCompile(`MemAvailable:.*`)

// checkLocked has operations wait for a lock that another program might hold:
// libxl has a child wait for each. These end together.
func checkLocked(t *T) {
	operations := t.o.Load.Waiting
	g := t.create(t.tiny(t.plain(), ""))
	// Where libxl has it, see libxl__ev_devlock_init.
	file := fmt.Sprintf("/var/lib/xen/userdata-l.%d.%s.libxl-device-changes-lock", g.Domid, g.Config.CInfo.Uuid)
	lock, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o600)
	t.ok(err, "the lock")
	release := t.once(func() {
		_ = unix.Flock(int(lock.Fd()), unix.LOCK_UN) // or the children would have it too
		lock.Close()                                 // libxl removes the file
	})
	t.ok(unix.Flock(int(lock.Fd()), unix.LOCK_EX), file)
	made := func() uint64 { return t.Host.Calls()["libxl_retrieve_domain_configuration"].Made }
	was, before, start := made(), leak.Threads(), time.Now()
	errs := make([]error, operations)
	var group sync.WaitGroup
	for i := range errs {
		group.Go(func() { _, errs[i] = t.Host.RetrieveDomainConfiguration(t.ctx, g.Domid) })
	}
	t.until("all to have begun", func() bool { return made() == was+uint64(operations) })
	t.until("all to wait", func() bool { return len(leak.Children()) == operations })
	begun := time.Since(start)
	waiting := leak.Threads()
	info, err := os.ReadFile("/proc/meminfo")
	t.ok(err, "the memory")
	t.Logf("meanwhile dom0 has %s", memAvailable.Find(info)) // each child takes some
	_, err = t.Host.DomainInfo(g.Domid)
	t.ok(err, "DomainInfo meanwhile")
	release()
	group.Wait()
	for i, err := range errs {
		t.ok(err, fmt.Sprintf("RetrieveDomainConfiguration %d", i))
	}
	t.Logf("%d had begun after %v, and ended after %v", operations, begun.Round(time.Millisecond), time.Since(start).Round(time.Millisecond))
	t.fewThreads(operations, before, waiting)
	t.until("no child to be left", func() bool { return len(leak.Children()) == 0 })
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

// complete tells whether a record is an error with its source, and which domain
// it is about.
func complete(rec slog.Record) (domid libxl.Domid, ok bool) {
	source := false
	rec.Attrs(func(a slog.Attr) bool {
		source = source || a.Key == "libxl" && sourceLine.MatchString(a.Value.String())
		if a.Key == "domid" && a.Value.Kind() == slog.KindUint64 {
			domid = libxl.Domid(a.Value.Uint64())
		}
		return true
	})
	return domid, rec.Level == slog.LevelError && source && domid > 0
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
		if !slices.ContainsFunc(log.all, func(r slog.Record) bool { _, ok := complete(r); return ok }) {
			t.Errorf("at level %v: of %d records none is an error with source and domain", level, len(log.all))
		}
		lower := slices.ContainsFunc(log.all, func(r slog.Record) bool { return r.Level < slog.LevelWarn })
		equal(t, "at level "+level.String()+": there are messages of less weight", lower, level == slog.LevelDebug)
	}
}

// checkChildLog has the child that destroys a guest say something: that it cannot
// note the number that was used, for which libxl does not let the destruction fail.
func checkChildLog(t *T) {
	if !throwAway() {
		t.Cannot("meanwhile nobody on this host could note a domain's number as used")
	}
	const file = domidHistory + ".new" // see libxl__mark_domid_recent
	t.ok(os.Mkdir(file, 0o755), "a folder in the place of "+file)
	t.Cleanup(func() { os.Remove(file) })
	log := &records{level: slog.LevelError}
	h, err := xenlight.Open(xenlight.WithLogger(slog.New(log)))
	t.ok(err, "Open")
	t.Cleanup(func() { h.Close() })
	g := t.create(t.tiny(t.plain(), ""))
	t.ok(h.DomainDestroy(t.ctx, g.Domid), "DomainDestroy")
	t.ok(h.Close(), "Close")
	if !slices.ContainsFunc(log.all, func(r slog.Record) bool {
		domid, ok := complete(r)
		return ok && domid == g.Domid && strings.Contains(r.Message, "domid-history.new")
	}) {
		t.Errorf("of %d records none is the child's: %v", len(log.all), log.all)
	}
}
