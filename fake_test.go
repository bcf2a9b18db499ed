package xenlight

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-xenlight/xenlight/internal/capi"
	"github.com/go-xenlight/xenlight/internal/fakexl"
	"github.com/go-xenlight/xenlight/internal/leak"
	"github.com/go-xenlight/xenlight/libxl"
)

// These tests drive a libxenlight that does as it is told: internal/fakexl.

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "xenlight")
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	buildFake = sync.OnceValues(func() (string, error) { return fakexl.Build(dir) })
	var code int
	if os.Getenv(disasters) != "" {
		code = m.Run()
	} else {
		code = leak.Main(m, capi.Heap)
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

var buildFake func() (string, error)

// openFake opens a Host on the fake, which the test closes at the latest.
func openFake(t *testing.T, opts ...Option) *Host {
	t.Helper()
	path, err := buildFake()
	if errors.Is(err, fakexl.ErrNoCompiler) && os.Getenv("XENLIGHT_TEST_LIBRARY") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	h, err := Open(append(opts, system(t, dom0("17")), WithLibrary(path))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil && !errors.Is(err, ErrBroken) {
			t.Errorf("Close: %v", err)
		}
	})
	return h
}

// operations is how many operations the fake knows to be in progress.
func operations(t *testing.T, h *Host) int {
	t.Helper()
	n, err := h.GetOnlineCpus()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited too long for %s", what)
		}
	}
}

// outcome is what an error says: libxl's code, and why it was aborted.
type outcome struct {
	code  libxl.Error
	cause error
}

func outcomeOf(err error) outcome {
	var o outcome
	if e := (*Error)(nil); errors.As(err, &e) {
		o.code = e.Code
	}
	for _, cause := range []error{context.Canceled, context.DeadlineExceeded, ErrClosed, ErrBroken} {
		if errors.Is(err, cause) {
			o.cause = cause
		}
	}
	return o
}

// ends says how operations of each kind end by themselves, and when they are
// aborted.
var ends = map[fakexl.Kind]struct{ alone, aborted libxl.Error }{
	fakexl.Inline:     {0, 0},
	fakexl.InlineFail: {libxl.ErrorFail, libxl.ErrorFail},
	fakexl.Refused:    {libxl.ErrorInval, libxl.ErrorInval},
	fakexl.Wait:       {0, libxl.ErrorAborted},
	fakexl.Stubborn:   {0, 0},
	fakexl.Forever:    {libxl.ErrorAborted, libxl.ErrorAborted},
	fakexl.Child:      {0, libxl.ErrorAborted},
	fakexl.Block:      {0, 0},
	fakexl.HalfWay:    {libxl.ErrorFail, libxl.ErrorAborted},
	fakexl.FD:         {0, libxl.ErrorAborted},
	fakexl.Finish:     {0, 0},
	fakexl.ChildFail:  {libxl.ErrorFail, libxl.ErrorAborted},
	fakexl.AbortFail:  {0, libxl.ErrorFail},
}

func TestOperationsEndAsLibxlSays(t *testing.T) {
	h := openFake(t)
	for kind, end := range ends {
		for _, lasts := range []time.Duration{0, 20 * time.Millisecond} {
			if kind == fakexl.Forever {
				continue
			}
			start := time.Now()
			err := h.DomainPause(t.Context(), fakexl.Pause(kind, lasts))
			if got := outcomeOf(err); got != (outcome{code: end.alone}) {
				t.Errorf("kind %d: %v", kind, err)
			}
			waits := !slices.Contains([]fakexl.Kind{fakexl.Inline, fakexl.InlineFail, fakexl.Refused}, kind)
			if took := time.Since(start); waits && took < lasts-2*time.Millisecond {
				t.Errorf("kind %d: it has not waited: %v of %v", kind, took, lasts)
			}
		}
	}
}

