package xenlight

import (
	"math"
	"strings"

	"github.com/go-xenlight/xenlight/internal/capi"
	"github.com/go-xenlight/xenlight/libxl"
)

// The arguments of a call. Each method returns what libxl gets, and is of no use once there
// is an error, for then libxl is not called.

// firstReservedDomid is Xen's DOMID_FIRST_RESERVED. The hypervisor's numbers have
// 16 bits, and libxl would cut a larger one to another domain's.
const firstReservedDomid = 0x7ff0

// domain is the number of a domain.
func (f *frame) domain(name string, d libxl.Domid) uint32 {
	if d >= firstReservedDomid {
		f.refuse(name, "no domain has this number")
	}
	return uint32(d)
}

// mustExist looks for the domain where libxl does not.
func (f *frame) mustExist() {
	f.count(f.exists)
}

// integer is a C int.
func (f *frame) integer(name string, n int) int32 {
	if n < math.MinInt32 || n > math.MaxInt32 {
		f.refuse(name, "%d does not fit a C int", n)
	}
	return int32(n)
}

// enum is a value of an enumeration.
func enum[E interface {
	~int32
	IsValid() bool
}](f *frame, name string, e E) int32 {
	if !e.IsValid() {
		f.refuse(name, "%d is not a value of %T", int32(e), e)
	}
	return int32(e)
}

// str is a string.
func (f *frame) str(name, s string) capi.Ptr {
	if f.err == nil && strings.Contains(s, "\x00") {
		f.refuse(name, "contains NUL")
	}
	return f.bytes(s)
}

// bytes is data that libxl reads; a NUL follows it.
func (f *frame) bytes(data string) capi.Ptr {
	if f.err != nil {
		return nil
	}
	c, err := capi.NewText(f.h.lib, data)
	return f.keep(c, c.Ptr(), err)
}

// optionalStr is a string, NULL if it is empty.
func (f *frame) optionalStr(name, s string) capi.Ptr {
	if s == "" {
		return nil
	}
	return f.str(name, s)
}

// in is a struct that libxl reads.
func in[T any](f *frame, x *T) capi.Ptr {
	p, _ := encode(f, x)
	return p
}

// needs refuses a struct without a member that libxl would crash without.
func (f *frame) needs(path string, missing bool) {
	if missing {
		f.refuse(path, "not set")
	}
}

// inOut is a struct that libxl reads and changes.
func inOut[T any](f *frame, x *T) capi.Ptr {
	p, v := encode(f, x)
	get := func() error { return v.Get(x) }
	f.back, f.chosen = append(f.back, get), append(f.chosen, get)
	return p
}

func encode[T any](f *frame, x *T) (p capi.Ptr, v capi.Value[T]) {
	if f.err != nil {
		return nil, v
	}
	v, err := capi.Encode(f.h.lib, x)
	if err != nil {
		return f.keep(nil, nil, err), v
	}
	return f.keep(v, v.Ptr(), nil), v
}

// out is a struct that libxl fills.
func out[T any](f *frame, x *T) capi.Ptr {
	if f.err != nil {
		return nil
	}
	v, err := capi.New[T](f.h.lib)
	if err != nil {
		return f.keep(nil, nil, err)
	}
	f.back = append(f.back, func() error { return get(f, v, x) })
	return f.keep(v, v.Ptr(), nil)
}

// bitmap is a bitmap that libxl reads.
func (f *frame) bitmap(b libxl.Bitmap) capi.Ptr { return f.newBitmap(b.Bytes()).Ptr() }

// optionalBitmap is a bitmap that libxl reads, NULL if it has no room at all.
func (f *frame) optionalBitmap(b libxl.Bitmap) capi.Ptr {
	if b.Len() == 0 {
		return nil
	}
	return f.bitmap(b)
}

// bitmapWords is a bitmap that is passed by value.
func (f *frame) bitmapWords(b libxl.Bitmap) [2]uintptr { return f.newBitmap(b.Bytes()).Words() }

