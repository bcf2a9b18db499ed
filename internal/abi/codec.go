package abi

import (
	"fmt"
	"unsafe"
)

// Codec copies values between Go and C for one release and architecture. It
// holds no state and may be used from many goroutines.
type Codec struct {
	release Release
	layouts []Layout
}

// NewCodec returns the codec of a release, or an error that wraps
// ErrUnsupported when its layouts are not known.
func NewCodec(r Release, a Arch) (*Codec, error) {
	if !Known(r) {
		return nil, fmt.Errorf("layouts of Xen %s: %w", r, ErrUnsupported)
	}
	if a != AMD64 && a != ARM64 {
		return nil, fmt.Errorf("layouts on %s: %w", a, ErrUnsupported)
	}
	return &Codec{r, layouts(Structs, r)}, nil
}

// Release is the release whose layouts the codec uses.
func (c *Codec) Release() Release { return c.release }

// Layout gives the layout of a struct; the caller must not change it.
func (c *Codec) Layout(s *Struct) *Layout { return &c.layouts[s.ID] }

// Memory is the C side of encoding. What Alloc hands out is owned by the C struct
// into which it is stored, and freed with that struct's dispose function.
type Memory interface {
	// Alloc returns zeroed memory, or an error when there is none.
	Alloc(size uintptr) (unsafe.Pointer, error)
	// Keep takes memory of Alloc's that no dispose function frees; it must live as
	// long as the struct.
	Keep(p unsafe.Pointer)
	// Init gives the struct at p libxl's defaults; p is zeroed memory. Called for
	// named structs only.
	Init(s *Struct, p unsafe.Pointer)
	// InitUnion sets the key of the union that is field i of s and gives the
	// member that it names libxl's defaults.
	InitUnion(s *Struct, i int, p unsafe.Pointer, key int32)
	// CPUID adds one "key=value" to the CPUID policy at p.
	CPUID(p unsafe.Pointer, policy string) error
}

// Encode fills the C struct at dst, which Init has prepared and nobody has
// filled yet, from the Go value at src. It must have passed Check. After an
// error dst is incomplete, but safe to dispose of.
func (c *Codec) Encode(mem Memory, s *Struct, dst, src unsafe.Pointer) error {
	l := &c.layouts[s.ID]
	for i := range s.Fields {
		f, m := &s.Fields[i], &l.Members[i]
		if m.Off == Absent || f.Go == "" {
			continue
		}
		d, v := unsafe.Add(dst, m.Off), unsafe.Add(src, f.Off)
		var err error
		switch f.Kind {
		case KindArray:
			err = c.encodeArray(mem, f, m, d, unsafe.Add(dst, m.Aux), v)
		case KindUnion:
			err = c.encodeUnion(mem, s, i, dst, src)
		default:
			err = c.encodeValue(mem, f, d, v)
		}
		if err != nil {
			return under(f.Go, err)
		}
	}
	return nil
}

func (c *Codec) encodeValue(mem Memory, f *Field, d, v unsafe.Pointer) error {
	switch f.Kind {
	case KindBool:
		*(*bool)(d) = *(*bool)(v)
	case KindUint8:
		*(*uint8)(d) = *(*uint8)(v)
	case KindUint16:
		*(*uint16)(d) = *(*uint16)(v)
	case KindUint32:
		*(*uint32)(d) = uint32(c.toRelease(f, uint64(*(*uint32)(v))))
	case KindUint64:
		*(*uint64)(d) = c.toRelease(f, *(*uint64)(v))
	case KindInt:
		*(*int32)(d) = int32(c.toRelease(f, uint64(*(*int)(v))))
	case KindDevid, KindEnum:
		*(*int32)(d) = int32(c.toRelease(f, uint64(*(*int32)(v))))
	case KindDefbool:
		*(*int32)(d) = int32(*(*int8)(v))
	case KindUUID, KindGenID:
		*(*[16]byte)(d) = *(*[16]byte)(v)
	case KindMAC:
		*(*[6]byte)(d) = *(*[6]byte)(v)
	case KindHwcap:
		*(*[8]uint32)(d) = *(*[8]uint32)(v)
	case KindStruct:
		return c.Encode(mem, f.Struct, d, v)
	case KindString:
		if s := *(*string)(v); s != "" {
			if err := storeString(mem, d, s); err != nil {
				return err
			}
			if f.Const {
				mem.Keep(loadPointer(d))
			}
		}
	case KindBitmap:
		return storeBitmap(mem, d, *(*[]byte)(v))
	case KindStringList:
		return storeStrings(mem, d, *(*[]string)(v))
	case KindKeyValueList:
		return storeStrings(mem, d, pairs(*(*map[string]string)(v)))
	case KindCpuidPolicy:
		for i, policy := range *(*[]string)(v) {
			if err := mem.CPUID(d, policy); err != nil {
				return &FieldError{Path: index(i), Problem: err.Error()}
			}
		}
	default:
		panic(fmt.Sprintf("abi: cannot encode kind %d", f.Kind))
	}
	return nil
}

