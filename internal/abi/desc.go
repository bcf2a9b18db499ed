// Package abi knows how libxl's types lie in C memory: for each release and
// architecture it computes the layout of every struct, and it copies values of
// package libxl to C memory and back.
//
// The types are described by tables (tables_gen.go) which xlidl generates from
// the merged IDL; one interpreter walks them in both directions.
package abi

import (
	"fmt"
	"slices"
	"unsafe"
)

// Release is a Xen release, 4.17 being R(4, 17).
type Release uint16

// R makes a Release of its two numbers.
func R(major, minor int) Release { return Release(major<<8 | minor) }

// Major is the first number of the release.
func (r Release) Major() int { return int(r >> 8) }

// Minor is the second number of the release.
func (r Release) Minor() int { return int(r & 0xff) }

func (r Release) String() string { return fmt.Sprintf("%d.%d", r.Major(), r.Minor()) }

// Kind says how a member is represented in C and in Go.
type Kind uint8

// The kinds of members. The comment gives the C and the Go representation.
const (
	KindInvalid      Kind = iota
	KindBool              // bool, bool
	KindInt               // int, int
	KindUint8             // uint8_t, byte
	KindUint16            // uint16_t, uint16
	KindUint32            // uint32_t, uint32 (also domid)
	KindUint64            // uint64_t, uint64 (also MemKB, ev_user)
	KindDevid             // int, int32
	KindEnum              // enum, int32
	KindDefbool           // int, libxl.Defbool (int8)
	KindUUID              // uint8_t[16], [16]byte
	KindMAC               // uint8_t[6], [6]byte
	KindHwcap             // uint32_t[8], [8]uint32
	KindGenID             // uint8_t[16], [16]byte
	KindString            // char *, string
	KindBitmap            // {uint32_t size; uint8_t *map}, libxl.Bitmap (struct of one []byte)
	KindStringList        // char **, []string
	KindKeyValueList      // char **, map[string]string
	KindCpuidPolicy       // opaque pointer, []string
	KindEvLink            // two pointers, absent in Go
	KindStruct            // struct by value, struct by value
	KindArray             // int length and T *, []T
	KindUnion             // enum key and union, key field and sealed interface
)

// Struct describes one struct of the IDL, named or anonymous.
type Struct struct {
	ID     int    // index in Structs
	Name   string // C name without libxl_; for anonymous ones parent's and member's name joined with dots
	Go     string // Go type name
	Since  Release
	Size   uintptr // size of the Go type
	Named  bool    // has a C type name of its own, hence _init and _dispose
	Fields []Field
}

// Field describes one member of a struct. An array's length and a union's key
// belong to the array's or the union's Field: they precede it in C.
type Field struct {
	Name   string // C name
	Go     string // Go name
	Since  Release
	Off    uintptr // offset in the Go struct
	Kind   Kind
	Enum   *Enum     // KindEnum, and KindBitmap where bits are values of one
	Struct *Struct   // KindStruct
	Array  *Array    // KindArray
	Union  *Union    // KindUnion
	Init   []Default // numbers and enumerations: the default, where it is not 0
	Const  bool      // a string that libxl's dispose functions do not free
}

// Default is the value that libxl's _init gives since a release.
type Default struct {
	Since Release
	Value uint64 // sign-extended
}

// Enum describes an enumeration.
type Enum struct {
	Name   string // C name without libxl_
	Go     string
	Since  Release
	Values []EnumValue
}

// EnumValue is one value of an enumeration.
type EnumValue struct {
	Name  string // as libxl's to_string gives it
	Value int32
	Since Release
}

// Array describes an array member.
type Array struct {
	Len  string  // C name of the length member
	Elem Field   // kind of the elements; Name, Go and Off are unset
	Size uintptr // size of a Go element
	// Make stores a new Go slice of n elements at the slice that p points to and
	// returns the address of its first element.
	Make func(p unsafe.Pointer, n int) unsafe.Pointer
}

// Union describes a keyed union. Its Field's Off is the offset of the Go
// interface value.
type Union struct {
	Key      string  // C name of the key
	KeyGo    string  // Go name of the key
	KeyOff   uintptr // offset of the Go key field
	KeyEnum  *Enum
	KeyInit  int32 // the key's default
	Variants []Variant
	// Get returns which variant the Go interface at p holds and the address of
	// its struct: -1 for a nil interface, and a nil address for a nil pointer.
	Get func(p unsafe.Pointer) (int, unsafe.Pointer)
	// Set stores a new value of a variant in the Go interface at p and returns the
	// address of its struct; nil for a variant without struct, and for -1.
	Set func(p unsafe.Pointer, variant int) unsafe.Pointer
}

// Variant is one member of a keyed union.
type Variant struct {
	Name   string // C name of the member
	Go     string // Go type name
	Value  int32  // of the key
	Since  Release
	Struct *Struct // nil for a member without data
}

// makeSlice is the Make of an array of T.
func makeSlice[T any](p unsafe.Pointer, n int) unsafe.Pointer {
	var s []T
	if n > 0 {
		s = make([]T, n)
	}
	*(*[]T)(p) = s
	return unsafe.Pointer(unsafe.SliceData(s))
}

// HasBit reports whether a bit of a bitmap means something to a release.
func (f *Field) HasBit(bit int, r Release) bool {
	return f.Enum == nil || slices.ContainsFunc(f.Enum.Values, func(v EnumValue) bool { return int(v.Value) == bit && v.Since <= r })
}
