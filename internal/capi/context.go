package capi

import (
	"fmt"
	"sync"
	"unsafe"

	"github.com/ebitengine/purego"
	"golang.org/x/sys/unix"

	"github.com/go-xenlight/xenlight/internal/abi"
)

// Levels of libxl's log (xentoollog_level).
const (
	LevelDebug    = 1
	LevelProgress = 4
	LevelInfo     = 5
	LevelNotice   = 6
	LevelWarn     = 7
	LevelError    = 8
	LevelCritical = 9
)

// NewLogger makes libxl's own logger write the lines from a level on to a file
// descriptor, which it owns from now on. No Go code is involved in logging, for
// libxl logs in forked children too.
func (l *Lib) NewLogger(fd int, level int) (Logger, func(), error) {
	mode := append([]byte("w"), 0)
	file, _, _ := purego.SyscallN(l.fdopen, uintptr(fd), uintptr(unsafe.Pointer(&mode[0])))
	if file == 0 {
		unix.Close(fd)
		return 0, nil, ErrNoMemory
	}
	const progressOnLines = 0o20
	lg := l.XtlCreateloggerStdiostream(ptr(file), int32(level), progressOnLines)
	if lg == nil {
		purego.SyscallN(l.fclose, file)
		return 0, nil, ErrNoMemory
	}
	return Logger(uintptr(lg)), func() {
		l.XtlLoggerDestroy(lg)
		purego.SyscallN(l.fclose, file)
	}, nil
}

// makeHooks allocates what libxl keeps pointers to.
func (l *Lib) makeHooks(handle uintptr) (err error) {
	if l.forkPlan, err = l.planFork(handle); err != nil {
		return err
	}
	if l.hooks, err = l.Alloc(unsafe.Sizeof(childprocHooks{})); err != nil {
		return err
	}
	*(*childprocHooks)(l.hooks) = childprocHooks{owner: sigchldOwnerMainloop, forkReplacement: forkChild}
	if l.eventHooks, err = l.Alloc(unsafe.Sizeof(eventHooks{})); err != nil {
		return err
	}
	*(*eventHooks)(l.eventHooks) = eventHooks{disaster: disasterCallback()}
	return nil
}

var (
	// disasters has a func(string) for each context's address.
	disasters sync.Map

	// disasterCallback is what libxl calls when it can no longer tell what
	// happens. Without one it would end the process. It runs on a thread that is
	// inside libxl, never in a forked child, and must not call libxl.
	disasterCallback = sync.OnceValue(func() uintptr {
		return purego.NewCallback(func(user, _ uintptr, msg uintptr, errno uintptr) uintptr {
			if f, ok := disasters.Load(user); ok {
				text := abi.GoString(ptr(msg))
				if e := unix.Errno(uint32(errno)); e != 0 {
					text = fmt.Sprintf("%s: %v", text, e)
				}
				f.(func(string))(text)
			}
			return 0
		})
	})
)

// OpenContext makes a context whose children are reaped on ChildprocSigchldOccurred
// and whose disasters are reported to a function that must not block. The
// function that it returns frees the context: nothing may be in progress then.
func (l *Lib) OpenContext(lg Logger, disaster func(string)) (ctx Ctx, release func(), rc int32) {
	var p unsafe.Pointer
	if rc := l.CtxAlloc(&p, 0, 0, ptr(uintptr(lg))); rc != 0 {
		return 0, nil, rc
	}
	ctx = Ctx(uintptr(p))
	disasters.Store(uintptr(p), disaster)
	l.ChildprocSetmode(ctx, l.hooks, l.forkPlan)
	l.EventRegisterCallbacks(ctx, l.eventHooks, p)
	return ctx, func() {
		// In this order: once freed, the address may be another context's.
		disasters.Delete(uintptr(p))
		l.CtxFree(ctx)
	}, 0
}

// Beforepoll asks libxl which descriptors to poll, for at most how many
// milliseconds (negative: for ever). It returns the number of descriptors; if
// that is larger than len(fds), nothing else is valid.
func (l *Lib) Beforepoll(ctx Ctx, fds []unix.PollFd) (n int, timeout int, rc int32) {
	nfds, msec := int32(len(fds)), int32(-1)
	rc = l.OseventBeforepoll(ctx, &nfds, unsafe.Pointer(unsafe.SliceData(fds)), &msec, Now())
	return int(nfds), int(msec), rc
}

// Afterpoll tells libxl what poll has found.
func (l *Lib) Afterpoll(ctx Ctx, fds []unix.PollFd) {
	l.OseventAfterpoll(ctx, int32(len(fds)), unsafe.Pointer(unsafe.SliceData(fds)), Now())
}