func (c *Codec) encodeArray(mem Memory, f *Field, m *Member, d, length, v unsafe.Pointer) error {
	n := len(*(*[]struct{})(v))
	if n == 0 {
		return nil
	}
	elem := &f.Array.Elem
	first := unsafe.Pointer(unsafe.SliceData(*(*[]struct{})(v)))
	p, err := mem.Alloc(uintptr(n) * uintptr(m.Size))
	if err != nil {
		return err
	}
	if elem.Kind == KindStruct && elem.Struct.Named {
		for i := range n {
			mem.Init(elem.Struct, unsafe.Add(p, i*int(m.Size)))
		}
	}
	storePointer(d, p)
	*(*int32)(length) = int32(n)
	for i := range n {
		if err := c.encodeValue(mem, elem, unsafe.Add(p, i*int(m.Size)), unsafe.Add(first, i*int(f.Array.Size))); err != nil {
			return under(index(i), err)
		}
	}
	return nil
}

func (c *Codec) encodeUnion(mem Memory, s *Struct, i int, dst, src unsafe.Pointer) error {
	f := &s.Fields[i]
	u := f.Union
	variant, value := u.Get(unsafe.Add(src, f.Off))
	key := *(*int32)(unsafe.Add(src, u.KeyOff))
	if variant >= 0 {
		key = u.Variants[variant].Value
	}
	if key == u.KeyInit {
		return nil
	}
	mem.InitUnion(s, i, dst, key)
	if value == nil {
		return nil
	}
	return c.Encode(mem, u.Variants[variant].Struct, unsafe.Add(dst, c.layouts[s.ID].Members[i].Off), value)
}

// Decode fills the Go value at dst from the C struct at src, copying
// everything. Fields that the release lacks get their defaults. A CPUID policy,
// which is opaque, keeps the value that it has in Go.
func (c *Codec) Decode(s *Struct, dst, src unsafe.Pointer) error {
	l := &c.layouts[s.ID]
	for i := range s.Fields {
		f, m := &s.Fields[i], &l.Members[i]
		if f.Go == "" {
			continue
		}
		if m.Off == Absent {
			setDefault(f, unsafe.Add(dst, f.Off))
			continue
		}
		d, p := unsafe.Add(dst, f.Off), unsafe.Add(src, m.Off)
		var err error
		switch f.Kind {
		case KindArray:
			err = c.decodeArray(f, m, d, *(*int32)(unsafe.Add(src, m.Aux)), loadPointer(p))
		case KindUnion:
			err = c.decodeUnion(f, dst, *(*int32)(unsafe.Add(src, m.Aux)), p)
		default:
			err = c.decodeValue(f, d, p)
		}
		if err != nil {
			return under(f.Go, err)
		}
	}
	return nil
}

