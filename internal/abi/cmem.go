package abi

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"unsafe"
)

// maxBytes bounds what one string, bitmap or array of libxl's may hold, so that
// a wrong pointer or length ends in an error rather than in a huge allocation.
const maxBytes = 1 << 28

// storePointer writes a C pointer to C memory. As an integer: a write barrier
// has no business there.
func storePointer(d, p unsafe.Pointer) { *(*uintptr)(d) = uintptr(p) }

func loadPointer(p unsafe.Pointer) unsafe.Pointer { return *(*unsafe.Pointer)(p) }

// storeStrings stores a new NULL-ended list in the char ** at d; no list at all
// if there are no strings.
func storeStrings(mem Memory, d unsafe.Pointer, list []string) error {
	if len(list) == 0 {
		return nil
	}
	p, err := mem.Alloc(uintptr(len(list)+1) * sizeofPointer)
	if err != nil {
		return err
	}
	clear(unsafe.Slice((*uintptr)(p), len(list)+1))
	storePointer(d, p)
	for i, s := range list {
		if err := mem.String(unsafe.Add(p, i*sizeofPointer), s, false); err != nil {
			return err
		}
	}
	return nil
}

// pairs lists keys and values in turn, sorted by key.
func pairs(m map[string]string) []string {
	if len(m) == 0 {
		return nil
	}
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	list := make([]string, 0, 2*len(m))
	for _, k := range keys {
		list = append(list, k, m[k])
	}
	return list
}

// bitmapRoom is how much memory the bits of a map have at least. Of a map of NUMA
// nodes libxl reads as many bits as the hypervisor could have nodes, whatever the
// map's size: up to 255, as it was built.
const bitmapRoom = 32

func storeBitmap(mem Memory, d unsafe.Pointer, bits []byte) error {
	if len(bits) == 0 {
		return nil
	}
	room := max(len(bits), bitmapRoom)
	p, err := mem.Alloc(uintptr(room))
	if err != nil {
		return err
	}
	c := unsafe.Slice((*byte)(p), room)
	clear(c[copy(c, bits):])
	*(*uint32)(d) = uint32(len(bits))
	storePointer(unsafe.Add(d, sizeofPointer), p)
	return nil
}

// LoadBitmap copies the bits of the libxl_bitmap at p.
func LoadBitmap(p unsafe.Pointer) ([]byte, error) {
	n, bits := *(*uint32)(p), loadPointer(unsafe.Add(p, sizeofPointer))
	if n > maxBytes || n > 0 && bits == nil {
		return nil, fmt.Errorf("libxl gave a bitmap of %d bytes at %p", n, bits)
	}
	if n == 0 {
		return nil, nil
	}
	return slices.Clone(unsafe.Slice((*byte)(bits), n)), nil
}

// GoString copies a NUL-terminated C string; NULL is the empty string.
func GoString(p unsafe.Pointer) string { return GoStringN(p, math.MaxInt) }

// GoStringN is GoString for a string that ends after limit bytes at the latest.
func GoStringN(p unsafe.Pointer, limit int) string {
	if p == nil {
		return ""
	}
	n := 0
	for n < limit && *(*byte)(unsafe.Add(p, n)) != 0 {
		n++
	}
	return strings.Clone(unsafe.String((*byte)(p), n))
}

func loadStrings(p unsafe.Pointer) ([]string, error) {
	if p == nil {
		return nil, nil
	}
	var list []string
	for {
		s := loadPointer(unsafe.Add(p, len(list)*sizeofPointer))
		if s == nil {
			return list, nil
		}
		if len(list) > maxBytes/sizeofPointer {
			return nil, fmt.Errorf("libxl gave a list without an end")
		}
		list = append(list, GoString(s))
	}
}

func loadPairs(p unsafe.Pointer) (map[string]string, error) {
	if p == nil {
		return nil, nil
	}
	m := map[string]string{}
	for i := 0; ; i += 2 {
		k := loadPointer(unsafe.Add(p, i*sizeofPointer))
		if k == nil {
			return m, nil
		}
		if i > maxBytes/sizeofPointer {
			return nil, fmt.Errorf("libxl gave a list without an end")
		}
		// A pair's value may be NULL without ending the list.
		m[GoString(k)] = GoString(loadPointer(unsafe.Add(p, (i+1)*sizeofPointer)))
	}
}
