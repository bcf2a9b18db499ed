package xenlight

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"syscall"

	"github.com/go-xenlight/xenlight/internal/capi"
	"github.com/go-xenlight/xenlight/internal/loop"
	"github.com/go-xenlight/xenlight/libxl"
)

// frame is one call of a libxl function: what it is about, the C memory of its
// arguments, and the first thing that is wrong with them. A method begins one,
// adds the arguments, and ends it with one of the methods that call libxl, which
// give everything back.
type frame struct {
	h     *Host
	fn    capi.Fn
	op    string       // the method; empty if it is that of fn
	domid *libxl.Domid // nil if it is about no domain
	name  string       // of a domain that has no number yet
	none  *libxl.Domid // libxl.InvalidDomid if it makes a domain: no line about another one explains it

	entered *loop.Call     // nil if it is not
	err     error          // the first
	mark    uint64         // in the log
	owned   []owned        // what is to be freed
	back    []func() error // copy to Go what libxl has written
	chosen  []func() error // those of them that do so if the operation is aborted too
	streams *streams       // what libxl writes to and reads from, if anything
}

type owned interface{ Free() }

// begin begins a call that is about no domain.
func (h *Host) begin(fn capi.Fn) *frame { return h.enter(&frame{fn: fn}) }

// beginDomain begins a call that is about a domain.
func (h *Host) beginDomain(fn capi.Fn, domid libxl.Domid) *frame {
	f := h.enter(&frame{fn: fn, domid: &domid})
	f.domain("domid", domid)
	return f
}

// enter finds out whether libxl can be called at all.
func (h *Host) enter(f *frame) *frame {
	if h == nil {
		h = new(Host) // so that there is a nil library to take methods of
	}
	f.h = h
	if h.loop == nil {
		f.err = ErrClosed // it was never opened
		return f
	}
	if f.err = h.lib.Missing(f.fn); f.err != nil {
		return f
	}
	c := &loop.Call{Op: f.fn.String(), Domid: f.domid}
	if f.err = h.loop.Enter(c); f.err == nil {
		f.entered = c
		f.mark = h.loop.Mark()
	}
	return f
}

// leave frees the arguments.
func (f *frame) leave() {
	for _, o := range f.owned {
		o.Free()
	}
	f.owned = nil
	if f.entered != nil {
		f.h.loop.Leave(f.entered)
		f.entered = nil
	}
}

// check keeps the first error.
func (f *frame) check(err error) bool {
	if f.err == nil {
		f.err = err
	}
	return f.err == nil
}

// refuse says what is wrong with an argument.
func (f *frame) refuse(name, problem string, args ...any) {
	f.check(&FieldError{Path: name, Problem: fmt.Sprintf(problem, args...)})
}

// because is the error of the call for a reason of our own.
func (f *frame) because(err error) error {
	return &Error{Op: cmp.Or(f.op, f.fn.String()), Name: f.name, Domid: f.domid, Err: err}
}

// failed is the error of the call to which libxl has answered rc.
func (f *frame) failed(rc int32, reason error) error {
	if reason == nil {
		reason = f.h.loop.Broken()
	}
	return &Error{Op: cmp.Or(f.op, f.fn.String()), Name: f.name, Domid: f.domid, Code: libxl.Error(rc), Err: reason,
		Log: logLines(f.h.loop.Explain(f.mark, cmp.Or(f.domid, f.none)))}
}

// call makes a call that answers at once, with 0 or libxl's code.
func (f *frame) call(g func(capi.Ctx) int32) error {
	_, err := f.value(func(c capi.Ctx) int32 {
		rc := g(c)
		if rc > 0 { // libxl_domain_setmaxmem fails with 1
			rc = int32(libxl.ErrorFail)
		}
		return rc
	})
	return err
}

// value makes a call whose result is a number, or libxl's code.
func (f *frame) value(g func(capi.Ctx) int32) (int, error) {
	return f.answer(g, func(rc int32) error { return f.failed(rc, nil) })
}

// raw makes a call whose result is a number, or -1 with an errno.
func (f *frame) raw(g func(capi.Ctx) (int32, syscall.Errno)) (int, error) {
	var errno syscall.Errno
	return f.answer(func(c capi.Ctx) (rc int32) {
		if rc, errno = g(c); errno != 0 {
			return -1
		}
		return rc
	}, func(int32) error { return f.failed(0, errno) })
}

func (f *frame) answer(g func(capi.Ctx) int32, failed func(int32) error) (int, error) {
	defer f.leave()
	if f.err != nil {
		return 0, f.because(f.err)
	}
	rc, err := f.h.loop.Call(f.h.loop.Life(), g)
	switch {
	case err != nil:
		return 0, f.because(err)
	case rc < 0:
		return 0, failed(rc)
	}
	return int(rc), f.copyBack()
}

