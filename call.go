package xenlight

import (
	"context"
	"errors"

	"github.com/go-xenlight/xenlight/internal/capi"
	"github.com/go-xenlight/xenlight/libxl"
)

// subject says what a call is about, for its errors.
type subject struct {
	op    string
	domid libxl.Domid // libxl.InvalidDomid if none
	name  string
}

func about(op string) subject                      { return subject{op: op, domid: libxl.InvalidDomid} }
func aboutDomain(op string, d libxl.Domid) subject { return subject{op: op, domid: d} }

func (s subject) error() *Error {
	e := &Error{Op: s.op, Name: s.name}
	if s.domid != libxl.InvalidDomid {
		e.Domid = &s.domid
	}
	return e
}

// because is the error of a call that libxl was never asked.
func (s subject) because(err error) error {
	e := s.error()
	e.Err = err
	return e
}

// failed is the error of a call that libxl has answered with rc.
func (h *Host) failed(s subject, mark uint64, rc int32, reason error) error {
	e := s.error()
	e.Code, e.Err = libxl.Error(rc), reason
	e.Log = logLines(h.loop.Explain(mark, e.Domid))
	return e
}

// call makes a call that answers at once. A negative result is libxl's code;
// others are for f to keep.
func (h *Host) call(s subject, f func(capi.Ctx) int32) error {
	if err := h.loop.Enter(); err != nil {
		return s.because(err)
	}
	defer h.loop.Leave()
	mark := h.loop.Mark()
	if rc := h.loop.Call(f); rc < 0 {
		return h.failed(s, mark, rc, nil)
	}
	return nil
}

// operate runs an operation to its end.
func (h *Host) operate(ctx context.Context, s subject, start func(capi.Ctx, *capi.AsyncopHow) int32) error {
	if err := h.loop.Enter(); err != nil {
		return s.because(err)
	}
	defer h.loop.Leave()
	if err := ctx.Err(); err != nil {
		return s.because(err)
	}
	mark := h.loop.Mark()
	rc, err := h.loop.Run(ctx, start)
	if rc == 0 && err == nil {
		return nil
	}
	return h.failed(s, mark, rc, err)
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
	v, err := capi.New[T](h.lib)
	if err != nil {
		return x, s.because(err)
	}
	defer v.Free()
	if err := h.call(s, func(c capi.Ctx) int32 { return f(c, v.Ptr()) }); err != nil {
		return x, err
	}
	if err := v.Get(&x); err != nil {
		return x, s.because(err)
	}
	return x, nil
}

// list makes a call that returns an array, which free takes back.
func list[T any](h *Host, s subject, f func(capi.Ctx, *int32) capi.Ptr, free func(capi.Ptr, int32)) (xs []T, err error) {
	var n int32
	var decode error
	err = h.call(s, func(c capi.Ctx) int32 {
		p := f(c, &n)
		if p == nil {
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

// lost reports whether libxl may still use the memory of an operation that has
// ended with err. Such memory is never freed.
func lost(err error) bool { return errors.Is(err, ErrBroken) }
