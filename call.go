package xenlight

import (
	"context"

	"github.com/go-xenlight/xenlight/internal/capi"
	"github.com/go-xenlight/xenlight/libxl"
)

// subject says what a call is about, for its errors.
type subject struct {
	op    string
	name  string       // of a domain that has no number yet
	domid *libxl.Domid // nil if it is about no domain
}

func about(op string) subject                      { return subject{op: op} }
func aboutDomain(op string, d libxl.Domid) subject { return subject{op: op, domid: &d} }

// because is the error of a call for a reason of our own.
func (s subject) because(err error) error {
	return &Error{Op: s.op, Name: s.name, Domid: s.domid, Err: err}
}

// failed is the error of a call to which libxl has answered rc.
func (h *Host) failed(s subject, mark uint64, rc int32, reason error) error {
	return &Error{Op: s.op, Name: s.name, Domid: s.domid, Code: libxl.Error(rc), Err: reason,
		Log: logLines(h.loop.Explain(mark, s.domid))}
}

// firstReservedDomid is Xen's DOMID_FIRST_RESERVED. The hypervisor's numbers have
// 16 bits, and libxl would cut a larger one to another domain's.
const firstReservedDomid = 0x7ff0

// enter must succeed before libxl is called; h.loop.Leave follows it.
func (h *Host) enter(s subject) error {
	if h == nil || h.loop == nil {
		return s.because(ErrClosed) // it was never opened
	}
	if s.domid != nil && *s.domid >= firstReservedDomid {
		return s.because(&FieldError{Path: "domid", Problem: "no domain has this number"})
	}
	if err := h.loop.Enter(); err != nil {
		return s.because(err)
	}
	return nil
}

// call makes a call that answers at once. A negative result is libxl's code;
// others are for f to keep.
func (h *Host) call(s subject, f func(capi.Ctx) int32) error {
	if err := h.enter(s); err != nil {
		return err
	}
	defer h.loop.Leave()
	mark := h.loop.Mark()
	rc, err := h.loop.Call(h.loop.Life(), f)
	if err != nil {
		return s.because(err)
	}
	if rc < 0 {
		return h.failed(s, mark, rc, nil)
	}
	return nil
}

// operate runs an operation to its end.
func (h *Host) operate(ctx context.Context, s subject, start func(capi.Ctx, *capi.AsyncopHow) int32) error {
	if err := h.enter(s); err != nil {
		return err
	}
	defer h.loop.Leave()
	ctx, release := h.loop.Bind(ctx)
	defer release()
	mark := h.loop.Mark()
	if out := h.loop.Run(ctx, start); out.Code != 0 || out.Err != nil {
		return h.failed(s, mark, out.Code, out.Err)
	}
	return nil
}

// operateDomain runs an operation that needs to know the domain only.
func (h *Host) operateDomain(ctx context.Context, op string, domid libxl.Domid,
	f func(capi.Ctx, uint32, *capi.AsyncopHow) int32) error {
	return h.operate(ctx, aboutDomain(op, domid), func(c capi.Ctx, how *capi.AsyncopHow) int32 {
		return f(c, uint32(domid), how)
	})
}

// count makes a call whose result is a number.
func (h *Host) count(op string, f func(capi.Ctx) int32) (n int, err error) {
	err = h.call(about(op), func(c capi.Ctx) int32 {
		rc := f(c)
		n = max(int(rc), 0)
		return rc
	})
	return n, err
}

// get makes a call that fills a struct.
func get[T any](h *Host, s subject, f func(capi.Ctx, capi.Ptr) int32) (x T, err error) {
	var fault error
	err = h.call(s, func(c capi.Ctx) int32 {
		var v capi.Value[T]
		if v, fault = capi.New[T](h.lib); fault != nil {
			return 0
		}
		defer v.Free()
		rc := f(c, v.Ptr())
		if rc >= 0 {
			fault = v.Get(&x)
		}
		return rc
	})
	if err == nil && fault != nil {
		err = s.because(fault)
	}
	return x, err
}

// list makes a call that returns an array, which free takes back.
func list[T any](h *Host, s subject, f func(capi.Ctx, *int32) capi.Ptr, free func(capi.Ptr, int32)) (xs []T, err error) {
	n := int32(-1)
	var decode error
	err = h.call(s, func(c capi.Ctx) int32 {
		p := f(c, &n)
		switch {
		case p == nil && n == 0:
			return 0
		case p == nil:
			return int32(libxl.ErrorFail)
		}
		defer free(p, n)
		xs, decode = capi.DecodeList[T](h.lib, p, int(n))
		return 0
	})
	if err == nil && decode != nil {
		err = s.because(decode)
	}
	return xs, err
}

// text makes a call that gives a string away.
func (h *Host) text(s subject, f func(capi.Ctx, *capi.Ptr) int32) (string, error) {
	var p capi.Ptr
	if err := h.call(s, func(c capi.Ctx) int32 { return f(c, &p) }); err != nil {
		return "", err
	}
	return h.lib.TakeString(p), nil
}
