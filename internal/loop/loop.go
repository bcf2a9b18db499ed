// Package loop runs libxl's event machinery for one context: a pump that polls
// libxl's descriptors on one thread, the operations that wait for it without a
// thread, the death of libxl's children, and the lines that libxl logs.
package loop

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/go-xenlight/xenlight/internal/capi"
	"github.com/go-xenlight/xenlight/libxl"
)

var (
	// ErrClosed is the error of whatever uses a closed loop, or is aborted because
	// the loop closes.
	ErrClosed = errors.New("host is closed")
	// ErrBroken is the error of whatever uses a loop whose libxl can no longer tell
	// what happens, as it has reported, or because xenstored has ended.
	ErrBroken = errors.New("libxl's event machinery has failed")
)

// handle numbers operations and events in the whole process. A number is never
// used again.
var handle atomic.Uint64

// maxCalls is how many threads may be inside libxl for one loop, the pump not
// counted. libxl does nearly everything under one lock, so that more would only
// queue for it, each holding a thread.
const maxCalls = 8

// Loop drives one libxl context.
type Loop struct {
	lib     *capi.Lib
	ctx     capi.Ctx
	release func() // frees the context
	log     *logPipe

	// life is over as soon as Close begins or libxl breaks down; its cause tells
	// which.
	life context.Context
	end  context.CancelCauseFunc

	gate      chan struct{} // one element for each thread inside libxl
	abortGate chan struct{} // the same for aborts, which must not queue behind what they abort
	wakeFd    int
	lifeline  int // polled by the pump
	childDied atomic.Bool
	stop      atomic.Bool
	pumpDone  chan struct{}
	released  chan struct{}
	closeOnce sync.Once
	closed    chan struct{} // closed once closeErr is set
	closeErr  error

	brokenOnce sync.Once
	broken     chan struct{} // closed once brokenErr is set
	brokenErr  error

	mu       sync.Mutex
	idle     *sync.Cond // there are no calls
	calls    map[*Call]struct{}
	handlers map[uint64]func(*libxl.Event)
	settling []chan struct{} // to be closed once what is queued is handled
}

// New makes a context and starts its pump. Lines of libxl's log go to logger, and
// those that tell of progress to step if it is not nil.
func New(lib *capi.Lib, logger *slog.Logger, step func(Progress)) (*Loop, error) {
	wakeFd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	l := &Loop{
		lib: lib, wakeFd: wakeFd, gate: make(chan struct{}, maxCalls), abortGate: make(chan struct{}, 1),
		pumpDone: make(chan struct{}), broken: make(chan struct{}), closed: make(chan struct{}),
		calls: map[*Call]struct{}{}, handlers: map[uint64]func(*libxl.Event){},
	}
	l.idle = sync.NewCond(&l.mu)
	l.life, l.end = context.WithCancelCause(Background())
	if l.log, err = newLogPipe(lib, logger, step); err != nil {
		unix.Close(wakeFd)
		return nil, err
	}
	// Before libxl's own connection: if xenstored dies after that, the pump notices.
	if l.lifeline, err = lifeline(); err != nil {
		l.log.close()
		unix.Close(wakeFd)
		return nil, err
	}
	var rc int32
	if l.ctx, l.release, rc = lib.OpenContext(l.log.logger, l.breakdown); rc == 0 {
		if rc = l.listen(); rc != 0 {
			l.release()
		}
	}
	if rc != 0 {
		lines := l.log.since(0, nil)
		l.log.close()
		l.hangUp()
		unix.Close(wakeFd)
		return nil, &StartError{libxl.Error(rc), lines}
	}
	subscribe(l)
	go l.pump()
	return l, nil
}

// StartError says that libxl could not make a context.
type StartError struct {
	Code libxl.Error
	Log  []Record
}

func (e *StartError) Error() string { return "cannot make a libxl context: " + e.Code.Error() }
func (e *StartError) Unwrap() error { return e.Code }

// Call is one use of the loop.
type Call struct {
	Op    string
	Domid *libxl.Domid // nil if it is about no domain
	name  string       // of a domain that has no number yet
}

func (c *Call) String() string {
	switch {
	case c.name != "":
		return fmt.Sprintf("%s of domain %q", c.Op, c.name)
	case c.Domid != nil:
		return fmt.Sprintf("%s of domain %d", c.Op, *c.Domid)
	}
	return c.Op
}

// Name says which domain a call that has entered is about.
func (l *Loop) Name(c *Call, name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.name = name
}

// Enter must succeed before Call and Run; Leave follows them. The context lives
// at least until then.
func (l *Loop) Enter(c *Call) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.life.Err() != nil {
		return context.Cause(l.life)
	}
	l.calls[c] = struct{}{}
	return nil
}

// Leave ends what Enter began.
func (l *Loop) Leave(c *Call) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if delete(l.calls, c); len(l.calls) == 0 {
		l.idle.Broadcast()
	}
}

// Life is a context that is over, with ErrClosed or ErrBroken as its cause, as
// soon as nothing new may begin.
func (l *Loop) Life() context.Context { return l.life }

// Bind returns a context that is over when ctx or the loop's life is.
func (l *Loop) Bind(ctx context.Context) (context.Context, func()) {
	bound, cancel := context.WithCancelCause(context.WithValue(ctx, userKey{}, ctx))
	stop := context.AfterFunc(l.life, func() { cancel(context.Cause(l.life)) })
	return bound, func() {
		stop()
		cancel(nil)
	}
}

