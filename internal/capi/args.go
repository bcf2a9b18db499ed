package capi

import (
	"encoding/binary"
	"slices"
	"unsafe"

	"github.com/go-xenlight/xenlight/internal/abi"
)

// Text is a string in C memory.
type Text struct {
	lib *Lib
	p   unsafe.Pointer
}

// NewText copies a string, which may be any bytes, and puts a NUL behind it.
func NewText(l *Lib, s string) (Text, error) {
	p, err := l.CString(s)
	return Text{l, p}, err
}

// Ptr is the address to give to libxl.
func (t Text) Ptr() unsafe.Pointer { return t.p }

// Free frees the string, once.
func (t Text) Free() { t.lib.Free(t.p) }

// TextIn copies a string that remains libxl's and has no NUL if it fills its
// buffer of n bytes.
func TextIn(p unsafe.Pointer, n int) string { return abi.GoStringN(p, n) }

// TakeBytes copies and frees bytes that libxl has given away.
func (l *Lib) TakeBytes(p unsafe.Pointer, n int32) []byte {
	if p == nil {
		return nil
	}
	b := slices.Clone(unsafe.Slice((*byte)(p), max(n, 0)))
	l.Free(p)
	return b
}

// Slot is a C variable for a string that libxl gives away.
type Slot struct {
	lib *Lib
	p   *unsafe.Pointer
}

// NewSlot makes a variable that is NULL.
func NewSlot(l *Lib) (Slot, error) {
	p, err := l.Alloc(unsafe.Sizeof(uintptr(0)))
	return Slot{l, (*unsafe.Pointer)(p)}, err
}

// Addr is the address to give to libxl.
func (s Slot) Addr() *unsafe.Pointer { return s.p }

// Take copies and frees the string.
func (s Slot) Take() string {
	text := s.lib.TakeString(*s.p)
	*s.p = nil
	return text
}

// Free frees the variable, and the string if nobody has taken it, once.
func (s Slot) Free() {
	s.lib.Free(*s.p)
	s.lib.Free(unsafe.Pointer(s.p))
}

// Bitmap is a libxl_bitmap in C memory. libxl may give it other bits.
type Bitmap struct {
	lib *Lib
	p   *cBitmap
}

type cBitmap struct {
	size uint32
	bits uintptr
}

// NewBitmap makes a bitmap that has room for just the given bits, which may be
// none.
func NewBitmap(l *Lib, bits []byte) (Bitmap, error) {
	p, err := l.Alloc(unsafe.Sizeof(cBitmap{}))
	if err != nil {
		return Bitmap{}, err
	}
	b := Bitmap{l, (*cBitmap)(p)}
	if len(bits) == 0 {
		return b, nil
	}
	data, err := l.Alloc(uintptr(len(bits)))
	if err != nil {
		l.Free(p)
		return Bitmap{}, err
	}
	copy(unsafe.Slice((*byte)(data), len(bits)), bits)
	*b.p = cBitmap{uint32(len(bits)), uintptr(data)}
	return b, nil
}

// Ptr is the address to give to libxl.
func (b Bitmap) Ptr() unsafe.Pointer { return unsafe.Pointer(b.p) }

// Words is the bitmap as it is passed by value.
func (b Bitmap) Words() [2]uintptr {
	if b.p == nil {
		return [2]uintptr{}
	}
	return [2]uintptr{uintptr(b.p.size), b.p.bits}
}

// Get copies the bits.
func (b Bitmap) Get() ([]byte, error) { return abi.LoadBitmap(unsafe.Pointer(b.p)) }

// Free frees the bitmap, once.
func (b Bitmap) Free() {
	if b.p == nil {
		return
	}
	b.lib.Free(ptr(b.p.bits))
	b.lib.Free(unsafe.Pointer(b.p))
}

// UUIDWords is a UUID as it is passed by value.
func UUIDWords(u [16]byte) [2]uintptr {
	return [2]uintptr{uintptr(binary.NativeEndian.Uint64(u[:8])), uintptr(binary.NativeEndian.Uint64(u[8:]))}
}

// Block is memory for something that is no struct of the IDL.
type Block struct {
	lib  *Lib
	p    unsafe.Pointer
	size int
}

// NewBlock copies bytes to memory of their size.
func NewBlock(l *Lib, data []byte) (Block, error) {
	p, err := l.Alloc(uintptr(max(len(data), 1)))
	if err != nil {
		return Block{}, err
	}
	copy(unsafe.Slice((*byte)(p), len(data)), data)
	return Block{l, p, len(data)}, nil
}

// Ptr is the address to give to libxl.
func (b Block) Ptr() unsafe.Pointer { return b.p }

// Bytes are the bytes as they are now, until Free.
func (b Block) Bytes() []byte { return unsafe.Slice((*byte)(b.p), b.size) }

// Free frees the block, once.
func (b Block) Free() { b.lib.Free(b.p) }

// SetKeys sets the key of the keyed union in each of n structs that libxl has
// filled without it.
func SetKeys[T any](l *Lib, p unsafe.Pointer, n int, key int32) {
	t := abi.Of[T]()
	layout := l.Codec.Layout(t)
	for i := range t.Fields {
		if t.Fields[i].Kind != abi.KindUnion {
			continue
		}
		for j := range n {
			*(*int32)(unsafe.Add(p, uintptr(j)*uintptr(layout.Size)+uintptr(layout.Members[i].Aux))) = key
		}
	}
}
