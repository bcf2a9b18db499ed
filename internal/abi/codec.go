package abi

import (
	"fmt"
	"unsafe"
)

// Codec copies values between Go and C for one release and architecture. It
// never changes and may be used from many goroutines.
type Codec struct {
	release Release
	layouts []Layout
	plans   []plan
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
	c := &Codec{release: r, layouts: layouts(Structs, r)}
	c.makePlans(Structs)
	return c, nil
}

// Release is the release whose layouts the codec uses.
func (c *Codec) Release() Release { return c.release }

// Layout gives the layout of a struct; the caller must not change it.
func (c *Codec) Layout(s *Struct) *Layout { return &c.layouts[s.ID] }

// Memory is the C side of encoding. What Alloc hands out is owned by the C struct
// into which it is stored, and freed with that struct's dispose function.
type Memory interface {
	// Alloc returns memory with any content, or an error when there is none.
	Alloc(size uintptr) (unsafe.Pointer, error)
	// String stores a new NUL-terminated copy of s in the char * at d, which is NULL,
	// at the latest when Encode is through. With own, no dispose function frees it,
	// and it must live as long as the struct.
	String(d unsafe.Pointer, s string, own bool) error
	// Init gives the struct at p libxl's defaults, all of its bytes. Called for named
	// structs only.
	Init(s *Struct, p unsafe.Pointer)
	// InitUnion sets the key of the union that is field i of s, a struct that Init
	// has prepared, and gives the member that it names libxl's defaults.
	InitUnion(s *Struct, i int, p unsafe.Pointer, key int32)
	// CPUID adds one "key=value" to the CPUID policy at p.
	CPUID(p unsafe.Pointer, policy string) error
}

// Encode fills the C struct at dst, which Init has prepared and nobody has
// filled yet, from the Go value at src. It must have passed Check. After an
// error dst is incomplete, but safe to dispose of.
func (c *Codec) Encode(mem Memory, s *Struct, dst, src unsafe.Pointer) error {
	return c.encode(mem, c.plans[s.ID].encode, dst, src)
}