// boolean makes a call that answers yes or no.
func (f *frame) boolean(g func(capi.Ctx) bool) (yes bool, err error) {
	err = f.call(func(c capi.Ctx) int32 {
		yes = g(c)
		return 0
	})
	return yes, err
}

// text makes a call that gives a string away, or answers NULL.
func (f *frame) text(g func(capi.Ctx) capi.Ptr) (s string, err error) {
	err = f.call(func(c capi.Ctx) int32 {
		p := g(c)
		if p == nil {
			return int32(libxl.ErrorFail)
		}
		s = f.h.lib.TakeString(p)
		return 0
	})
	return s, err
}

// list makes a call that gives an array away, which free takes back.
func list[T any](f *frame, g func(capi.Ctx, *int32) capi.Ptr, free func(capi.Ptr, int32)) ([]T, error) {
	return filledList[T](f, func(c capi.Ctx, p *capi.Ptr, n *uint32) int32 {
		length := int32(-1)
		*p = g(c, &length)
		*n = uint32(length)
		switch {
		case *p == nil && length == 0:
			return f.exists(c)
		case *p == nil:
			return int32(libxl.ErrorFail)
		}
		return 0
	}, nil, free)
}

// fullList is list for what is never empty: NULL is an error even where libxl
// sets the length to 0.
func fullList[T any](f *frame, g func(capi.Ctx, *int32) capi.Ptr, free func(capi.Ptr, int32)) ([]T, error) {
	return list[T](f, func(c capi.Ctx, n *int32) capi.Ptr {
		p := g(c, n)
		if p == nil {
			*n = -1
		}
		return p
	}, free)
}

// exists tells an empty list of a domain's from that of a domain that is not
// there, for which libxl gives none either.
func (f *frame) exists(c capi.Ctx) int32 {
	if f.domid == nil {
		return 0
	}
	return f.h.lib.DomainInfo(c, nil, uint32(*f.domid))
}

// operate runs an operation to its end.
func (f *frame) operate(ctx context.Context, start func(capi.Ctx, *capi.AsyncopHow) int32) error {
	defer f.leave()
	out := f.run(ctx, start)
	err := f.ended(out)
	if out.Code != 0 && out.Err != nil && !out.Lost {
		// A device that is half there can only be removed by its number.
		for _, b := range f.chosen {
			if fault := b(); fault != nil {
				err = errors.Join(err, fault)
			}
		}
	}
	return err
}

// run is operate for those who look at the outcome before it is an error.
func (f *frame) run(ctx context.Context, start func(capi.Ctx, *capi.AsyncopHow) int32) loop.Outcome {
	if f.err != nil {
		return loop.Outcome{Err: f.err}
	}
	ctx, release := f.h.loop.Bind(ctx)
	defer release()
	if f.streams != nil {
		ctx, start = f.streams.hold(ctx), f.streams.guard(start)
	}
	out := f.h.loop.Run(ctx, start)
	if f.streams != nil && !out.Lost {
		out = f.streams.drain(out)
	}
	switch {
	case out.Lost:
		f.owned = nil // libxl may still use it, for ever
	case out.Code == 0 && out.Err == nil:
		f.h.lib.Succeeded(f.fn)
	}
	return out
}

// ended is the error of an operation that has ended, or what follows if there is
// none.
func (f *frame) ended(out loop.Outcome) error {
	switch {
	case f.err != nil:
		return f.because(f.err)
	case out.Code != 0 || out.Err != nil:
		return f.failed(out.Code, out.Err)
	}
	return f.copyBack()
}

// copyBack copies what libxl has written.
func (f *frame) copyBack() error {
	for _, b := range f.back {
		if err := b(); err != nil {
			return f.because(err)
		}
	}
	return nil
}

// filledList makes a call that stores an array and its length, which free takes
// back. Mend, if not nil, completes the array before it is read.
func filledList[T any](f *frame, g func(capi.Ctx, *capi.Ptr, *uint32) int32,
	mend func(capi.Ptr, int), free func(capi.Ptr, int32)) (xs []T, err error) {
	var p capi.Ptr
	var n uint32
	f.back = append(f.back, func() (err error) {
		if p == nil {
			return nil
		}
		defer free(p, int32(n))
		if mend != nil {
			mend(p, int(n))
		}
		xs, err = capi.DecodeList[T](f.h.lib, p, int(int32(n)))
		return err
	})
	err = f.call(func(c capi.Ctx) int32 { return g(c, &p, &n) })
	return xs, err
}
