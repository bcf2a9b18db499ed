package abi_test

import (
	"strings"
	"testing"
	"unsafe"

	"github.com/go-xenlight/xenlight/internal/abi"
	"github.com/go-xenlight/xenlight/internal/abi/abitest"
)

// hostile are lengths that no array or bitmap of libxl's has: with nothing there,
// or so long that there cannot be as much.
var hostile = []struct {
	n     uint32
	there bool
}{{1, false}, {1 << 30, false}, {1 << 30, true}, {1<<31 - 1, true}, {1 << 31, false}, {1 << 31, true}, {1<<32 - 1, false}, {1<<32 - 1, true}}

// TestHostileLengthsAreErrors gives every array and every bitmap of libxl's a
// length that must not be believed, in every release.
func TestHostileLengthsAreErrors(t *testing.T) {
	members := 0
	for _, release := range abi.Releases {
		c, err := abi.NewCodec(release, abi.AMD64)
		if err != nil {
			t.Fatal(err)
		}
		for _, typ := range abitest.Types {
			if typ.Since > release {
				continue
			}
			layout := c.Layout(typ.Struct)
			for i := range typ.Fields {
				f, m := &typ.Fields[i], &layout.Members[i]
				if f.Since > release || f.Kind != abi.KindArray && f.Kind != abi.KindBitmap {
					continue
				}
				members++
				believesNothing(t, c, typ, f, m)
			}
		}
		for _, h := range hostile {
			if err := c.CheckLength(abi.Dominfo, int(int32(h.n)), nil); err == nil {
				t.Errorf("a list of %d dominfo at NULL on %s is taken", int32(h.n), release)
			}
		}
	}
	t.Logf("%d arrays and bitmaps", members)
	if members < 300 {
		t.Error("that is too few: the test has become blind")
	}
}

// believesNothing decodes a struct of zeros but for one array or bitmap.
func believesNothing(t *testing.T, c *abi.Codec, typ abitest.Type, f *abi.Field, m *abi.Member) {
	t.Helper()
	length, pointer := m.Aux, m.Off
	if f.Kind == abi.KindBitmap {
		length, pointer = m.Off, m.Off+8
	}
	for _, h := range hostile {
		memory := make([]uint64, c.Layout(typ.Struct).Size/8+1)
		p := unsafe.Pointer(&memory[0])
		*(*uint32)(unsafe.Add(p, length)) = h.n
		if h.there {
			*(*unsafe.Pointer)(unsafe.Add(p, pointer)) = p
		}
		err := c.Decode(typ.Struct, abitest.Pointer(typ.New()), p)
		if err == nil || !strings.HasPrefix(err.Error(), f.Go+": libxl gave ") {
			t.Errorf("%s.%s on %s, %d elements, something there: %t: %v", typ.Go, f.Go, c.Release(), int32(h.n), h.there, err)
		}
	}
}
