package capi

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/ebitengine/purego"

	"github.com/go-xenlight/xenlight/internal/abi"
)

// ErrNoMemory says that libc has no memory left.
var ErrNoMemory = errors.New("out of C memory")

// Alloc returns zeroed memory of libc's, to be given back with Free.
func (l *Lib) Alloc(size uintptr) (unsafe.Pointer, error) {
	r, _, _ := purego.SyscallN(l.calloc, 1, size)
	if r == 0 {
		return nil, ErrNoMemory
	}
	return ptr(r), nil
}

// Free gives memory back to libc; p may be nil.
func (l *Lib) Free(p unsafe.Pointer) {
	if p != nil {
		purego.SyscallN(l.free, uintptr(p))
	}
}

// Init is part of abi.Memory.
func (l *Lib) Init(s *abi.Struct, p unsafe.Pointer) {
	purego.SyscallN(l.structs[s.ID].init, uintptr(p))
}

// InitUnion is part of abi.Memory.
func (l *Lib) InitUnion(s *abi.Struct, _ int, p unsafe.Pointer, key int32) {
	purego.SyscallN(l.structs[s.ID].initUnion, uintptr(p), uintptr(key))
}

// CPUID is part of abi.Memory.
func (l *Lib) CPUID(p unsafe.Pointer, policy string) error {
	s, err := l.CString(policy)
	if err != nil {
		return err
	}
	defer l.Free(s)
	r, _, _ := purego.SyscallN(l.cpuidParse, uintptr(p), uintptr(s))
	if int32(r) != 0 {
		return fmt.Errorf("libxl does not understand %q (code %d)", policy, int32(r))
	}
	return nil
}

func (l *Lib) dispose(s *abi.Struct, p unsafe.Pointer) {
	if f := l.structs[s.ID].dispose; f != 0 {
		purego.SyscallN(f, uintptr(p))
	}
}

// CString copies a string without NUL to memory of libc's.
func (l *Lib) CString(s string) (unsafe.Pointer, error) {
	p, err := l.Alloc(uintptr(len(s)) + 1)
	if err != nil {
		return nil, err
	}
	copy(unsafe.Slice((*byte)(p), len(s)), s)
	return p, nil
}

// TakeString copies a string that libxl has given away, and frees it.
func (l *Lib) TakeString(p unsafe.Pointer) string {
	s := abi.GoString(p)
	l.Free(p)
	return s
}

// memory is abi.Memory for one struct.
type memory struct {
	*Lib
	kept []unsafe.Pointer
}

func (m *memory) Keep(p unsafe.Pointer) { m.kept = append(m.kept, p) }

// Value is a struct of libxl's in C memory.
type Value[T any] struct {
	lib  *Lib
	typ  *abi.Struct
	p    unsafe.Pointer
	kept []unsafe.Pointer // strings in it that are ours to free
}

// New makes a struct with libxl's defaults, for libxl to fill.
func New[T any](l *Lib) (Value[T], error) {
	t := abi.Of[T]()
	if t.Since > l.Release {
		return Value[T]{}, fmt.Errorf("%s needs Xen %s, this is %s: %w", t.Go, t.Since, l.Release, abi.ErrUnsupported)
	}
	p, err := l.Alloc(uintptr(l.Codec.Layout(t).Size))
	if err != nil {
		return Value[T]{}, err
	}
	l.Init(t, p)
	return Value[T]{lib: l, typ: t, p: p}, nil
}

// Encode makes a struct that says what x says. What cannot be said to this
// release is refused before C is entered.
func Encode[T any](l *Lib, x *T) (Value[T], error) {
	t := abi.Of[T]()
	if x == nil {
		return Value[T]{}, &abi.FieldError{Problem: "nil *" + t.Go}
	}
	if err := l.Codec.Check(t, unsafe.Pointer(x)); err != nil {
		return Value[T]{}, err
	}
	v, err := New[T](l)
	if err != nil {
		return v, err
	}
	mem := memory{Lib: l}
	err = l.Codec.Encode(&mem, t, v.p, unsafe.Pointer(x))
	v.kept = mem.kept
	if err != nil {
		v.Free()
		return Value[T]{}, err
	}
	return v, nil
}

// Ptr is the address to give to libxl.
func (v Value[T]) Ptr() unsafe.Pointer { return v.p }

// Get copies the struct to x.
func (v Value[T]) Get(x *T) error { return v.lib.Codec.Decode(v.typ, unsafe.Pointer(x), v.p) }

// Free disposes of the struct, once.
func (v Value[T]) Free() {
	if v.p != nil {
		v.lib.dispose(v.typ, v.p)
		v.lib.Free(v.p)
		for _, p := range v.kept {
			v.lib.Free(p)
		}
	}
}

// Decode copies a struct that libxl owns to x.
func Decode[T any](l *Lib, p unsafe.Pointer, x *T) error {
	return l.Codec.Decode(abi.Of[T](), unsafe.Pointer(x), p)
}

// DecodeList copies an array of n structs that libxl owns.
func DecodeList[T any](l *Lib, p unsafe.Pointer, n int) ([]T, error) {
	size := int(l.Codec.Layout(abi.Of[T]()).Size)
	list := make([]T, n)
	for i := range list {
		if err := Decode(l, unsafe.Add(p, i*size), &list[i]); err != nil {
			return nil, fmt.Errorf("[%d].%w", i, err)
		}
	}
	return list, nil
}

// Word is a C variable of 32 bits that outlives the call that it is given to.
type Word struct {
	lib *Lib
	p   unsafe.Pointer
}

// NewWord makes a variable.
func NewWord(l *Lib, v uint32) (Word, error) {
	p, err := l.Alloc(4)
	if err != nil {
		return Word{}, err
	}
	*(*uint32)(p) = v
	return Word{l, p}, nil
}

// Addr is the address to give to libxl.
func (w Word) Addr() *uint32 { return (*uint32)(w.p) }

// Get reads the variable.
func (w Word) Get() uint32 { return *(*uint32)(w.p) }

// Free frees the variable, once.
func (w Word) Free() { w.lib.Free(w.p) }