// outBitmap is a bitmap that libxl fills, in the room that b has or in its own.
func (f *frame) outBitmap(b *libxl.Bitmap) capi.Ptr {
	c := f.newBitmap(b.Bytes())
	f.back = append(f.back, func() error {
		bits, err := c.Get()
		*b = libxl.BitmapFromBytes(bits)
		return err
	})
	return c.Ptr()
}

// roomyBitmap is a bitmap that libxl fills and for which it makes no room.
func (f *frame) roomyBitmap(b *libxl.Bitmap, bits func(capi.Ctx) int32) capi.Ptr {
	*b = libxl.NewBitmap(f.count(bits))
	return f.outBitmap(b)
}

// paddedBitmap is a bitmap of which libxl reads so many bits whatever its size.
func (f *frame) paddedBitmap(b libxl.Bitmap, bits func(capi.Ctx) int32) capi.Ptr {
	room := make([]byte, max((f.count(bits)+7)/8, len(b.Bytes())))
	copy(room, b.Bytes())
	return f.newBitmap(room).Ptr()
}

// count asks libxl for a number that an argument depends on.
func (f *frame) count(g func(capi.Ctx) int32) int {
	if f.err != nil {
		return 0
	}
	n, err := f.h.loop.Call(f.h.loop.Life(), g)
	if n < 0 {
		err = libxl.Error(n)
	}
	f.check(err)
	return max(int(n), 0)
}

func (f *frame) newBitmap(bits []byte) capi.Bitmap {
	if f.err != nil {
		return capi.Bitmap{}
	}
	c, err := capi.NewBitmap(f.h.lib, bits)
	f.keep(c, nil, err)
	return c
}

// outStr is a string that libxl gives away, perhaps only when the operation
// ends.
func (f *frame) outStr(s *string) *capi.Ptr {
	if f.err != nil {
		return nil
	}
	slot, err := capi.NewSlot(f.h.lib)
	f.keep(slot, nil, err)
	f.back = append(f.back, func() error {
		*s = slot.Take()
		return nil
	})
	return slot.Addr()
}

// outInteger is a C int that libxl writes.
func (f *frame) outInteger(n *int) *int32 {
	c := new(int32)
	f.back = append(f.back, func() error {
		*n = int(*c)
		return nil
	})
	return c
}

// word is a variable that libxl writes, perhaps only when the operation ends.
func (f *frame) word(v uint32) capi.Word {
	if f.err != nil {
		return capi.Word{}
	}
	w, err := capi.NewWord(f.h.lib, v)
	f.keep(w, nil, err)
	return w
}

// keep takes over C memory.
func (f *frame) keep(o owned, p capi.Ptr, err error) capi.Ptr {
	if !f.check(err) {
		return nil
	}
	f.owned = append(f.owned, o)
	return p
}

// get copies to Go what libxl has filled, with the CPUID policy, which it has to
// be asked for.
func get[T any](f *frame, v capi.Value[T], x *T) error {
	if err := v.Get(x); err != nil {
		return err
	}
	config, ok := any(x).(*libxl.DomainConfig)
	if !ok {
		return nil
	}
	var policy error
	_, err := f.h.loop.Call(f.h.loop.Life(), func(c capi.Ctx) int32 {
		config.BInfo.Cpuid, policy = f.h.lib.CPUIDPolicy(c, any(v).(capi.Value[libxl.DomainConfig]))
		return 0
	})
	if err == nil {
		err = policy
	}
	return err
}

// block is memory of some bytes that libxl reads and writes; back gets them after
// success.
func (f *frame) block(data []byte, back func([]byte)) capi.Ptr {
	if f.err != nil {
		return nil
	}
	b, err := capi.NewBlock(f.h.lib, data)
	f.back = append(f.back, func() error {
		back(b.Bytes())
		return nil
	})
	return f.keep(b, b.Ptr(), err)
}
