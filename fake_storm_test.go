package xenlight

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/go-xenlight/xenlight/internal/fakexl"
	"github.com/go-xenlight/xenlight/internal/leak"
	"github.com/go-xenlight/xenlight/libxl"
)

// storm makes the process's life hard until the function that it returns is
// called: garbage collection all the time, the signals that Go and libxl use, the
// CPU profile's timer signals, children of os/exec's.
func storm(t *testing.T) (calm func()) {
	t.Helper()
	if err := pprof.StartCPUProfile(io.Discard); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var group sync.WaitGroup
	each := func(pause time.Duration, f func()) {
		group.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(pause):
					f()
				}
			}
		})
	}
	each(0, runtime.GC)
	for _, sig := range []syscall.Signal{syscall.SIGCHLD, syscall.SIGURG} {
		each(200*time.Microsecond, func() { syscall.Kill(syscall.Getpid(), sig) })
	}
	var children atomic.Int32
	each(0, func() {
		children.Add(1)
		if out, err := exec.Command("/bin/sh", "-c", "echo $((6*7)); exit 3").Output(); string(out) != "42\n" || err == nil || err.Error() != "exit status 3" {
			t.Errorf("os/exec: %q, %v", out, err)
		}
	})
	return func() {
		close(stop)
		group.Wait()
		pprof.StopCPUProfile()
		if children.Load() == 0 {
			t.Error("os/exec has not run")
		}
		t.Logf("%d children of os/exec's beside it", children.Load())
	}
}

// randomOperation runs one with a context that may end at any time, and says
// what is wrong with its end.
func randomOperation(ctx context.Context, h *Host) error {
	kind, lasts := anyKind()
	end := ends[kind]
	cancelled := kind == fakexl.Forever || rand.IntN(2) == 0
	if cancelled {
		var cancel context.CancelFunc
		switch after := time.Duration(rand.IntN(20)) * time.Millisecond; rand.IntN(3) {
		case 0:
			ctx, cancel = context.WithTimeout(ctx, after)
			defer cancel()
		case 1:
			ctx, cancel = context.WithCancel(ctx)
			time.AfterFunc(after, cancel)
		case 2: // over before, or as it begins
			ctx, cancel = context.WithCancel(ctx)
			go cancel()
		}
	}
	err := h.DomainPause(ctx, fakexl.Pause(kind, lasts))
	got := outcomeOf(err)
	switch {
	case got.code == end.alone && got.cause == nil && kind != fakexl.Forever:
		return nil
	case cancelled && got.cause != nil && (got.code == end.aborted && end.aborted != 0 || got.code == end.alone || got.code == 0):
		return nil
	}
	return fmt.Errorf("an operation of kind %d that lasts %v, cancelled: %t, ends with %w", kind, lasts, cancelled, orNil(err))
}

func orNil(err error) error {
	if err == nil {
		return errors.New("no error")
	}
	return err
}