func TestCancellationAtEveryStage(t *testing.T) {
	h := openFake(t)
	calls := func() uint64 { return h.Calls()["libxl_domain_pause"].Made }
	aborts := func() uint64 { return h.Calls()["libxl_ao_abort"].Made }
	for kind, end := range ends {
		domid := fakexl.Pause(kind, 500*time.Millisecond)
		mine := &Error{Op: "another one's", Code: libxl.ErrorGuestTimedout}
		aborted := outcome{end.aborted, context.Canceled}
		if end.aborted == 0 || end.aborted != libxl.ErrorAborted && end.alone == end.aborted {
			aborted.cause = nil // it has not been
		}

		// Before it starts.
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(mine)
		before := calls()
		if err := h.DomainPause(ctx, domid); !errors.Is(err, mine) || errors.Is(err, mine.Code) || outcomeOf(err) != (outcome{0, context.Canceled}) {
			t.Errorf("kind %d, over before: %v", kind, err)
		}
		if calls() != before {
			t.Errorf("kind %d: it was started", kind)
		}

		// While it starts or waits: which of them is a matter of luck.
		ctx, cancel = context.WithCancelCause(t.Context())
		done := make(chan error)
		go func() { done <- h.DomainPause(ctx, domid) }()
		eventually(t, "the call", func() bool { return calls() > before })
		cancel(mine)
		// What fails by itself may do so when the context is over.
		err := <-done
		got := outcomeOf(err)
		if kind == fakexl.InlineFail && got.cause != nil {
			aborted.cause = got.cause
		}
		if got != aborted || errors.Is(err, mine) != (aborted.cause != nil) || errors.Is(err, mine.Code) {
			t.Errorf("kind %d, while it starts: %v", kind, err)
		}

		// After it has begun to wait, with a deadline.
		if waits := []fakexl.Kind{fakexl.Wait, fakexl.Stubborn, fakexl.Forever, fakexl.Child, fakexl.HalfWay, fakexl.FD,
			fakexl.Finish, fakexl.ChildFail, fakexl.AbortFail}; slices.Contains(waits, kind) {
			made := aborts()
			ctx, stop := context.WithTimeoutCause(t.Context(), 20*time.Millisecond, mine)
			err := h.DomainPause(ctx, domid)
			stop()
			want := outcome{code: end.aborted}
			if end.aborted != 0 {
				want.cause = context.DeadlineExceeded
			}
			if outcomeOf(err) != want || aborts() != made+1 {
				t.Errorf("kind %d, waiting: %v after %d aborts", kind, err, aborts()-made)
			}
		}

		// After its end.
		ctx, cancel = context.WithCancelCause(t.Context())
		made := aborts()
		h.DomainPause(ctx, fakexl.Pause(fakexl.Inline, 0))
		cancel(mine)
		if aborts() != made {
			t.Errorf("kind %d: aborted after its end", kind)
		}
	}
	if n := operations(t, h); n != 0 {
		t.Errorf("%d operations are left", n)
	}
}

func TestWhatACancelledOperationHasChosenIsTold(t *testing.T) {
	h := openFake(t)
	for kind, want := range map[fakexl.Kind]libxl.Devid{fakexl.Wait: 7, fakexl.Finish: 7, fakexl.HalfWay: 7, fakexl.InlineFail: -1, fakexl.Refused: -1} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		nic := &libxl.DeviceNic{Devid: -1, Ip: "kept"}
		err := h.DeviceNicAdd(ctx, fakexl.Pause(kind, fakexl.MaxLasts), nic)
		cancel()
		if outcomeOf(err).code != ends[kind].aborted || nic.Devid != want || nic.Ip != "kept" {
			t.Errorf("kind %d: %v, %+v", kind, err, nic)
		}
	}
	nic := &libxl.DeviceNic{Devid: -1}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.DeviceNicAdd(ctx, fakexl.Pause(fakexl.Inline, 0), nic); !errors.Is(err, context.Canceled) || nic.Devid != -1 {
		t.Errorf("over before: %v, %+v", err, nic)
	}
}

func TestOperationsEndInTheirOrderEachOnce(t *testing.T) {
	h := openFake(t)
	const n = 8
	var mu sync.Mutex
	var order []int
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			if err := h.DomainPause(t.Context(), fakexl.Pause(fakexl.Wait, time.Duration(300+200*i)*time.Millisecond)); err != nil {
				t.Error(err)
			}
			mu.Lock()
			order = append(order, i)
			mu.Unlock()
		})
	}
	group.Wait()
	if sorted := slices.Compact(slices.Sorted(slices.Values(order))); len(order) != n || len(sorted) != n {
		t.Errorf("these have ended: %v", order)
	}
	// On a busy machine neighbours can change places between libxl and here.
	for at, i := range order {
		if j := slices.Max(order[:at+1]); j >= i+n/2 {
			t.Errorf("%d has ended before %d: %v", j, i, order)
		}
	}
}

func TestAThousandOperationsWaitOnOneThread(t *testing.T) {
	h := openFake(t)
	before := leak.Threads()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var group sync.WaitGroup
	for range 1000 {
		group.Go(func() {
			if err := h.DomainPause(ctx, fakexl.Pause(fakexl.Forever, 0)); outcomeOf(err) != (outcome{libxl.ErrorAborted, context.Canceled}) {
				t.Error(err)
			}
		})
	}
	eventually(t, "the operations to wait", func() bool { return operations(t, h) == 1000 })
	// Go keeps those that earlier tests needed; some more may be inside libxl.
	if n := leak.Threads(); n > before+30 {
		t.Errorf("1000 operations wait with %d threads, %d before", n, before)
	} else {
		t.Logf("1000 operations wait; the process has %d threads, %d before", n, before)
	}
	cancel()
	group.Wait()
}

