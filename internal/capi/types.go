// Package capi is the only room that touches C: it finds and opens libxenlight,
// calls it, and owns the C memory that it works on. Nothing here knows what a
// call means; every libxl function is one generated method of Lib.
package capi

import (
	"time"
	"unsafe"
)

// Ctx is a libxl_ctx *.
type Ctx uintptr

// Ptr is the address of something in C memory, for callers that do not import
// unsafe.
type Ptr = unsafe.Pointer

// Logger is a xentoollog_logger *.
type Logger uintptr

// AsyncopHow is libxl_asyncop_how. With no callback, libxl queues an
// OPERATION_COMPLETE event whose for_user is For.
type AsyncopHow struct {
	Callback uintptr
	For      uint64
}

// AsyncprogressHow is libxl_asyncprogress_how.
type AsyncprogressHow struct {
	Callback    uintptr
	ForEvent    uint64
	ForCallback uintptr
}

// Timeval is struct timeval, which libxl takes by value: two words.
type Timeval struct{ Sec, Usec int64 }

// Now is the time as libxl wants it.
func Now() Timeval {
	t := time.Now()
	return Timeval{t.Unix(), int64(t.Nanosecond() / 1000)}
}

// childprocHooks is libxl_childproc_hooks.
type childprocHooks struct {
	owner           int32
	_               int32
	forkReplacement uintptr
	reaped          uintptr
}

// sigchldOwnerMainloop is libxl_sigchld_owner_mainloop.
const sigchldOwnerMainloop = 1

// eventHooks is libxl_event_hooks.
type eventHooks struct {
	mask     uint64
	occurs   uintptr
	disaster uintptr
}

// ptr turns a pointer that C has returned into an unsafe.Pointer. The memory is
// C's, so the garbage collector has no interest in it.
func ptr(r uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&r)) }