func (c *Codec) decodeValue(f *Field, d, p unsafe.Pointer) (err error) {
	switch f.Kind {
	case KindBool:
		*(*bool)(d) = *(*uint8)(p) != 0
	case KindUint8:
		*(*uint8)(d) = *(*uint8)(p)
	case KindUint16:
		*(*uint16)(d) = *(*uint16)(p)
	case KindUint32:
		*(*uint32)(d) = uint32(c.fromRelease(f, uint64(*(*uint32)(p))))
	case KindUint64:
		*(*uint64)(d) = c.fromRelease(f, *(*uint64)(p))
	case KindInt:
		*(*int)(d) = int(c.fromRelease(f, uint64(*(*int32)(p))))
	case KindDevid, KindEnum:
		*(*int32)(d) = int32(c.fromRelease(f, uint64(*(*int32)(p))))
	case KindDefbool:
		*(*int8)(d) = int8(min(max(*(*int32)(p), -1), 1))
	case KindUUID, KindGenID:
		*(*[16]byte)(d) = *(*[16]byte)(p)
	case KindMAC:
		*(*[6]byte)(d) = *(*[6]byte)(p)
	case KindHwcap:
		*(*[8]uint32)(d) = *(*[8]uint32)(p)
	case KindStruct:
		return c.Decode(f.Struct, d, p)
	case KindString:
		*(*string)(d) = GoString(loadPointer(p))
	case KindBitmap:
		*(*[]byte)(d), err = loadBitmap(p)
	case KindStringList:
		*(*[]string)(d), err = loadStrings(loadPointer(p))
	case KindKeyValueList:
		*(*map[string]string)(d), err = loadPairs(loadPointer(p))
	case KindCpuidPolicy:
	default:
		panic(fmt.Sprintf("abi: cannot decode kind %d", f.Kind))
	}
	return err
}

func (c *Codec) decodeArray(f *Field, m *Member, d unsafe.Pointer, n int32, p unsafe.Pointer) error {
	if n < 0 || n > 0 && p == nil || int64(n)*int64(m.Size) > maxBytes {
		return fmt.Errorf("libxl gave an array of %d elements at %p", n, p)
	}
	if n == 0 {
		f.Array.Make(d, 0)
		return nil
	}
	first := f.Array.Make(d, int(n))
	for i := range int(n) {
		if err := c.decodeValue(&f.Array.Elem, unsafe.Add(first, i*int(f.Array.Size)), unsafe.Add(p, i*int(m.Size))); err != nil {
			return under(index(i), err)
		}
	}
	return nil
}

func (c *Codec) decodeUnion(f *Field, dst unsafe.Pointer, key int32, p unsafe.Pointer) error {
	u := f.Union
	*(*int32)(unsafe.Add(dst, u.KeyOff)) = key
	d := unsafe.Add(dst, f.Off)
	for i, v := range u.Variants {
		if v.Value == key && v.Struct != nil && v.Since <= c.release {
			// A value of this variant is filled again, so that what C does not know
			// is kept.
			if have, value := u.Get(d); have == i && value != nil {
				return c.Decode(v.Struct, value, p)
			}
			return c.Decode(v.Struct, u.Set(d, i), p)
		}
	}
	u.Set(d, -1)
	return nil
}

// setDefault gives a number, or the numbers in a struct, their defaults; nothing
// else has one that differs from Go's zero value.
func setDefault(f *Field, d unsafe.Pointer) {
	switch f.Kind {
	case KindUint32, KindEnum, KindDevid:
		*(*uint32)(d) = uint32(f.latest())
	case KindUint64:
		*(*uint64)(d) = f.latest()
	case KindInt:
		*(*int)(d) = int(int32(f.latest()))
	case KindStruct:
		for i := range f.Struct.Fields {
			setDefault(&f.Struct.Fields[i], unsafe.Add(d, f.Struct.Fields[i].Off))
		}
	}
}

// latest is a field's default in package libxl.
func (f *Field) latest() uint64 {
	if n := len(f.Init); n > 0 {
		return f.Init[n-1].Value
	}
	return 0
}

// in is a field's default in a release.
func (f *Field) in(r Release) (v uint64) {
	for _, d := range f.Init {
		if d.Since <= r {
			v = d.Value
		}
	}
	return v
}

// toRelease turns Go's default of a number into the release's, where a later
// release has changed it.
func (c *Codec) toRelease(f *Field, v uint64) uint64 {
	if len(f.Init) > 0 && equal(f.Kind, v, f.latest()) {
		return f.in(c.release)
	}
	return v
}

// fromRelease is the inverse of toRelease.
func (c *Codec) fromRelease(f *Field, v uint64) uint64 {
	if len(f.Init) > 0 && equal(f.Kind, v, f.in(c.release)) {
		return f.latest()
	}
	return v
}

// equal compares two numbers as wide as their kind is.
func equal(k Kind, a, b uint64) bool {
	if k == KindUint64 {
		return a == b
	}
	return uint32(a) == uint32(b)
}