func (c *Codec) encode(mem Memory, runs []run, dst, src unsafe.Pointer) error {
	for i := range runs {
		if r := &runs[i]; !r.done(src) {
			if err := c.encodeSteps(mem, r.steps, dst, src); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *Codec) encodeSteps(mem Memory, steps []step, dst, src unsafe.Pointer) error {
	for i := range steps {
		st := &steps[i]
		d, v := unsafe.Add(dst, st.c), unsafe.Add(src, st.g)
		var err error
		switch st.kind {
		case KindBool:
			*(*bool)(d) = *(*bool)(v)
		case KindUint8:
			*(*uint8)(d) = *(*uint8)(v)
		case KindUint16:
			*(*uint16)(d) = *(*uint16)(v)
		case KindUint32, KindDevid, KindEnum:
			*(*uint32)(d) = *(*uint32)(v)
		case KindUint64:
			*(*uint64)(d) = *(*uint64)(v)
		case KindInt:
			*(*int32)(d) = int32(*(*int)(v))
		case KindDefbool:
			*(*int32)(d) = int32(*(*int8)(v))
		case KindUUID, KindGenID:
			*(*[16]byte)(d) = *(*[16]byte)(v)
		case KindMAC:
			*(*[6]byte)(d) = *(*[6]byte)(v)
		case KindHwcap:
			*(*[8]uint32)(d) = *(*[8]uint32)(v)
		case kindConverted:
			c.encodeConverted(st.f, d, v)
		case KindUnion:
			err = c.encodeUnion(mem, st, unsafe.Add(dst, st.cs), unsafe.Add(src, st.gs))
		case KindArray:
			if n := len(*(*[]struct{})(v)); n > 0 {
				err = c.encodeArray(mem, st, n, unsafe.Add(dst, st.cs), v)
			}
		case KindString:
			if *(*string)(v) != "" {
				err = encodeRef(mem, st.f, d, v)
			}
		case KindBitmap, KindStringList, KindCpuidPolicy:
			if len(*(*[]struct{})(v)) > 0 {
				err = encodeRef(mem, st.f, d, v)
			}
		default:
			err = encodeRef(mem, st.f, d, v)
		}
		if err != nil {
			return under(st.path, err)
		}
	}
	return nil
}

// encodeRef encodes a value that is not empty and is a pointer in C, or has one.
func encodeRef(mem Memory, f *Field, d, v unsafe.Pointer) error {
	switch f.Kind {
	case KindString:
		return mem.String(d, *(*string)(v), f.Const)
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

// encodeArray encodes n elements, n > 0, to an array member of the struct at dst.
func (c *Codec) encodeArray(mem Memory, st *step, n int, dst, v unsafe.Pointer) error {
	a, m := st.f.Array, st.m
	first := loadPointer(v)
	p, err := mem.Alloc(uintptr(n) * uintptr(m.Size))
	if err != nil {
		return err
	}
	// Every element must be fit for disposal before the struct knows of it.
	if a.Elem.Kind == KindStruct && a.Elem.Struct.Named {
		for i := range n {
			mem.Init(a.Elem.Struct, unsafe.Add(p, i*int(m.Size)))
		}
	} else {
		clear(unsafe.Slice((*byte)(p), n*int(m.Size)))
	}
	storePointer(unsafe.Add(dst, m.Off), p)
	*(*int32)(unsafe.Add(dst, m.Aux)) = int32(n)
	for i := range n {
		if err := c.encode(mem, st.elem.encode, unsafe.Add(p, i*int(m.Size)), unsafe.Add(first, i*int(a.Size))); err != nil {
			return under(index(i), err)
		}
	}
	return nil
}

// encodeConverted encodes a number whose default is another one in this release.
func (c *Codec) encodeConverted(f *Field, d, v unsafe.Pointer) {
	switch f.Kind {
	case KindUint64:
		*(*uint64)(d) = c.toRelease(f, *(*uint64)(v))
	case KindInt:
		*(*int32)(d) = int32(c.toRelease(f, uint64(*(*int)(v))))
	case KindUint32, KindDevid, KindEnum:
		*(*uint32)(d) = uint32(c.toRelease(f, uint64(*(*uint32)(v))))
	default:
		panic(fmt.Sprintf("abi: cannot convert kind %d", f.Kind))
	}
}

func (c *Codec) decodeConverted(f *Field, d, p unsafe.Pointer) {
	switch f.Kind {
	case KindUint64:
		*(*uint64)(d) = c.fromRelease(f, *(*uint64)(p))
	case KindInt:
		*(*int)(d) = int(int32(c.fromRelease(f, uint64(*(*int32)(p)))))
	case KindUint32, KindDevid, KindEnum:
		*(*uint32)(d) = uint32(c.fromRelease(f, uint64(*(*uint32)(p))))
	default:
		panic(fmt.Sprintf("abi: cannot convert kind %d", f.Kind))
	}
}

func (c *Codec) encodeUnion(mem Memory, st *step, dst, src unsafe.Pointer) error {
	u := st.f.Union
	variant, value := u.Get(unsafe.Add(src, st.f.Off))
	key := *(*int32)(unsafe.Add(src, u.KeyOff))
	if variant >= 0 {
		key = u.Variants[variant].Value
	}
	if key == u.KeyInit {
		return nil
	}
	mem.InitUnion(st.s, int(st.index), dst, key)
	if value == nil {
		return nil
	}
	return c.Encode(mem, u.Variants[variant].Struct, unsafe.Add(dst, st.m.Off), value)
}

// Decode fills the Go value at dst from the C struct at src, copying
// everything. Fields that the release lacks get their defaults. A CPUID policy,
// which is opaque, keeps the value that it has in Go.
func (c *Codec) Decode(s *Struct, dst, src unsafe.Pointer) error {
	return c.decode(c.plans[s.ID].decode, dst, src)
}

func (c *Codec) decode(steps []step, dst, src unsafe.Pointer) error {
	for i := range steps {
		st := &steps[i]
		d, p := unsafe.Add(dst, st.g), unsafe.Add(src, st.c)
		var err error
		switch st.kind {
		case KindBool:
			*(*bool)(d) = *(*uint8)(p) != 0
		case KindUint8:
			*(*uint8)(d) = *(*uint8)(p)
		case KindUint16:
			*(*uint16)(d) = *(*uint16)(p)
		case KindUint32, KindDevid, KindEnum:
			*(*uint32)(d) = *(*uint32)(p)
		case KindUint64:
			*(*uint64)(d) = *(*uint64)(p)
		case KindInt:
			*(*int)(d) = int(*(*int32)(p))
		case KindDefbool:
			*(*int8)(d) = int8(min(max(*(*int32)(p), -1), 1))
		case KindUUID, KindGenID:
			*(*[16]byte)(d) = *(*[16]byte)(p)
		case KindMAC:
			*(*[6]byte)(d) = *(*[6]byte)(p)
		case KindHwcap:
			*(*[8]uint32)(d) = *(*[8]uint32)(p)
		case kindConverted:
			c.decodeConverted(st.f, d, p)
		case kindLater:
			setDefault(st.f, d)
		case KindUnion:
			err = c.decodeUnion(st, unsafe.Add(dst, st.gs), unsafe.Add(src, st.cs))
		case KindArray:
			err = c.decodeArray(st, d, unsafe.Add(src, st.cs))
		case KindString:
			*(*string)(d) = GoString(loadPointer(p))
		default:
			err = decodeRef(st.f, d, p)
		}
		if err != nil {
			return under(st.path, err)
		}
	}
	return nil
}

// decodeRef decodes a value that is a pointer in C, or has one.
func decodeRef(f *Field, d, p unsafe.Pointer) (err error) {
	switch f.Kind {
	case KindBitmap:
		*(*[]byte)(d), err = LoadBitmap(p)
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

// decodeArray decodes an array member of the struct at src to the slice at d.
func (c *Codec) decodeArray(st *step, d, src unsafe.Pointer) error {
	a, m := st.f.Array, st.m
	n, p := int(*(*int32)(unsafe.Add(src, m.Aux))), loadPointer(unsafe.Add(src, m.Off))
	if err := checkLength(n, p, m.Size); err != nil {
		return err
	}
	first := a.Make(d, n)
	for i := range n {
		if err := c.decode(st.elem.decode, unsafe.Add(first, i*int(a.Size)), unsafe.Add(p, i*int(m.Size))); err != nil {
			return under(index(i), err)
		}
	}
	return nil
}

// CheckLength reports what cannot be an array of n structs of libxl's at p.
func (c *Codec) CheckLength(s *Struct, n int, p unsafe.Pointer) error {
	return checkLength(n, p, c.layouts[s.ID].Size)
}

// checkLength reports what cannot be an array of n elements of libxl's.
func checkLength(n int, p unsafe.Pointer, size uint32) error {
	if n < 0 || n > 0 && p == nil || int64(n)*int64(size) > maxBytes {
		return fmt.Errorf("libxl gave an array of %d elements at %p", n, p)
	}
	return nil
}

func (c *Codec) decodeUnion(st *step, dst, src unsafe.Pointer) error {
	u := st.f.Union
	key := *(*int32)(unsafe.Add(src, st.m.Aux))
	*(*int32)(unsafe.Add(dst, u.KeyOff)) = key
	d := unsafe.Add(dst, st.f.Off)
	for i := range u.Variants {
		v := &u.Variants[i]
		if v.Value != key || v.Struct == nil || v.Since > c.release {
			continue
		}
		// A value of this variant is filled again, so that what C does not know is
		// kept.
		have, value := u.Get(d)
		if have != i || value == nil {
			value = u.Set(d, i)
		}
		return c.Decode(v.Struct, value, unsafe.Add(src, st.m.Off))
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
		setDefaults(f.Struct, d)
	}
}

// setDefaults gives all of a zero struct at d its defaults.
func setDefaults(s *Struct, d unsafe.Pointer) {
	for i := range s.Fields {
		f := &s.Fields[i]
		setDefault(f, unsafe.Add(d, f.Off))
		if f.Union != nil {
			*(*int32)(unsafe.Add(d, f.Union.KeyOff)) = f.Union.KeyInit
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
