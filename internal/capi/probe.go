package capi

import (
	"bytes"
	"fmt"
	"unsafe"

	"github.com/ebitengine/purego"

	"github.com/go-xenlight/xenlight/internal/abi"
)

// probeBeyond is how far beyond a struct the probe looks.
const probeBeyond = 4096

// template is what libxl's _init functions write for a struct. It is the same
// every time and holds no pointers, so that copying it is as good as the call.
type template struct {
	defaults []byte
	arms     []unionArm
}

// unionArm is what libxl's _init for one key of a union leaves in the union.
type unionArm struct {
	key      int32
	defaults []byte
}

// probe compares the size of every struct with what the library takes it to be.
// A library that disagrees, as one with a vendor's changes may, would corrupt
// memory. It paints memory, lets the library's _init clear the struct and write
// the defaults, and looks how far that went. What was written are the templates.
func (l *Lib) probe(codec *abi.Codec) ([]template, error) {
	largest := uint32(0)
	for _, s := range abi.Structs {
		largest = max(largest, codec.Layout(s).Size)
	}
	p, err := l.Alloc(uintptr(largest) + probeBeyond)
	if err != nil {
		return nil, err
	}
	defer l.Free(p)
	templates := make([]template, len(abi.Structs))
	for _, s := range abi.Structs {
		if !s.Named || s.Since > codec.Release() || s.Since > l.Release {
			continue
		}
		if templates[s.ID], err = l.probeStruct(codec, s, p); err != nil {
			return nil, err
		}
	}
	return templates, nil
}

func (l *Lib) probeStruct(codec *abi.Codec, s *abi.Struct, p unsafe.Pointer) (t template, err error) {
	layout := codec.Layout(s)
	want := int(layout.Size)
	// A default may look like one paint, not like both.
	light, n := l.initPainted(s, p, want, lightPaint)
	dark, got := l.initPainted(s, p, want, darkPaint)
	if got = max(n, got); got != want {
		return t, l.unlike(codec, fmt.Sprintf("libxl_%s has %d bytes and not %d", s.Name, got, want))
	}
	if t.defaults = dark; !bytes.Equal(light, dark) {
		return t, l.unlike(codec, fmt.Sprintf("not all of libxl_%s is initialised", s.Name))
	}
	for i := range s.Fields {
		if u := s.Fields[i].Union; u != nil && l.structs[s.ID].initUnion != 0 {
			t.arms = l.unionArms(s, u, &layout.Members[i], p)
		}
	}
	return t, nil
}

// unlike is the error of a library that differs from what is known of its release,
// or of the newest for one that is newer.
func (l *Lib) unlike(codec *abi.Codec, how string) error {
	return fmt.Errorf("%w: %s is not Xen %s as it was released: %s; known are %s to %s: install the library of one of these,"+
		" name its file with an option or in XENLIGHT_LIBRARY, or build the program with a version of xenlight that knows"+
		" this one", ErrNoLibrary, l.Path, codec.Release(), how, abi.Releases[0], newest())
}

// What the probe paints memory with, a stretch at a time.
var (
	lightPaint = bytes.Repeat([]byte{0x5a}, 512)
	darkPaint  = bytes.Repeat([]byte{0xa5}, 512)
)

// initPainted paints memory for a struct and what is beyond it and calls _init.
// It returns a copy of the struct, and where the paint begins that reaches to
// the end.
func (l *Lib) initPainted(s *abi.Struct, p unsafe.Pointer, size int, paint []byte) (defaults []byte, n int) {
	b := unsafe.Slice((*byte)(p), size+probeBeyond)
	for rest := b; len(rest) > 0; {
		rest = rest[copy(rest, paint):]
	}
	l.init(s, p)
	n = len(b)
	for n >= len(paint) && bytes.Equal(b[n-len(paint):n], paint) {
		n -= len(paint)
	}
	for n > 0 && b[n-1] == paint[0] {
		n--
	}
	return bytes.Clone(b[:size]), n
}

// unionArms asks the library for the defaults of each member of a union.
func (l *Lib) unionArms(s *abi.Struct, u *abi.Union, m *abi.Member, p unsafe.Pointer) (arms []unionArm) {
	for _, v := range u.Variants {
		if v.Since > l.Release || v.Value == u.KeyInit {
			continue
		}
		l.init(s, p)
		purego.SyscallN(l.structs[s.ID].initUnion, uintptr(p), uintptr(v.Value))
		arms = append(arms, unionArm{v.Value, bytes.Clone(unsafe.Slice((*byte)(unsafe.Add(p, m.Off)), m.Size))})
	}
	return arms
}

func (l *Lib) init(s *abi.Struct, p unsafe.Pointer) {
	purego.SyscallN(l.structs[s.ID].init, uintptr(p))
}
