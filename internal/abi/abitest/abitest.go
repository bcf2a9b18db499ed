// Package abitest fills values of libxl's types with random content, for tests.
package abitest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"unsafe"

	"github.com/go-xenlight/xenlight/internal/abi"
	"github.com/go-xenlight/xenlight/libxl"
)

// Value is a pointer to a struct of package libxl.
type Value interface {
	json.Marshaler
	json.Unmarshaler
	AppendJSON(b []byte) ([]byte, error)
}

// Type is a struct type of package libxl.
type Type struct {
	*abi.Struct
	New   func() Value // with defaults
	Clone func(Value) Value
	Equal func(a, b Value) bool
}

func typeOf[T any, P interface {
	*T
	Value
	Clone() *T
	Equal(*T) bool
}](newValue func() *T) Type {
	return Type{
		Struct: abi.Of[T](),
		New:    func() Value { return P(newValue()) },
		Clone:  func(x Value) Value { return P(x.(P).Clone()) },
		Equal:  func(x, y Value) bool { return x.(P).Equal(y.(P)) },
	}
}

// Pointer is the address of a value.
func Pointer(v Value) unsafe.Pointer { return reflect.ValueOf(v).UnsafePointer() }

// Filler gives values random content that a release can hold and that JSON can
// hold too: text is UTF-8, and what libxl's JSON leaves out stays unset.
type Filler struct {
	*rand.Rand
	Release abi.Release
	// MaxUint64 bounds numbers of 64 bits.
	MaxUint64 uint64
	// Leaves puts CPUID leaves in.
	Leaves bool
}

// NewFiller returns a filler with all values of the newest release.
func NewFiller(seed uint64) *Filler {
	return &Filler{rand.New(rand.NewPCG(seed, 1)), abi.Releases[len(abi.Releases)-1], 1<<64 - 1, true}
}

// Random returns a new value.
func (r *Filler) Random(t Type) Value {
	v := t.New()
	r.Fill(t.Struct, Pointer(v))
	return v
}

// Fill fills the struct at p, which has its defaults and keeps some.
func (r *Filler) Fill(s *abi.Struct, p unsafe.Pointer) {
	for i := range s.Fields {
		f := &s.Fields[i]
		if f.Go == "" || f.Since > r.Release || f.Const {
			continue
		}
		d := unsafe.Add(p, f.Off)
		switch {
		case f.Kind == abi.KindUnion:
			r.union(f.Union, p, d)
		case f.Kind == abi.KindArray:
			if n := r.IntN(4); n > 0 {
				first := f.Array.Make(d, n)
				for i := range n {
					r.value(&f.Array.Elem, unsafe.Add(first, i*int(f.Array.Size)))
				}
			}
		case f.Kind == abi.KindEnum || r.IntN(4) > 0:
			r.value(f, d)
		}
	}
}

func (r *Filler) union(u *abi.Union, p, d unsafe.Pointer) {
	i := r.IntN(len(u.Variants))
	v := u.Variants[i]
	if v.Since > r.Release {
		return
	}
	*(*int32)(unsafe.Add(p, u.KeyOff)) = v.Value
	if v.Struct != nil {
		r.Fill(v.Struct, u.Set(d, i))
	}
}

// number is often one from the end of the range.
func (r *Filler) number(f *abi.Field, most uint64) uint64 {
	n := r.Uint64()
	// Where releases differ in the default, old ones cannot hold all numbers.
	if len(f.Init) < 2 && (len(f.Init) == 0 || f.Init[0].Since <= f.Since) && r.IntN(3) == 0 {
		n = []uint64{0, 1, most, most - 1, most/2 + 1, most / 2}[r.IntN(6)]
	}
	if most != 1<<64-1 {
		n %= most + 1
	}
	return n
}

func (r *Filler) value(f *abi.Field, d unsafe.Pointer) {
	switch f.Kind {
	case abi.KindBool:
		*(*bool)(d) = r.IntN(2) == 1
	case abi.KindUint8:
		*(*uint8)(d) = uint8(r.number(f, 1<<8-1))
	case abi.KindUint16:
		*(*uint16)(d) = uint16(r.number(f, 1<<16-1))
	case abi.KindUint32:
		*(*uint32)(d) = uint32(r.number(f, 1<<32-1))
	case abi.KindUint64:
		*(*uint64)(d) = r.number(f, r.MaxUint64)
	case abi.KindInt:
		*(*int)(d) = int(int32(r.number(f, 1<<32-1)))
	case abi.KindDevid:
		*(*int32)(d) = int32(r.number(f, 1<<32-1))
	case abi.KindEnum:
		for {
			v := f.Enum.Values[r.IntN(len(f.Enum.Values))]
			if v.Since <= r.Release {
				*(*int32)(d) = v.Value
				return
			}
		}
	case abi.KindDefbool:
		*(*int8)(d) = int8(r.IntN(3) - 1)
	case abi.KindUUID, abi.KindGenID:
		r.bytes(unsafe.Slice((*byte)(d), 16))
	case abi.KindMAC:
		r.bytes(unsafe.Slice((*byte)(d), 6))
	case abi.KindHwcap:
		for i := range 4 { // as many as JSON has
			(*(*[8]uint32)(d))[i] = uint32(r.number(f, 1<<32-1))
		}
	case abi.KindString:
		*(*string)(d) = r.text()
	case abi.KindBitmap:
		b := libxl.NewBitmap(r.IntN(70))
		for i := range b.Len() {
			if r.IntN(2) == 1 && f.HasBit(i, r.Release) {
				b.Set(i)
			}
		}
		*(*libxl.Bitmap)(d) = b
	case abi.KindStringList:
		for range r.IntN(4) {
			*(*[]string)(d) = append(*(*[]string)(d), r.text())
		}
	case abi.KindKeyValueList:
		if n := r.IntN(4); n > 0 {
			m := map[string]string{}
			for range n {
				m[r.text()] = r.text()
			}
			*(*map[string]string)(d) = m
		}
	case abi.KindCpuidPolicy:
		if r.Leaves {
			*(*[]string)(d) = []string{
				fmt.Sprintf("%#x:ecx=%s", r.IntN(1<<16), "xxxxxxxxxxxxxxxx01ksxxxxxxxxxxxx"),
				"0x80000001,0x0:eax=00000000000000000000000000000000,edx=11111111111111111111111111111111",
			}[:r.IntN(3)]
		}
	case abi.KindStruct:
		r.Fill(f.Struct, d)
	default:
		panic(fmt.Sprintf("cannot fill kind %d", f.Kind))
	}
}

func (r *Filler) bytes(b []byte) {
	for i := range b {
		b[i] = byte(r.Uint32())
	}
}

// alphabet has everything that JSON escapes, and UTF-8 of all lengths.
var alphabet = []rune("abcXYZ019 /-_.,:=\"\\'<>&\b\f\n\r\t\x01\x1f\x7fäß€中\u2028😀")

func (r *Filler) text() string {
	text := make([]rune, r.IntN(12))
	for i := range text {
		text[i] = alphabet[r.IntN(len(alphabet))]
	}
	return string(text)
}
