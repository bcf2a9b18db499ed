package loop

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/go-xenlight/xenlight/internal/abi"
	"github.com/go-xenlight/xenlight/internal/capi"
	"github.com/go-xenlight/xenlight/internal/leak"
	"github.com/go-xenlight/xenlight/libxl"
)

// These tests run the loop on a real libxl context without a Xen host: a
// preloaded shim answers what a context asks of one. Operations are made up: a
// test starts one by keeping its handle, and ends it by handing the event to the
// loop.

const (
	preloaded = "XENLIGHT_LOOP_TEST_PRELOADED"
	// breaking is set in the process of the test that breaks a loop: what a broken
	// loop holds is never freed.
	breaking = "XENLIGHT_LOOP_TEST_BREAKING"
)

func TestMain(m *testing.M) {
	if os.Getenv(preloaded) == "" {
		if path := library(); path != "" {
			os.Exit(again(path))
		}
	}
	if os.Getenv(breaking) != "" {
		os.Exit(m.Run())
	}
	os.Exit(leak.Main(m, capi.Heap))
}

// library is an installed libxenlight; empty if there is none.
func library() string {
	for _, r := range abi.Releases {
		if p, err := (capi.System{Root: "/"}).Find(r); err == nil {
			return p
		}
	}
	return ""
}

// again runs the tests in a process with the shim, if there is a C compiler.
func again(path string) int {
	dir, err := os.MkdirTemp("", "xenlight")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer os.RemoveAll(dir)
	shim := os.Getenv("XENLIGHT_SHIM")
	if shim == "" {
		shim = filepath.Join(dir, "shim.so")
		out, err := exec.Command("gcc", "-shared", "-fPIC", "-o", shim, "../capi/testdata/shim.c").CombinedOutput()
		if err != nil {
			fmt.Printf("loop's tests on a real context need gcc: %v %s\n", err, out)
			path = ""
		}
	}
	cmd := exec.Command(os.Args[0], os.Args[1:]...)
	cmd.Env = append(os.Environ(), preloaded+"=no")
	if path != "" {
		cmd.Env = append(os.Environ(), preloaded+"="+path, "LD_PRELOAD="+shim)
	}
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return max(cmd.ProcessState.ExitCode(), 1)
	}
	return 0
}

