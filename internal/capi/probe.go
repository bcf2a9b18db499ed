package capi

import (
	"fmt"
	"unsafe"

	"github.com/go-xenlight/xenlight/internal/abi"
)

// probe compares the size of every struct with what the library takes it to be.
// A library that disagrees, as one with a vendor's changes may, would corrupt
// memory. It paints memory, lets the library's _init clear the struct, and looks
// how far that went.
func (l *Lib) probe(codec *abi.Codec) error {
	const paint, beyond = 0xa5, 4096
	for _, s := range abi.Structs {
		if !s.Named || s.Since > codec.Release() || s.Since > l.Release {
			continue
		}
		want := int(codec.Layout(s).Size)
		p, err := l.Alloc(uintptr(want + beyond))
		if err != nil {
			return err
		}
		b := unsafe.Slice((*byte)(p), want+beyond)
		for i := range b {
			b[i] = paint
		}
		// It begins with clearing all of the struct, and no default of a last member
		// looks like paint.
		l.Init(s, p)
		got := len(b)
		for got > 0 && b[got-1] == paint {
			got--
		}
		l.Free(p)
		if got != want {
			return fmt.Errorf("%w: %s says that it is of Xen %s, but its libxl_%s has %d bytes and not %d:"+
				" it was built from changed sources", ErrNoLibrary, l.Path, codec.Release(), s.Name, got, want)
		}
	}
	return nil
}