func randomOperations(t *testing.T, n int, hosts ...*Host) {
	t.Helper()
	const goroutines = 100
	var group sync.WaitGroup
	for i := range goroutines {
		group.Go(func() {
			for range n / goroutines {
				if err := randomOperation(t.Context(), hosts[i%len(hosts)]); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	for _, h := range hosts {
		if n := operations(t, h); n != 0 {
			t.Errorf("%d operations are left", n)
		}
	}
}

// heap is how many bytes of C memory are in use.
func heap(t *testing.T, h *Host) int {
	t.Helper()
	n, err := h.GetFreeMemory()
	if err != nil {
		t.Fatal(err)
	}
	return int(n)
}

// heapNoise is what malloc and its caches keep or give back by themselves.
const heapNoise = 128 << 10

func TestTenThousandOperationsInAStorm(t *testing.T) {
	total := 10000
	if testing.Short() {
		total = 500
	}
	h := openFake(t)
	randomOperations(t, total/5, h) // what is made once is there
	before, had := leak.Look(), heap(t, h)
	calm := storm(t)
	start := time.Now()
	randomOperations(t, total, h)
	took := time.Since(start)
	calm()
	if more := before.Since(); len(more) > 0 {
		t.Errorf("left behind: %q", more)
	}
	has := heap(t, h)
	if has > had+heapNoise {
		t.Errorf("%d bytes of C memory before, %d afterwards", had, has)
	}
	t.Logf("%d operations in %v; %d threads; C memory %d bytes before, %d afterwards", total, took, leak.Threads(), had, has)
}

func TestSeveralHostsInAStorm(t *testing.T) {
	hosts := make([]*Host, 5)
	for i := range hosts {
		hosts[i] = openFake(t)
	}
	calm := storm(t)
	defer calm()
	randomOperations(t, 500, hosts...)
}

func TestHostsComeAndGoWhileOperationsRun(t *testing.T) {
	first := openFake(t)
	rounds := 100
	if testing.Short() {
		rounds = 10
	}
	for i := range rounds {
		h := openFake(t)
		var group sync.WaitGroup
		for range 20 {
			group.Go(func() {
				for {
					err := randomOperation(t.Context(), h)
					if errors.Is(err, ErrClosed) {
						return
					}
					if err != nil {
						t.Errorf("round %d: %v", i, err)
						return
					}
					if err := h.DomainPause(t.Context(), fakexl.Pause(fakexl.Wait, time.Millisecond)); errors.Is(err, ErrClosed) {
						return
					}
				}
			})
		}
		group.Go(func() {
			for _, err := range h.Events(t.Context()) {
				if !errors.Is(err, ErrClosed) {
					t.Errorf("round %d: a watch ends with %v", i, err)
				}
			}
		})
		time.Sleep(time.Duration(rand.IntN(10)) * time.Millisecond)
		for range 2 {
			group.Go(func() {
				if err := h.Close(); err != nil {
					t.Errorf("round %d: Close: %v", i, err)
				}
			})
		}
		group.Wait()
		if _, err := h.ListDomain(); !errors.Is(err, ErrClosed) {
			t.Errorf("round %d: a call after Close: %v", i, err)
		}
		if t.Failed() {
			return
		}
	}
	if n, err := first.GetMaxCpus(); err != nil || n != 1 {
		t.Errorf("%d contexts are left, %v", n, err)
	}
}

func TestCloseSaysWhatHangs(t *testing.T) {
	h := openFake(t)
	ended := make(chan error, 3)
	stubborn := fakexl.Pause(fakexl.Stubborn, time.Second)
	go func() { ended <- h.DomainPause(t.Context(), stubborn) }()
	guest := fakeGuest(fakexl.Create(fakexl.Stubborn, time.Second))
	guest.CInfo.Name = "slow"
	made := libxl.InvalidDomid
	go func() {
		var err error
		made, err = h.DomainCreateNew(t.Context(), guest)
		ended <- err
	}()
	go func() { ended <- h.DomainPause(t.Context(), fakexl.Pause(fakexl.Forever, 0)) }()
	eventually(t, "the operations", func() bool { return operations(t, h) == 3 })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := h.CloseContext(ctx)
	want := fmt.Sprintf(`not ended: DomainCreateNew of domain "slow", DomainPause of domain %d`, stubborn)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("CloseContext: %v", err)
	}
	if err := h.DomainPause(t.Context(), 1); !errors.Is(err, ErrClosed) {
		t.Errorf("a call meanwhile: %v", err)
	}
	if err := <-ended; outcomeOf(err) != (outcome{libxl.ErrorAborted, ErrClosed}) {
		t.Errorf("what can be aborted: %v", err)
	}
	if err := h.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	for range 2 {
		if err := <-ended; err != nil {
			t.Errorf("what ended well all the same: %v", err)
		}
	}
	if err := h.CloseContext(ctx); err != nil {
		t.Errorf("CloseContext of a closed Host: %v", err)
	}
	if err := openFake(t).DomainDestroy(t.Context(), made); err != nil {
		t.Errorf("what was created: %v", err)
	}
}

func TestEveryEventReachesEveryWatcherOnce(t *testing.T) {
	h := openFake(t)
	const guests, watchers = 50, 10
	want := map[string]int{}
	all := make([]map[string]int, watchers)
	var deaths [watchers]chan struct{}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var group sync.WaitGroup
	for i := range watchers {
		all[i], deaths[i] = map[string]int{}, make(chan struct{}, guests)
		events := h.Events(ctx)
		group.Go(func() {
			if i == 0 {
				time.Sleep(time.Second) // a slow one
			}
			for ev, err := range events {
				if err != nil {
					if !errors.Is(err, context.Canceled) {
						t.Error(err)
					}
					return
				}
				all[i][fmt.Sprint(ev.Type, ev.Uuid, ev.Reason)]++
				if ev.Type == libxl.EventTypeDomainDeath {
					deaths[i] <- struct{}{}
				}
			}
		})
	}
	var mu sync.Mutex
	var guestsGroup sync.WaitGroup
	for i := range guests {
		guestsGroup.Go(func() {
			reason := []libxl.ShutdownReason{libxl.ShutdownReasonPoweroff, libxl.ShutdownReasonReboot,
				libxl.ShutdownReasonCrash, libxl.ShutdownReasonUnknown}[i%4]
			config := fakeGuest(fakexl.Ends(fakexl.Create(fakexl.Wait, time.Duration(i)*time.Millisecond), reason))
			domid, err := h.DomainCreateNew(t.Context(), config)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			want[fmt.Sprint(libxl.EventTypeDomainDeath, config.CInfo.Uuid, libxl.ShutdownReasonPoweroff)]++
			if reason != libxl.ShutdownReasonUnknown {
				want[fmt.Sprint(libxl.EventTypeDomainShutdown, config.CInfo.Uuid, reason)]++
			}
			mu.Unlock()
			if err := h.DomainUnpause(t.Context(), domid); err != nil {
				t.Error(err)
			}
			if reason != libxl.ShutdownReasonUnknown {
				if got, err := h.WaitShutdown(t.Context(), domid); err != nil || got != reason {
					t.Errorf("WaitShutdown: %v, %v", got, err)
				}
			}
			if err := h.DomainDestroy(t.Context(), domid); err != nil {
				t.Error(err)
			}
		})
	}
	guestsGroup.Wait()
	for i := range watchers {
		for range guests {
			select {
			case <-deaths[i]:
			case <-time.After(20 * time.Second):
				t.Fatalf("watcher %d has not been told of all deaths", i)
			}
		}
	}
	cancel()
	group.Wait()
	for i, got := range all {
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("watcher %d: got %d kinds of events %v\nwant %d %v", i, len(got), got, len(want), want)
		}
	}
}

func TestPlantedLeaksInCAreFound(t *testing.T) {
	h := openFake(t)
	before, had := leak.Look(), heap(t, h)
	plant := func(kind fakexl.Kind, lasts time.Duration) {
		if err := h.DomainPause(t.Context(), fakexl.Pause(kind, lasts)); err != nil {
			t.Fatal(err)
		}
	}
	plant(fakexl.Thread, fakexl.MaxLasts)
	plant(fakexl.Memory, 0)
	now := leak.Look()
	if more := before.More(now); len(more) != 1 || !strings.Contains(more[0], "1 more threads that are not Go's") {
		t.Errorf("a thread was planted, found %q", more)
	}
	if has := heap(t, h); has <= had+heapNoise {
		t.Errorf("two megabytes were planted, found %d bytes", has-had)
	}
	plant(fakexl.Memory, 0)
	if has := heap(t, h); has > had+heapNoise {
		t.Errorf("two megabytes were planted and are gone, found %d bytes", has-had)
	}
	if more := before.Since(); len(more) > 0 {
		t.Errorf("after its end: %q", more)
	}
}

// planting names what a test is to leave behind in a process of its own.
const planting = "XENLIGHT_TEST_PLANT"

func TestTheProcessFailsForWhatTestsLeaveInC(t *testing.T) {
	h := openFake(t)
	switch os.Getenv(planting) {
	case "":
		var group sync.WaitGroup
		for what, want := range map[string]string{
			"nothing": "PASS", "a thread": "1 more threads that are not Go's", "memory": "more bytes of C memory",
		} {
			group.Go(func() {
				cmd := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$")
				cmd.Env = append(os.Environ(), planting+"="+what)
				if out, err := cmd.CombinedOutput(); (err == nil) != (want == "PASS") || !strings.Contains(string(out), want) {
					t.Errorf("%s is left behind: %v, %q", what, err, out)
				}
			})
		}
		group.Wait()
	case "a thread":
		h.DomainPause(t.Context(), fakexl.Pause(fakexl.Thread, 0))
	case "memory":
		h.DomainPause(t.Context(), fakexl.Pause(fakexl.Memory, 0))
	}
}