func open(t *testing.T, handler slog.Handler) *Loop {
	t.Helper()
	path := os.Getenv(preloaded)
	if path == "" || path == "no" {
		if os.Getenv("XENLIGHT_TEST_LIBRARY") != "" {
			t.Fatal("no libxenlight or no gcc")
		}
		t.Skip("no libxenlight or no gcc: the loop is not tested on a real context")
	}
	lib, err := capi.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	l, err := New(lib, slog.New(handler), nil)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func closed(t *testing.T, l *Loop) {
	t.Helper()
	if err := l.Close(context.Background()); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// operation is a made-up one.
type operation struct {
	l       *Loop
	handle  chan uint64
	begun   atomic.Bool
	outcome chan Outcome
}

// begin runs an operation in a goroutine of its own.
func begin(ctx context.Context, l *Loop) *operation {
	op := &operation{l: l, handle: make(chan uint64, 1), outcome: make(chan Outcome, 1)}
	go func() {
		call := &Call{Op: "Test"}
		if err := l.Enter(call); err != nil {
			op.outcome <- Outcome{Err: err}
			return
		}
		defer l.Leave(call)
		ctx, release := l.Bind(ctx)
		defer release()
		op.outcome <- l.Run(ctx, func(_ capi.Ctx, how *capi.AsyncopHow) int32 {
			op.begun.Store(true)
			op.handle <- how.For
			return 0
		})
	}()
	return op
}

// end ends it as libxl would.
func (op *operation) end(code libxl.Error) { op.endHandle(<-op.handle, code) }

func (op *operation) endHandle(handle uint64, code libxl.Error) {
	op.l.mu.Lock()
	f := op.l.handlers[handle]
	op.l.mu.Unlock()
	f(&libxl.Event{TypeUnion: &libxl.EventTypeUnionOperationComplete{Rc: int(code)}})
}

// nextAbort returns a function that waits for the next call of libxl_ao_abort.
func nextAbort(l *Loop) func() {
	count := func() uint64 { return l.lib.Calls()["libxl_ao_abort"].Made }
	before := count()
	return func() {
		for count() == before {
			time.Sleep(time.Millisecond)
		}
	}
}

func TestRunReturnsWhatTheCompletionSays(t *testing.T) {
	l := open(t, slog.DiscardHandler)
	for _, code := range []libxl.Error{0, libxl.ErrorFail} {
		op := begin(t.Context(), l)
		op.end(code)
		if got := <-op.outcome; got != (Outcome{Code: int32(code)}) {
			t.Errorf("%v: got %+v", code, got)
		}
	}
	closed(t, l)
}

func TestCancelledRunStillWaitsForItsEnd(t *testing.T) {
	l := open(t, slog.DiscardHandler)
	for code, want := range map[libxl.Error]Outcome{
		0:                  {},
		libxl.ErrorAborted: {Code: int32(libxl.ErrorAborted), Err: context.Canceled},
		libxl.ErrorFail:    {Code: int32(libxl.ErrorFail), Err: context.Canceled},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		op := begin(ctx, l)
		handle := <-op.handle
		aborted := nextAbort(l)
		cancel()
		aborted()
		select {
		case got := <-op.outcome:
			t.Fatalf("Run returned %+v before the operation ended", got)
		default:
		}
		op.endHandle(handle, code)
		if got := <-op.outcome; got != want {
			t.Errorf("ended with %v: got %+v, want %+v", code, got, want)
		}
	}
	closed(t, l)
}

func TestWhatIsQueuedDoesNotBeginOnceItIsOver(t *testing.T) {
	for _, how := range []string{"cancel", "Close"} {
		l := open(t, slog.DiscardHandler)
		// All threads that may be inside libxl are.
		inside := make(chan struct{})
		var group sync.WaitGroup
		for range maxCalls {
			call := &Call{Op: "Test"}
			if err := l.Enter(call); err != nil {
				t.Fatal(err)
			}
			group.Go(func() {
				defer l.Leave(call)
				l.Call(context.Background(), func(capi.Ctx) int32 { <-inside; return 0 })
			})
		}
		for len(l.gate) < maxCalls {
			time.Sleep(time.Millisecond)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ops := make([]*operation, 50)
		for i := range ops {
			ops[i] = begin(ctx, l)
		}
		want := context.Canceled
		ended := make(chan error, 1)
		if how == "Close" {
			want = ErrClosed
			go func() { ended <- l.Close(context.Background()) }()
		} else {
			cancel()
		}
		for _, op := range ops {
			if got := <-op.outcome; !errors.Is(got.Err, want) || got.Code != 0 || got.Lost {
				t.Fatalf("%s: got %+v", how, got)
			}
			if op.begun.Load() {
				t.Errorf("%s: an operation has begun afterwards", how)
			}
		}
		close(inside)
		group.Wait()
		cancel()
		closed(t, l)
		if how == "Close" {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	}
}

func TestCloseAbortsAndWaits(t *testing.T) {
	l := open(t, slog.DiscardHandler)
	op := begin(t.Context(), l)
	handle := <-op.handle
	done := make(chan error, 3)
	aborted := nextAbort(l)
	for range cap(done) {
		go func() { done <- l.Close(context.Background()) }()
	}
	aborted()
	if err := l.Enter(&Call{}); !errors.Is(err, ErrClosed) {
		t.Errorf("Enter while closing: %v", err)
	}
	select {
	case err := <-done:
		t.Fatalf("Close returned %v while an operation ran", err)
	default:
	}
	op.endHandle(handle, libxl.ErrorAborted)
	if got := <-op.outcome; got.Code != int32(libxl.ErrorAborted) || !errors.Is(got.Err, ErrClosed) {
		t.Errorf("got %+v", got)
	}
	for range cap(done) {
		if err := <-done; err != nil {
			t.Errorf("Close: %v", err)
		}
	}
}

func TestBreakdownEndsEverything(t *testing.T) {
	how := os.Getenv(breaking)
	if how == "" {
		closed(t, open(t, slog.DiscardHandler)) // or skip
		for _, how := range []string{"the test says so", "xenstored has ended"} {
			cmd := exec.Command(os.Args[0], "-test.run", "^TestBreakdownEndsEverything$", "-test.v")
			cmd.Env = append(os.Environ(), breaking+"="+how)
			if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestBreakdownEndsEverything") {
				t.Errorf("%s: %v\n%s", how, err, out)
			}
		}
		return
	}
	socket := filepath.Join(t.TempDir(), "socket")
	t.Setenv("XENSTORED_PATH", socket)
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	l := open(t, slog.DiscardHandler)
	daemon, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	op := begin(t.Context(), l)
	<-op.handle
	if how == "xenstored has ended" {
		daemon.Close()
	} else {
		defer daemon.Close()
		l.breakdown(how)
	}
	if got := <-op.outcome; !got.Lost || !errors.Is(got.Err, ErrBroken) || !strings.Contains(got.Err.Error(), how) {
		t.Errorf("got %+v", got)
	}
	<-l.pumpDone
	if err := l.Enter(&Call{}); !errors.Is(err, ErrBroken) {
		t.Errorf("Enter: %v", err)
	}
	if err := l.Close(context.Background()); !errors.Is(err, ErrBroken) {
		t.Errorf("Close: %v", err)
	}
}

func TestAThousandWaitingRunsHoldNoThreads(t *testing.T) {
	l := open(t, slog.DiscardHandler)
	ops := make([]*operation, 1000)
	for i := range ops {
		ops[i] = begin(t.Context(), l)
	}
	handles := make([]uint64, len(ops))
	for i, op := range ops {
		handles[i] = <-op.handle
	}
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d threads", len(threads))
	if len(threads) > 40 {
		t.Errorf("%d operations wait with %d threads", len(ops), len(threads))
	}
	for i, op := range ops {
		op.endHandle(handles[i], 0)
	}
	for _, op := range ops {
		if got := <-op.outcome; got != (Outcome{}) {
			t.Fatalf("got %+v", got)
		}
	}
	if n := len(l.handlers); n != 1 { // what listen has asked for
		t.Errorf("%d handlers are left", n)
	}
	closed(t, l)
}

// handlerFunc is a slog.Handler.
type handlerFunc func(slog.Record)

func (handlerFunc) Enabled(context.Context, slog.Level) bool        { return true }
func (f handlerFunc) Handle(_ context.Context, r slog.Record) error { f(r); return nil }
func (f handlerFunc) WithAttrs([]slog.Attr) slog.Handler            { return f }
func (f handlerFunc) WithGroup(string) slog.Handler                 { return f }

// logs writes a line as libxl would.
func (l *Loop) logs(t *testing.T, line string) {
	t.Helper()
	if _, err := unix.Write(l.log.writeFd, []byte(line+"\n")); err != nil {
		t.Fatal(err)
	}
}

func TestHandlerMayCloseAndMayBlock(t *testing.T) {
	closing := make(chan error)
	var l *Loop
	ready := make(chan struct{})
	l = open(t, handlerFunc(func(r slog.Record) {
		<-ready
		if r.Level == slog.LevelError {
			closing <- l.Close(context.Background())
		}
	}))
	close(ready)
	l.logs(t, "libxl: error: a.c:1:f: x")
	if err := <-closing; err != nil {
		t.Errorf("Close in the handler: %v", err)
	}

	forever := make(chan struct{})
	defer close(forever)
	l = open(t, handlerFunc(func(slog.Record) { <-forever }))
	for range 2 * maxQueue {
		l.logs(t, "libxl: error: a.c:1:f: x")
	}
	closed(t, l)
}

func TestManyLoopsComeAndGoBesideChildren(t *testing.T) {
	open(t, slog.DiscardHandler).Close(context.Background())
	fds := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	before := fds()
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for range 25 {
				l := open(t, slog.DiscardHandler)
				if out, err := exec.Command("/bin/echo", "child").Output(); err != nil || string(out) != "child\n" {
					t.Errorf("os/exec: %q, %v", out, err)
				}
				closed(t, l)
			}
		})
	}
	group.Wait()
	if after := fds(); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}
