package xenlight

import (
	"context"
	"errors"
	"io"
	"runtime"
	"time"

	"github.com/go-xenlight/xenlight/internal/capi"
	"github.com/go-xenlight/xenlight/internal/loop"
	"github.com/go-xenlight/xenlight/libxl"
)

// SuspendOption changes how DomainSuspend works.
type SuspendOption int32

const (
	// SuspendDebug has the restoring side compare what it gets twice. It is slow,
	// for the hunt of faults in Xen.
	SuspendDebug SuspendOption = 1 << iota
	// SuspendLive copies memory while the guest runs and suspends it for what has
	// changed since. For a PV guest the hypervisor must have shadow paging
	// (CapShadow in [Host.GetPhysinfo]); otherwise, for a reason that is only in the
	// log, libxl says ErrorGuestTimedout.
	SuspendLive
)

// DomainSuspend has the guest suspend itself and writes its state to w: memory,
// vCPUs and the device model, but neither its disks nor its configuration. When
// it returns without an error the domain still exists, shut down for the reason
// libxl.ShutdownReasonSuspend: destroy it, so that [Host.DomainCreateRestore] can
// make it anew from what was written, here or on another host, or let it go on
// with [Host.DomainResume]. It calls libxl_domain_suspend.
//
// When ctx is over nothing more is written; a Write that lasts is then not waited
// for. After an error, and when ctx is over before the end, the guest goes on as
// if nothing had happened, and what was written is of no use. A guest that had been
// asked already is given 5 s to suspend itself, so that it can be resumed; one
// that only does so later stays suspended. libxl.ErrorGuestTimedout and
// libxl.ErrorFail mean that the guest did not answer for a minute.
func (h *Host) DomainSuspend(ctx context.Context, domid libxl.Domid, w io.Writer, opts ...SuspendOption) error {
	f := h.beginDomain(capi.FnDomainSuspend, domid)
	var flags int32
	for _, o := range opts {
		flags |= int32(o)
	}
	fd := f.output(ctx, "w", w, saved)
	return f.suspend(ctx, func(c capi.Ctx, how *capi.AsyncopHow) int32 {
		return h.lib.DomainSuspend(c, uint32(domid), fd, flags, how)
	})
}

// DomainSuspendOnly has the guest suspend itself without saving it:
// [Host.DomainResume] lets it go on. A guest of type HVM without PV drivers is
// stopped without being asked. It calls libxl_domain_suspend_only.
//
// After an error, and when ctx is over, the guest goes on, as with
// [Host.DomainSuspend].
func (h *Host) DomainSuspendOnly(ctx context.Context, domid libxl.Domid) error {
	f := h.beginDomain(capi.FnDomainSuspendOnly, domid)
	return f.suspend(ctx, func(c capi.Ctx, how *capi.AsyncopHow) int32 {
		return h.lib.DomainSuspendOnly(c, uint32(domid), how)
	})
}

// suspend runs an operation that has the guest suspend itself, and lets the guest
// go on if that comes to nothing.
func (f *frame) suspend(ctx context.Context, start func(capi.Ctx, *capi.AsyncopHow) int32) error {
	defer f.leave()
	already := f.err == nil && f.h.suspended(ctx, *f.domid)
	begun := false
	out := f.run(ctx, func(c capi.Ctx, how *capi.AsyncopHow) int32 {
		begun = true
		return start(c, how)
	})
	err := f.ended(out)
	if err != nil && begun && !already && !out.Lost {
		err = errors.Join(err, f.h.goOn(*f.domid, out.Code != 0 && out.Err != nil))
	}
	return err
}

// lateSuspend is how long a guest may take to suspend itself after nobody wants
// it any more: libxl cannot take the wish back.
const lateSuspend = 5 * time.Second

// goOn resumes a domain that was to be suspended. The caller has entered the
// loop.
func (h *Host) goOn(domid libxl.Domid, late bool) error {
	for deadline := time.Now().Add(lateSuspend); !h.suspended(context.Background(), domid); time.Sleep(20 * time.Millisecond) {
		if !late || time.Now().After(deadline) {
			return nil
		}
	}
	return h.tidy(capi.FnDomainResume, domid, func(c capi.Ctx, how *capi.AsyncopHow) int32 {
		return h.lib.DomainResume(c, uint32(domid), true, how)
	})
}

// suspended tells whether a domain has suspended itself.
func (h *Host) suspended(ctx context.Context, domid libxl.Domid) bool {
	info, err := h.info(ctx, domid)
	return err == nil && info.Shutdown && info.ShutdownReason == libxl.ShutdownReasonSuspend
}

// info is DomainInfo for methods that have entered the loop. While it waits for
// libxl, the end of ctx ends it.
func (h *Host) info(ctx context.Context, domid libxl.Domid) (info libxl.Dominfo, err error) {
	v, err := capi.New[libxl.Dominfo](h.lib)
	if err != nil {
		return info, err
	}
	defer v.Free()
	rc, err := h.loop.Call(ctx, func(c capi.Ctx) int32 {
		return h.lib.DomainInfo(c, v.Ptr(), uint32(domid))
	})
	switch {
	case err != nil:
	case rc != 0:
		err = libxl.Error(rc)
	default:
		err = v.Get(&info)
	}
	return info, err
}

// SendBack gives DomainCreateRestore the way back to the sender, which a stream
// of COLO's needs.
func SendBack(w io.Writer) CreateOption {
	return func(o *createOptions) { o.sendBack = w }
}

