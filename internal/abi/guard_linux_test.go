package abi

import (
	"math/rand/v2"
	"os"
	"reflect"
	"runtime/debug"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// guardMemory hands out exact blocks that end where a page begins which nobody
// may touch.
type guardMemory struct {
	goMemory
	maps [][]byte
}

func (m *guardMemory) Alloc(size uintptr) (unsafe.Pointer, error) {
	page := uintptr(os.Getpagesize())
	n := (size + page - 1) / page * page
	b, err := unix.Mmap(-1, 0, int(n+page), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, err
	}
	m.maps = append(m.maps, b)
	if err := unix.Mprotect(b[n:], unix.PROT_NONE); err != nil {
		return nil, err
	}
	for i := range b[:n] {
		b[i] = 0xa5
	}
	return unsafe.Add(unsafe.Pointer(unsafe.SliceData(b)), n-size), nil
}

func (m *guardMemory) free(t testing.TB) {
	for _, b := range m.maps {
		if err := unix.Munmap(b); err != nil {
			t.Error(err)
		}
	}
	m.maps = nil
}

func TestNothingIsReadOrWrittenBeyondItsEnd(t *testing.T) {
	blocks, structs := 0, 0
	for _, release := range Releases {
		c := codec(t, release)
		for s, newValue := range goValues {
			if s.Since > release {
				continue
			}
			// The order is random, the number of blocks must not be.
			r := &filler{rand.New(rand.NewPCG(uint64(s.ID), uint64(release))), release}
			structs++
			for range 3 {
				want := newValue()
				r.fill(s, want.UnsafePointer())
				m := &guardMemory{goMemory: goMemory{codec: c, left: -1}}
				if err := c.Check(s, want.UnsafePointer()); err != nil {
					t.Fatal(err)
				}
				p, err := m.Alloc(uintptr(c.Layout(s).Size))
				if err != nil {
					t.Fatal(err)
				}
				m.Init(s, p)
				if err := c.Encode(m, s, p, want.UnsafePointer()); err != nil {
					t.Fatalf("%s on %s: %v", s.Go, release, err)
				}
				got := newValue()
				if err := c.Decode(s, got.UnsafePointer(), p); err != nil {
					t.Fatalf("%s on %s: %v", s.Go, release, err)
				}
				if !reflect.DeepEqual(got.Interface(), want.Interface()) {
					t.Errorf("%s on %s:%s", s.Go, release, difference(got.Elem(), want.Elem()))
				}
				blocks += len(m.maps)
				m.free(t)
			}
		}
	}
	t.Logf("%d structs of all releases, %d blocks", structs, blocks)
	if structs < 200 || blocks < 2000 {
		t.Error("that is too few: the test has become blind")
	}
}

func TestAGuardCatchesOneByteTooMany(t *testing.T) {
	m := &guardMemory{}
	defer m.free(t)
	p, err := m.Alloc(24)
	if err != nil {
		t.Fatal(err)
	}
	if !faults(func() { *(*byte)(unsafe.Add(p, 24)) = 1 }) {
		t.Error("it does not")
	}
}

func TestZerosFollowAShortBitmap(t *testing.T) {
	m := &guardMemory{}
	defer m.free(t)
	var d struct {
		size uint32
		bits *[bitmapRoom]byte
	}
	if err := storeBitmap(m, unsafe.Pointer(&d), []byte{0x81}); err != nil {
		t.Fatal(err)
	}
	if d.size != 1 || *d.bits != [bitmapRoom]byte{0x81} {
		t.Errorf("%d bytes, %x", d.size, *d.bits)
	}
}

func TestAStringThatFillsItsBufferNeedsNoEnd(t *testing.T) {
	m := &guardMemory{}
	defer m.free(t)
	p, err := m.Alloc(4)
	if err != nil {
		t.Fatal(err)
	}
	copy(unsafe.Slice((*byte)(p), 4), "full")
	if got := GoStringN(p, 4); got != "full" {
		t.Errorf("got %q", got)
	}
	if !faults(func() { GoString(p) }) {
		t.Error("the guard is not where the buffer ends")
	}
	copy(unsafe.Slice((*byte)(p), 4), "a\x00bc")
	if got := GoStringN(p, 4) + GoStringN(nil, 4); got != "a" {
		t.Errorf("got %q", got)
	}
}

// faults reports whether f touches what it may not.
func faults(f func()) (yes bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() { yes = recover() != nil }()
	f()
	return false
}

// FuzzDecode decodes memory of any content, but for its pointers: those are NULL
// or lead to zeroed memory, and lengths that would lead beyond it are left only
// where they are too large to be believed.
func FuzzDecode(f *testing.F) {
	f.Add(uint16(0), uint16(0), []byte{})
	f.Add(uint16(3), uint16(8), []byte{0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4})
	f.Add(uint16(44), uint16(5), []byte("\x7f\xff\xff\xff\x00\x00\x00\x01"))
	var types []*Struct
	for _, s := range Structs {
		if goValues[s] != nil {
			types = append(types, s)
		}
	}
	codecs := make([]*Codec, len(Releases))
	for i, r := range Releases {
		codecs[i] = codec(f, r)
	}
	pool := make([]uint64, 64<<10/8)
	f.Fuzz(func(t *testing.T, typ, release uint16, content []byte) {
		s, c := types[int(typ)%len(types)], codecs[int(release)%len(codecs)]
		if s.Since > c.release {
			return
		}
		m := &guardMemory{goMemory: goMemory{codec: c, left: -1}}
		defer m.free(t)
		p, err := m.Alloc(uintptr(c.Layout(s).Size))
		if err != nil {
			t.Fatal(err)
		}
		b := unsafe.Slice((*byte)(p), c.Layout(s).Size)
		for i := range b {
			b[i] = 0
			if len(content) > 0 {
				b[i] = content[i%len(content)]
			}
		}
		tame(c, c.plans[s.ID].decode, p, unsafe.Pointer(&pool[0]))
		v := goValues[s]().UnsafePointer()
		if c.Decode(s, v, p) != nil || c.Check(s, v) != nil {
			return
		}
		encode(t, c, &m.goMemory, s, v)
	})
}

// tame gives the pointers of a struct with hostile content targets.
func tame(c *Codec, steps []step, p, pool unsafe.Pointer) {
	target := func(d unsafe.Pointer) {
		if *(*byte)(d)&1 == 0 {
			storePointer(d, nil)
			return
		}
		storePointer(d, pool)
	}
	length := func(d unsafe.Pointer) {
		if n := *(*int32)(d); n > 32 && n <= maxBytes {
			*(*int32)(d) = n % 33
		}
	}
	for i := range steps {
		st := &steps[i]
		if st.kind == kindLater {
			continue
		}
		d := unsafe.Add(p, st.c)
		switch st.f.Kind {
		case KindString, KindStringList, KindKeyValueList, KindCpuidPolicy:
			target(d)
		case KindBitmap:
			length(d)
			target(unsafe.Add(d, sizeofPointer))
		case KindArray:
			length(unsafe.Add(p, st.cs+st.m.Aux))
			target(d)
		case KindUnion:
			for _, v := range st.f.Union.Variants {
				if v.Struct != nil && v.Value == *(*int32)(unsafe.Add(p, st.cs+st.m.Aux)) {
					tame(c, c.plans[v.Struct.ID].decode, d, pool)
				}
			}
		}
	}
}
