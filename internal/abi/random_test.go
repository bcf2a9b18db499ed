package abi

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"unsafe"

	"github.com/go-xenlight/xenlight/libxl"
)

// filler gives Go values random content that a release can hold.
type filler struct {
	*rand.Rand
	release Release
}

func (r *filler) fill(s *Struct, p unsafe.Pointer) {
	for i := range s.Fields {
		f := &s.Fields[i]
		if f.Go == "" {
			continue
		}
		d := unsafe.Add(p, f.Off)
		if f.Since > r.release {
			setDefault(f, d)
			continue
		}
		switch f.Kind {
		case KindUnion:
			r.union(f.Union, p, d)
		case KindArray:
			if n := r.IntN(4); n > 0 {
				first := f.Array.Make(d, n)
				for i := range n {
					r.value(&f.Array.Elem, unsafe.Add(first, i*int(f.Array.Size)))
				}
			}
		default:
			r.value(f, d)
		}
	}
}

func (r *filler) union(u *Union, p, d unsafe.Pointer) {
	v := u.Variants[r.IntN(len(u.Variants))]
	if v.Since > r.release {
		return
	}
	*(*int32)(unsafe.Add(p, u.KeyOff)) = v.Value
	for i := range u.Variants {
		if u.Variants[i].Value == v.Value && v.Struct != nil {
			r.fill(v.Struct, u.Set(d, i))
		}
	}
}

func (r *filler) value(f *Field, d unsafe.Pointer) {
	switch f.Kind {
	case KindBool:
		*(*bool)(d) = r.IntN(2) == 1
	case KindUint8:
		*(*uint8)(d) = uint8(r.Uint32())
	case KindUint16:
		*(*uint16)(d) = uint16(r.Uint32())
	case KindUint32:
		*(*uint32)(d) = r.Uint32()
	case KindUint64:
		*(*uint64)(d) = r.Uint64()
	case KindInt:
		*(*int)(d) = int(int32(r.Uint32()))
	case KindDevid:
		*(*int32)(d) = int32(r.Uint32())
	case KindEnum:
		for {
			v := f.Enum.Values[r.IntN(len(f.Enum.Values))]
			if v.Since <= r.release {
				*(*int32)(d) = v.Value
				return
			}
		}
	case KindDefbool:
		*(*int8)(d) = int8(r.IntN(3) - 1)
	case KindUUID, KindGenID:
		for i := range 16 {
			(*(*[16]byte)(d))[i] = byte(r.Uint32())
		}
	case KindMAC:
		for i := range 6 {
			(*(*[6]byte)(d))[i] = byte(r.Uint32())
		}
	case KindHwcap:
		for i := range 8 {
			(*(*[8]uint32)(d))[i] = r.Uint32()
		}
	case KindString:
		*(*string)(d) = r.text()
	case KindBitmap:
		b := libxl.NewBitmap(r.IntN(70))
		for i := range b.Len() {
			if r.IntN(2) == 1 && f.HasBit(i, r.release) {
				b.Set(i)
			}
		}
		*(*libxl.Bitmap)(d) = b
	case KindStringList:
		for range r.IntN(4) {
			*(*[]string)(d) = append(*(*[]string)(d), r.text())
		}
	case KindKeyValueList:
		if n := r.IntN(4); n > 0 {
			m := map[string]string{}
			for i := range n {
				m[fmt.Sprintf("k%d", i)] = r.text()
			}
			*(*map[string]string)(d) = m
		}
	case KindCpuidPolicy:
	case KindStruct:
		r.fill(f.Struct, d)
	default:
		panic(fmt.Sprintf("cannot fill kind %d", f.Kind))
	}
}

func (r *filler) text() string {
	b := make([]byte, r.IntN(12))
	for i := range b {
		b[i] = byte(1 + r.IntN(255))
	}
	return string(b)
}

