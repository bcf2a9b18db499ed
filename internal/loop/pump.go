package loop

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/go-xenlight/xenlight/internal/capi"
	"github.com/go-xenlight/xenlight/libxl"
)

// pump is the only place that waits for libxl's descriptors.
func (l *Loop) pump() {
	defer close(l.pumpDone)
	const own = 2 // descriptors that are not libxl's
	fds := make([]unix.PollFd, 8)
	for !l.stop.Load() && !l.isBroken() {
		if l.childDied.Swap(false) {
			l.lib.ChildprocSigchldOccurred(l.ctx)
		}
		l.dispatch()
		if l.isBroken() {
			return
		}
		n, timeout, rc := l.lib.Beforepoll(l.ctx, fds[own:])
		if n > len(fds)-own {
			fds = make([]unix.PollFd, 2*n+own)
			continue
		}
		if rc != 0 {
			l.breakdown(fmt.Sprintf("beforepoll: %v", libxl.Error(rc)))
			return
		}
		fds[0] = unix.PollFd{Fd: int32(l.wakeFd), Events: unix.POLLIN}
		fds[1] = unix.PollFd{Fd: int32(l.lifeline)}
		if _, err := unix.Poll(fds[:n+own], timeout); err != nil {
			if err == unix.EINTR {
				continue
			}
			l.breakdown(fmt.Sprintf("poll: %v", err))
			return
		}
		if fds[0].Revents != 0 {
			var buf [8]byte
			_, _ = unix.Read(l.wakeFd, buf[:])
		}
		if cut(&fds[1]) {
			l.breakdown(xenstoredEnded)
			return
		}
		l.lib.Afterpoll(l.ctx, fds[own:n+own])
	}
}

// isBroken: libxl reports what no longer works again and again, and nobody can
// use what else it may say.
func (l *Loop) isBroken() bool {
	select {
	case <-l.broken:
		return true
	default:
		return false
	}
}

// wake makes the pump look around.
func (l *Loop) wake() {
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	_, _ = unix.Write(l.wakeFd, one[:])
}

// Settle returns when the handlers have had every event that libxl has queued by
// now. The caller has entered the loop.
func (l *Loop) Settle() {
	done := make(chan struct{})
	l.mu.Lock()
	l.settling = append(l.settling, done)
	l.mu.Unlock()
	l.wake()
	select {
	case <-done:
	case <-l.broken:
	}
}

// dispatch hands every queued event to its handler.
func (l *Loop) dispatch() {
	l.mu.Lock()
	settling := l.settling
	l.settling = nil
	l.mu.Unlock()
	defer func() {
		for _, done := range settling {
			close(done)
		}
	}()
	for {
		var p capi.Ptr
		switch rc := libxl.Error(l.lib.EventCheck(l.ctx, &p, eventMaskAll, nil, nil)); rc {
		case 0:
		case libxl.ErrorNotReady:
			return
		default:
			l.breakdown(fmt.Sprintf("event_check: %v", rc))
			return
		}
		var ev libxl.Event
		err := capi.Decode(l.lib, p, &ev)
		l.lib.EventFree(l.ctx, p)
		if err != nil {
			l.breakdown(fmt.Sprintf("event: %v", err))
			return
		}
		l.mu.Lock()
		f := l.handlers[ev.ForUser]
		l.mu.Unlock()
		if f != nil {
			f(&ev)
		}
	}
}

const eventMaskAll = ^uint64(0)