// Call lets f call libxl as soon as there is room, or returns the Reason for which
// ctx is over.
func (l *Loop) Call(ctx context.Context, f func(capi.Ctx) int32) (rc int32, err error) {
	select {
	case l.gate <- struct{}{}:
		defer func() { <-l.gate }()
	case <-ctx.Done():
		return 0, Reason(ctx)
	case <-l.broken:
		return 0, l.brokenErr
	}
	if ctx.Err() != nil {
		return 0, Reason(ctx)
	}
	// The call may queue an event, of which the pump would not know.
	defer l.wake()
	return f(l.ctx), nil
}

// CallSlow is Call for what waits inside libxl: it handles there, without waking
// the pump, what other operations wait for as well.
func (l *Loop) CallSlow(ctx context.Context, f func(capi.Ctx) int32) (int32, error) {
	done, ended := make(chan struct{}), make(chan struct{})
	defer func() {
		close(done)
		<-ended
	}()
	go func() {
		defer close(ended)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				l.wake()
			}
		}
	}()
	return l.Call(ctx, f)
}

// Outcome is how an operation has ended.
type Outcome struct {
	// Code is libxl's; 0 as well if libxl was never asked.
	Code int32
	// Err is why the operation was not begun or has been aborted. An operation
	// that ended well although it was to be aborted has none.
	Err error
	// Lost says that libxl has broken down and may use for ever the memory that
	// the operation was given.
	Lost bool
}

// Run starts an operation and waits for its end. If ctx is over before, it
// aborts the operation and still waits.
func (l *Loop) Run(ctx context.Context, start func(capi.Ctx, *capi.AsyncopHow) int32) Outcome {
	done := make(chan int32, 1)
	id := l.Handle(func(ev *libxl.Event) {
		if end, ok := ev.TypeUnion.(*libxl.EventTypeUnionOperationComplete); ok {
			done <- int32(end.Rc)
		}
	})
	defer l.Forget(id)
	how := capi.AsyncopHow{For: id}
	if rc, err := l.Call(ctx, func(c capi.Ctx) int32 { return start(c, &how) }); rc != 0 || err != nil {
		return Outcome{Code: rc, Err: err}
	}
	select {
	case rc := <-done:
		return Outcome{Code: rc}
	case <-l.broken:
		return Outcome{Err: l.brokenErr, Lost: true}
	case <-ctx.Done():
	}
	if !l.isBroken() {
		l.abort(&how)
	}
	select {
	case rc := <-done:
		if rc == 0 {
			return Outcome{}
		}
		return Outcome{Code: rc, Err: Reason(ctx)}
	case <-l.broken:
		return Outcome{Err: l.brokenErr, Lost: true}
	}
}

// Handle registers a function for the events whose for_user is the number that
// it returns. The function runs on the pump: it must not block or call libxl.
func (l *Loop) Handle(f func(*libxl.Event)) uint64 {
	id := handle.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.handlers[id] = f
	return id
}

// Forget ends Handle.
func (l *Loop) Forget(id uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.handlers, id)
}

func (l *Loop) abort(how *capi.AsyncopHow) {
	l.abortGate <- struct{}{}
	defer func() { <-l.abortGate }()
	defer l.wake()
	l.lib.AoAbort(l.ctx, how)
}

// breakdown records that libxl has given up, or has to. It may run on any thread inside
// libxl.
func (l *Loop) breakdown(why string) {
	l.brokenOnce.Do(func() {
		l.brokenErr = fmt.Errorf("%w: %s", ErrBroken, why)
		close(l.broken)
		l.end(l.brokenErr)
		l.wake()
	})
}

// Close ends the loop's life, so that what runs is aborted, waits for it, and
// frees the context. Only the first Close does anything; each waits for that, or
// returns an *OpenError when ctx is over before.
func (l *Loop) Close(ctx context.Context) error {
	l.end(ErrClosed)
	l.closeOnce.Do(func() {
		go func() {
			defer close(l.closed)
			l.closeErr = l.close()
		}()
	})
	select {
	case <-l.closed:
		return l.closeErr
	case <-ctx.Done():
	}
	select {
	case <-l.closed:
		return l.closeErr
	default:
		return &OpenError{Reason(ctx), l.running()}
	}
}

// OpenError says why a loop is not closed yet.
type OpenError struct {
	Err   error    // of the context
	Calls []string // that have not ended, sorted
}

func (e *OpenError) Error() string {
	if len(e.Calls) == 0 {
		return e.Err.Error()
	}
	return fmt.Sprintf("%v: not ended: %s", e.Err, strings.Join(e.Calls, ", "))
}

func (e *OpenError) Unwrap() error { return e.Err }

func (l *Loop) running() (calls []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.calls {
		calls = append(calls, c.String())
	}
	slices.Sort(calls)
	return calls
}

func (l *Loop) close() error {
	l.mu.Lock()
	for len(l.calls) > 0 {
		l.idle.Wait()
	}
	l.mu.Unlock()
	l.stop.Store(true)
	l.wake()
	<-l.pumpDone
	unsubscribe(l)
	l.hangUp()
	select {
	case <-l.broken:
		// Operations may still be in progress inside libxl, and freeing their
		// context would end the process: context, log and wake-up descriptor stay.
		return l.brokenErr
	default:
	}
	l.release()
	l.log.close()
	return unix.Close(l.wakeFd)
}

// Mark is a point in the log.
func (l *Loop) Mark() uint64 { return l.log.mark() }

// Explain returns the warnings and errors that libxl has logged since a mark and
// that concern the domain, or none in particular; of all domains if domid is
// nil. The caller has entered the loop.
func (l *Loop) Explain(mark uint64, domid *libxl.Domid) []Record { return l.log.since(mark, domid) }