// goValues makes new Go values of every struct.
var goValues = func() map[*Struct]func() reflect.Value {
	m := map[*Struct]func() reflect.Value{}
	add := func(s *Struct, f func() reflect.Value) { m[s] = f }
	addType[libxl.DomainConfig](add)
	addType[libxl.SchedCredit2Params](add)
	addType[libxl.SchedCreditParams](add)
	addType[libxl.Cputopology](add)
	addType[libxl.Vkbinfo](add)
	addType[libxl.Nicinfo](add)
	addType[libxl.Diskinfo](add)
	addType[libxl.Vminfo](add)
	addType[libxl.DomainRestoreParams](add)
	addType[libxl.Channelinfo](add)
	addType[libxl.Event](add)
	addType[libxl.Physinfo](add)
	addType[libxl.Dominfo](add)
	addType[libxl.Vcpuinfo](add)
	addType[libxl.VersionInfo](add)
	addType[libxl.PsrHwInfo](add)
	addType[libxl.Vdisplinfo](add)
	addType[libxl.Vsndinfo](add)
	addType[libxl.VcpuSchedParams](add)
	addType[libxl.Numainfo](add)
	addType[libxl.Cpupoolinfo](add)
	addType[libxl.DomainRemusInfo](add)
	addType[libxl.Pcitopology](add)
	addType[libxl.PsrCatInfo](add)
	addType[libxl.Usbctrlinfo](add)
	addType[libxl.Vtpminfo](add)
	return m
}()

func addType[T any](add func(*Struct, func() reflect.Value)) {
	add(Of[T](), func() reflect.Value { return reflect.ValueOf(new(T)) })
}

// goMemory is a Memory of Go's: tests run without libc and libxl. It keeps what
// it hands out alive, for only C pointers lead there.
type goMemory struct {
	codec    *Codec
	chunks   [][]uint64
	left     int // Alloc fails after this many, if not negative
	policies int // that CPUID has got
}

func (m *goMemory) Alloc(size uintptr) (unsafe.Pointer, error) {
	if m.left == 0 {
		return nil, fmt.Errorf("no memory")
	}
	m.left--
	chunk := make([]uint64, size/8+1)
	for i := range chunk {
		chunk[i] = 0xa5a5a5a5a5a5a5a5
	}
	m.chunks = append(m.chunks, chunk)
	return unsafe.Pointer(unsafe.SliceData(chunk)), nil
}

func (m *goMemory) String(d unsafe.Pointer, s string, _ bool) error {
	p, err := m.Alloc(uintptr(len(s)) + 1)
	if err != nil {
		return err
	}
	b := unsafe.Slice((*byte)(p), len(s)+1)
	b[copy(b, s)] = 0
	storePointer(d, p)
	return nil
}

// Init does what libxl's _init does.
func (m *goMemory) Init(s *Struct, p unsafe.Pointer) {
	clear(unsafe.Slice((*byte)(p), m.codec.Layout(s).Size))
	for i := range s.Fields {
		f, l := &s.Fields[i], m.codec.Layout(s).Members[i]
		if l.Off == Absent {
			continue
		}
		switch f.Kind {
		case KindStruct:
			m.Init(f.Struct, unsafe.Add(p, l.Off))
		case KindUnion:
			*(*int32)(unsafe.Add(p, l.Aux)) = f.Union.KeyInit
		case KindUint64:
			*(*uint64)(unsafe.Add(p, l.Off)) = f.in(m.codec.release)
		case KindUint32, KindInt, KindEnum, KindDevid:
			*(*uint32)(unsafe.Add(p, l.Off)) = uint32(f.in(m.codec.release))
		}
	}
}

func (m *goMemory) InitUnion(s *Struct, i int, p unsafe.Pointer, key int32) {
	f, l := &s.Fields[i], m.codec.Layout(s).Members[i]
	*(*int32)(unsafe.Add(p, l.Aux)) = key
	for _, v := range f.Union.Variants {
		if v.Value == key && v.Struct != nil {
			m.Init(v.Struct, unsafe.Add(p, l.Off))
		}
	}
}

func (m *goMemory) CPUID(unsafe.Pointer, string) error {
	m.policies++
	return nil
}

// difference names the fields by which two values of a struct type differ.
func difference(got, want reflect.Value) string {
	out := ""
	for i := range got.NumField() {
		g, w := got.Field(i), want.Field(i)
		if reflect.DeepEqual(g.Interface(), w.Interface()) {
			continue
		}
		name := got.Type().Field(i).Name
		if g.Kind() == reflect.Struct && g.NumField() > 0 && g.Type().Field(0).IsExported() {
			out += " " + name + ":{" + difference(g, w) + "}"
			continue
		}
		out += fmt.Sprintf(" %s: got %#v, want %#v;", name, g, w)
	}
	return out
}
