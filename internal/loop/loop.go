// Package loop runs libxl's event machinery for one context: a pump that polls
// libxl's descriptors on one thread, the operations that wait for it without a
// thread, the death of libxl's children, and the lines that libxl logs.
package loop

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/go-xenlight/xenlight/internal/capi"
	"github.com/go-xenlight/xenlight/libxl"
)

var (
	// ErrClosed is the error of whatever uses a closed loop, or is aborted because
	// the loop closes.
	ErrClosed = errors.New("host is closed")
	// ErrBroken is the error of whatever uses a loop to which libxl has reported
	// that it can no longer tell what happens.
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

	gate       chan struct{}
	wakeFd     int
	childDied  atomic.Bool
	stop       atomic.Bool
	pumpDone   chan struct{}
	closeOnce  sync.Once
	closeErr   error
	brokenOnce sync.Once
	broken     chan struct{} // closed when brokenErr is set
	brokenErr  error

	mu       sync.Mutex
	idle     *sync.Cond // calls and ops are nil
	closing  bool
	calls    int
	handlers map[uint64]func(*libxl.Event)
	ops      map[uint64]struct{}
}

// New makes a context and starts its pump. Lines of libxl's log go to logger.
func New(lib *capi.Lib, logger *slog.Logger) (*Loop, error) {
	wakeFd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	l := &Loop{
		lib: lib, wakeFd: wakeFd, gate: make(chan struct{}, maxCalls),
		pumpDone: make(chan struct{}), broken: make(chan struct{}),
		handlers: map[uint64]func(*libxl.Event){}, ops: map[uint64]struct{}{},
	}
	l.idle = sync.NewCond(&l.mu)
	if l.log, err = newLogPipe(lib, logger); err != nil {
		unix.Close(wakeFd)
		return nil, err
	}
	var rc int32
	if l.ctx, l.release, rc = lib.OpenContext(l.log.logger, l.breakdown); rc != 0 {
		lines := l.log.since(0, nil)
		l.log.close()
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

// Call lets f call libxl; the caller has entered the loop.
func (l *Loop) Call(f func(capi.Ctx) int32) int32 {
	l.gate <- struct{}{}
	defer func() { <-l.gate }()
	return f(l.ctx)
}

// Enter must succeed before Call and Run; Leave follows them. The context lives
// at least until then.
func (l *Loop) Enter() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing {
		return ErrClosed
	}
	select {
	case <-l.broken:
		return l.brokenErr
	default:
	}
	l.calls++
	return nil
}

// Leave ends what Enter began. It wakes the pump, for the call may have queued
// an event.
func (l *Loop) Leave() {
	l.wake()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.calls--; l.calls == 0 {
		l.idle.Broadcast()
	}
}

// Run starts an operation and waits for its end, which is libxl's code; the
// caller has entered the loop. If ctx is cancelled it aborts the operation and
// still waits; an operation that ended well all the same has the code 0. With a
// code that is not 0 comes the reason for the abort, if there was one. Memory
// that start has given to libxl is free again when Run returns, unless the
// error is ErrBroken.
func (l *Loop) Run(ctx context.Context, start func(capi.Ctx, *capi.AsyncopHow) int32) (rc int32, err error) {
	if err := ctx.Err(); err != nil {
		return int32(libxl.ErrorAborted), err
	}
	done := make(chan int32, 1)
	id := l.Handle(func(ev *libxl.Event) {
		if end, ok := ev.TypeUnion.(*libxl.EventTypeUnionOperationComplete); ok {
			done <- int32(end.Rc)
		}
	})
	defer l.Forget(id)
	how := capi.AsyncopHow{For: id}
	if rc := l.Call(func(c capi.Ctx) int32 { return start(c, &how) }); rc != 0 {
		return rc, nil
	}
	l.track(id, true)
	defer l.track(id, false)
	l.wake()
	select {
	case rc = <-done:
		return rc, l.reason(rc)
	case <-l.broken:
		return 0, l.brokenErr
	case <-ctx.Done():
	}
	l.abort(id)
	select {
	case rc = <-done:
	case <-l.broken:
		return 0, l.brokenErr
	}
	if rc == 0 {
		return 0, nil
	}
	return rc, ctx.Err()
}

// reason tells why an operation that nobody has cancelled was aborted.
func (l *Loop) reason(rc int32) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing && libxl.Error(rc) == libxl.ErrorAborted {
		return ErrClosed
	}
	return nil
}

func (l *Loop) abort(id uint64) {
	how := capi.AsyncopHow{For: id}
	l.Call(func(c capi.Ctx) int32 { return l.lib.AoAbort(c, &how) })
	l.wake()
}

// track keeps the set of the operations that Close must abort.
func (l *Loop) track(id uint64, running bool) {
	l.mu.Lock()
	if running {
		l.ops[id] = struct{}{}
	} else {
		delete(l.ops, id)
	}
	late := running && l.closing
	l.mu.Unlock()
	if late {
		l.abort(id)
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

// breakdown records that libxl has given up. It may run on any thread inside
// libxl.
func (l *Loop) breakdown(why string) {
	l.brokenOnce.Do(func() {
		l.brokenErr = fmt.Errorf("%w: %s", ErrBroken, why)
		close(l.broken)
	})
}

// Close aborts what runs, waits for it, and frees the context. Only the first
// call does anything; each waits for that.
func (l *Loop) Close() error {
	l.closeOnce.Do(func() { l.closeErr = l.close() })
	return l.closeErr
}

func (l *Loop) close() error {
	l.mu.Lock()
	l.closing = true
	var running []uint64
	for id := range l.ops {
		running = append(running, id)
	}
	l.mu.Unlock()
	for _, id := range running {
		l.abort(id)
	}
	l.mu.Lock()
	for l.calls > 0 {
		l.idle.Wait()
	}
	l.mu.Unlock()

	l.stop.Store(true)
	l.wake()
	<-l.pumpDone
	unsubscribe(l)
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

// Mark is a point in the log, for callers that have entered the loop; Explain returns the warnings and errors since then
// that concern the domain, or no domain in particular. A nil domid stands for
// all domains.
func (l *Loop) Mark() uint64 { return l.log.mark() }

// Explain is described at Mark.
func (l *Loop) Explain(mark uint64, domid *libxl.Domid) []Record { return l.log.since(mark, domid) }
