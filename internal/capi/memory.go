package capi

import (
	"errors"
	"fmt"
	"strings"
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

// block is a struct of libxl's in C memory, and abi.Memory for what it owns.
type block struct {
	lib  *Lib
	typ  *abi.Struct
	p    unsafe.Pointer
	late *[]lateString    // while encoding
	kept []unsafe.Pointer // strings in it that are ours to free
	// What the benchmarks report: how many C functions were called for this block,
	// and how often C was entered for that.
	calls, crossings int
}

func (b *block) run(calls []call) {
	b.calls += len(calls)
	b.crossings++
	run(calls)
}

// Alloc is part of abi.Memory.
func (b *block) Alloc(size uintptr) (unsafe.Pointer, error) {
	calls := [1]call{{fn: b.lib.malloc, arg: max(size, 1)}}
	b.run(calls[:])
	if calls[0].result == 0 {
		return nil, ErrNoMemory
	}
	return ptr(calls[0].result), nil
}

// Init is part of abi.Memory. The defaults are libxl's own: what its _init wrote
// when the library was loaded.
func (b *block) Init(s *abi.Struct, p unsafe.Pointer) {
	t := b.lib.templates[s.ID].defaults
	copy(unsafe.Slice((*byte)(p), len(t)), t)
}

// InitUnion is part of abi.Memory.
func (b *block) InitUnion(s *abi.Struct, i int, p unsafe.Pointer, key int32) {
	m := &b.lib.Codec.Layout(s).Members[i]
	*(*int32)(unsafe.Add(p, m.Aux)) = key
	for _, arm := range b.lib.templates[s.ID].arms {
		if arm.key == key {
			copy(unsafe.Slice((*byte)(unsafe.Add(p, m.Off)), m.Size), arm.defaults)
		}
	}
}

// CPUID is part of abi.Memory.
func (b *block) CPUID(p unsafe.Pointer, policy string) error {
	b.calls, b.crossings = b.calls+3, b.crossings+3
	s, err := b.lib.CString(policy)
	if err != nil {
		return err
	}
	defer b.lib.Free(s)
	parse := b.lib.CpuidParseConfig
	if strings.Contains(policy, ":") {
		parse = b.lib.CpuidParseConfigXend
	}
	if rc := parse(p, s); rc != 0 {
		return fmt.Errorf("libxl does not understand %q (code %d)", policy, rc)
	}
	return nil
}

// Value is a struct of libxl's in C memory.
type Value[T any] struct{ b *block }

// New makes a struct with libxl's defaults, for libxl to fill.
func New[T any](l *Lib) (Value[T], error) {
	b, err := l.newBlock(abi.Of[T]())
	return Value[T]{b}, err
}

func (l *Lib) newBlock(t *abi.Struct) (*block, error) {
	if t.Since > l.Release {
		return nil, fmt.Errorf("%s needs Xen %s, this is %s: %w", t.Go, t.Since, l.Release, abi.ErrUnsupported)
	}
	b := &block{lib: l, typ: t}
	var err error
	if b.p, err = b.Alloc(uintptr(l.Codec.Layout(t).Size)); err != nil {
		return nil, err
	}
	b.Init(t, b.p)
	return b, nil
}

// Encode makes a struct that says what x says. What cannot be said to this
// release is refused before C is entered.
func Encode[T any](l *Lib, x *T) (Value[T], error) {
	b, err := l.encode(abi.Of[T](), unsafe.Pointer(x))
	return Value[T]{b}, err
}

func (l *Lib) encode(t *abi.Struct, x unsafe.Pointer) (*block, error) {
	if x == nil {
		return nil, &abi.FieldError{Problem: "nil *" + t.Go}
	}
	if err := l.Codec.Check(t, x); err != nil {
		return nil, err
	}
	b, err := l.newBlock(t)
	if err != nil {
		return nil, err
	}
	b.late = latePool.Get().(*[]lateString)
	if err = l.Codec.Encode(b, t, b.p, x); err == nil {
		err = b.storeStrings()
	}
	clear(*b.late)
	*b.late = (*b.late)[:0]
	latePool.Put(b.late)
	b.late = nil
	if err != nil {
		b.dispose()
		return nil, err
	}
	return b, nil
}

// Ptr is the address to give to libxl.
func (v Value[T]) Ptr() unsafe.Pointer { return v.b.p }

// Get copies the struct to x.
func (v Value[T]) Get(x *T) error { return v.b.get(unsafe.Pointer(x)) }

// Free disposes of the struct. Freeing it again, or what New or Encode has
// refused to make, does nothing.
func (v Value[T]) Free() { v.b.dispose() }

func (b *block) get(x unsafe.Pointer) error { return b.lib.Codec.Decode(b.typ, x, b.p) }

func (b *block) dispose() {
	if b == nil || b.p == nil {
		return
	}
	var some [batchSize]call
	calls := some[:0]
	if f := b.lib.structs[b.typ.ID].dispose; f != 0 {
		calls = append(calls, call{fn: f, arg: uintptr(b.p)})
	}
	calls = append(calls, call{fn: b.lib.free, arg: uintptr(b.p)})
	for _, p := range b.kept {
		calls = append(calls, call{fn: b.lib.free, arg: uintptr(p)})
	}
	b.run(calls)
	b.p, b.kept = nil, nil
}

// Decode copies a struct that libxl owns to x.
func Decode[T any](l *Lib, p unsafe.Pointer, x *T) error {
	return l.Codec.Decode(abi.Of[T](), unsafe.Pointer(x), p)
}

// DecodeList copies an array of n structs that libxl owns.
func DecodeList[T any](l *Lib, p unsafe.Pointer, n int) ([]T, error) {
	t := abi.Of[T]()
	if err := l.Codec.CheckLength(t, n, p); err != nil {
		return nil, err
	}
	size := int(l.Codec.Layout(t).Size)
	list := make([]T, n)
	for i := range list {
		if err := l.Codec.Decode(t, unsafe.Pointer(&list[i]), unsafe.Add(p, i*size)); err != nil {
			return nil, fmt.Errorf("[%d].%w", i, err)
		}
	}
	return list, nil
}

// ListFree returns a function that frees an array of structs for which libxl has
// none: it disposes of each and frees the array.
func ListFree[T any](l *Lib) func(p unsafe.Pointer, n int32) {
	t := abi.Of[T]()
	return func(p unsafe.Pointer, n int32) {
		size, dispose := uintptr(l.Codec.Layout(t).Size), l.structs[t.ID].dispose
		for i := range uintptr(max(n, 0)) {
			if dispose != 0 {
				purego.SyscallN(dispose, uintptr(p)+i*size)
			}
		}
		l.Free(p)
	}
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