func TestErrorsCarryTheirOwnLines(t *testing.T) {
	h := openFake(t)
	var group sync.WaitGroup
	for i := range 40 {
		group.Go(func() {
			kind := []fakexl.Kind{fakexl.HalfWay, fakexl.ChildFail}[i%2]
			domid := fakexl.Pause(kind, time.Duration(i)*time.Millisecond)
			err := h.DomainPause(t.Context(), domid)
			e := (*Error)(nil)
			if !errors.As(err, &e) {
				t.Errorf("%v", err)
				return
			}
			want := map[fakexl.Kind]string{fakexl.HalfWay: "fails half-way", fakexl.ChildFail: "a child logs"}[kind]
			if len(e.Log) != 1 || !strings.HasPrefix(e.Log[0].Text, want) || !strings.HasPrefix(e.Log[0].Source, "fake.c:") {
				t.Errorf("kind %d: the error's lines are %q", kind, e.Log)
			}
		})
	}
	group.Wait()
}

// A domain that was never made has no number to tell its lines by.
func TestLinesAboutOtherDomainsExplainNoCreation(t *testing.T) {
	h := openFake(t)
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for ctx.Err() == nil {
				h.DomainPause(ctx, fakexl.Pause(fakexl.HalfWay, 0))
			}
		})
	}
	for range 100 {
		_, err := h.DomainCreateNew(t.Context(), fakeGuest(fakexl.Create(fakexl.InlineFail, 0)))
		e := (*Error)(nil)
		if !errors.As(err, &e) || len(e.Log) != 1 || e.Log[0].Text != "fails at once" {
			t.Errorf("got %v, %q", err, e.Log)
			break
		}
	}
	cancel()
	group.Wait()
}

func TestLevelsAndDomainsOfTheLog(t *testing.T) {
	for level, want := range map[slog.Level]int{slog.LevelInfo: 1, slog.LevelWarn: 0} {
		var mu sync.Mutex
		var got []string
		handler := slogFunc{level, func(r slog.Record) {
			mu.Lock()
			defer mu.Unlock()
			s := r.Level.String()
			r.Attrs(func(a slog.Attr) bool { s += " " + a.String(); return true })
			got = append(got, s)
		}}
		h := openFake(t, WithLogger(slog.New(handler)))
		domid := fakexl.Pause(fakexl.Child, time.Millisecond)
		if err := h.DomainPause(t.Context(), domid); err != nil {
			t.Fatal(err)
		}
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the lines", func() bool { mu.Lock(); defer mu.Unlock(); return len(got) >= want })
		if len(got) != want || want == 1 && !strings.Contains(got[0], fmt.Sprintf("INFO domid=%d libxl=fake.c:", domid)) {
			t.Errorf("at %v: %q", level, got)
		}
	}
}

func TestProgressIsNotLogged(t *testing.T) {
	logged := make(chan string, 100)
	told := make(chan Progress, 1)
	h := openFake(t, WithProgress(func(p Progress) { told <- p }),
		WithLogger(slog.New(slogFunc{slog.LevelDebug, func(r slog.Record) { logged <- r.Message }})))
	if err := h.DomainPause(t.Context(), fakexl.Pause(fakexl.Child, 40*time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if got, want := <-told, (Progress{What: "Saving nothing", Done: 20, Total: 40, Percent: 50}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := <-logged; !strings.HasPrefix(got, "a child logs") {
		t.Errorf("logged: %q", got)
	}
}

type slogFunc struct {
	level slog.Level
	f     func(slog.Record)
}

func (s slogFunc) Enabled(_ context.Context, l slog.Level) bool  { return l >= s.level }
func (s slogFunc) Handle(_ context.Context, r slog.Record) error { s.f(r); return nil }
func (s slogFunc) WithAttrs([]slog.Attr) slog.Handler            { return s }
func (s slogFunc) WithGroup(string) slog.Handler                 { return s }

// anyKind is a kind that ends, and how long it is to last.
func anyKind() (fakexl.Kind, time.Duration) {
	for {
		kind, lasts := fakexl.Kind(rand.IntN(int(fakexl.ChildFail)+1)), time.Duration(rand.IntN(15))*time.Millisecond
		switch kind {
		case fakexl.Disaster:
			continue
		case fakexl.Block:
			lasts /= 10
		}
		return kind, lasts
	}
}