// DomainCreateRestore creates a domain as cfg says, with the state that
// [Host.DomainSuspend] has written, and returns its number. The domain is paused:
// [Host.DomainUnpause] lets it go on. No other domain may have its name. It calls
// libxl_domain_create_restore.
//
// No byte of r is read that follows the saved domain. When it returns with an
// error, a Read that lasts is not waited for, and no other begins.
//
// Params may be nil. They are for checkpointed streams, which are read to their
// end: then it returns as soon as the sender is gone. StreamVersion must be 2,
// though libxl.NewDomainRestoreParams has libxl's default of 1: that is what Xen
// 4.5 and older wrote, and if it is broken libxl ends the process.
//
// All else is as with [Host.DomainCreateNew]: what comes back in cfg, the errors,
// and that there is no domain after an error. A *FieldError of r means that it is
// no saved domain at all, libxl.ErrorFail that libxl cannot make sense of it.
func (h *Host) DomainCreateRestore(ctx context.Context, cfg *libxl.DomainConfig, r io.Reader,
	params *libxl.DomainRestoreParams, opts ...CreateOption) (libxl.Domid, error) {
	f := h.begin(capi.FnDomainCreateRestore)
	if params == nil {
		params = libxl.NewDomainRestoreParams()
		params.StreamVersion = 2
	}
	kind := saved
	switch {
	case params.StreamVersion != 2:
		f.refuse("params.StreamVersion", "is %d: want 2", params.StreamVersion)
	case libxl.CheckpointedStream(params.CheckpointedStream) == libxl.CheckpointedStreamRemus:
		kind = checkpointed
	case libxl.CheckpointedStream(params.CheckpointedStream) != libxl.CheckpointedStreamNone:
		kind = colo
	}
	how, o := in(f, params), optionsOf(opts)
	f.check(checkCreate(cfg, runtime.GOARCH))
	fd, answer := f.input(ctx, "r", r, kind), int32(-1)
	if o.sendBack != nil {
		answer = f.output(ctx, "SendBack", o.sendBack, back)
	}
	return h.create(ctx, f, cfg, o, func(c capi.Ctx, config capi.Ptr, domid *uint32, op *capi.AsyncopHow, progress *capi.AsyncprogressHow) int32 {
		return h.lib.DomainCreateRestore(c, config, domid, fd, answer, how, op, progress)
	})
}

// DomainSoftReset makes a domain of type HVM anew that has shut down for the
// reason libxl.ShutdownReasonSoftReset, as Linux does for kexec: its memory and
// vCPUs stay, its connections to xenstore and to its devices are made again. It
// is paused afterwards. The configuration must be the domain's own; what libxl
// fills in is copied back to it. After an error of libxl's the domain may be
// destroyed. It calls libxl_domain_soft_reset.
//
// Once it has begun it cannot be aborted, for a fault of libxl's in doing this
// asynchronously.
func (h *Host) DomainSoftReset(ctx context.Context, cfg *libxl.DomainConfig, domid libxl.Domid, opts ...CreateOption) error {
	f := h.beginDomain(capi.FnDomainSoftReset, domid)
	defer f.leave()
	f.check(checkCreate(cfg, runtime.GOARCH))
	config := inOut(f, cfg)
	if f.err == nil {
		// libxl would take the domain apart before Xen refuses.
		info, err := h.info(ctx, domid)
		if f.check(err) && (!info.Shutdown || info.ShutdownReason != libxl.ShutdownReasonSoftReset) {
			f.refuse("domid", "the domain has not shut down for a soft reset")
		}
	}
	progress, forget := f.onConsole(optionsOf(opts).console)
	defer forget()
	var out loop.Outcome
	if f.err == nil {
		ctx, release := h.loop.Bind(ctx)
		defer release()
		// Without a how: libxl keeps the address of a variable on its stack, and
		// writes to it when an asynchronous operation ends.
		out.Code, out.Err = h.loop.CallSlow(ctx, func(c capi.Ctx) int32 {
			return h.lib.DomainSoftReset(c, config, uint32(domid), nil, progress)
		})
		if out.Code == 0 && out.Err == nil {
			h.lib.Succeeded(f.fn)
		}
		if progress != nil {
			h.loop.Settle() // the console may have been reported a moment ago
		}
	}
	return f.ended(out)
}

// DomainRemusStart keeps a copy of a domain that runs: it suspends the guest every
// info.Interval ms, writes to w what has changed, and lets the guest go on. At the
// other end [Host.DomainCreateRestore] with CheckpointedStream remus makes a
// domain of it as soon as the stream ends. It calls libxl_domain_remus_start.
//
// It returns when the copy cannot go on, or when ctx is over, always with an
// error; the guest then goes on here as with [Host.DomainSuspend]. R is the way
// back from the other end, for COLO; otherwise nil. libxl demands that info.Colo
// is set, to true or false, and AllowUnsafe for doing without Netbuf or Diskbuf,
// or with Blackhole, which says that nobody reads what is written to w.
func (h *Host) DomainRemusStart(ctx context.Context, info *libxl.DomainRemusInfo, domid libxl.Domid, w io.Writer, r io.Reader) error {
	f := h.beginDomain(capi.FnDomainRemusStart, domid)
	how, answer := in(f, info), int32(-1)
	fd := f.output(ctx, "w", w, checkpointed)
	if r != nil {
		answer = f.input(ctx, "r", r, back)
	}
	return f.suspend(ctx, func(c capi.Ctx, op *capi.AsyncopHow) int32 {
		return h.lib.DomainRemusStart(c, how, uint32(domid), fd, answer, op)
	})
}
