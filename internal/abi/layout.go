package abi

import (
	"errors"
	"fmt"
	"slices"
)

// ErrUnsupported is what errors wrap that come from something which the loaded
// Xen release does not have.
var ErrUnsupported = errors.New("not supported by this Xen release")

// Arch is a processor architecture that libxl runs on.
type Arch uint8

// The architectures. Both lay out C data alike (LP64, natural alignment).
const (
	AMD64 Arch = iota + 1
	ARM64
)

// ParseArch turns GOARCH's spelling into an Arch.
func ParseArch(s string) (Arch, error) {
	switch s {
	case "amd64":
		return AMD64, nil
	case "arm64":
		return ARM64, nil
	}
	return 0, fmt.Errorf("architecture %q: libxl layouts are known for amd64 and arm64", s)
}

func (a Arch) String() string {
	switch a {
	case AMD64:
		return "amd64"
	case ARM64:
		return "arm64"
	}
	return fmt.Sprintf("Arch(%d)", uint8(a))
}

const (
	sizeofInt     = 4
	sizeofPointer = 8
)

// Absent is the offset of a member that the release does not have.
const Absent = ^uint32(0)

// Layout is the C layout of one struct.
type Layout struct {
	Size, Align uint32
	Members     []Member // one for each Field of the Struct
}

// Member is where a field lies.
type Member struct {
	Off uint32 // of the value, the pointer of an array, or the union
	Aux uint32 // of an array's length or a union's key; else Absent
	// Size is that of the member, or of one element of an array.
	Size     uint32
	variants []uint32 // of a union: the size of each variant, Absent where it does not exist
}

// Known reports whether the layouts of a release are known.
func Known(r Release) bool { return slices.Contains(Releases, r) }

// layouts computes the layouts of all structs for a release.
func layouts(structs []*Struct, r Release) []Layout {
	c := computer{r, make([]Layout, len(structs)), make([]bool, len(structs))}
	for _, s := range structs {
		c.layout(s)
	}
	return c.done
}

type computer struct {
	release Release
	done    []Layout
	has     []bool
}

func (c *computer) layout(s *Struct) *Layout {
	l := &c.done[s.ID]
	if c.has[s.ID] {
		return l
	}
	c.has[s.ID] = true
	l.Align = 1
	l.Members = make([]Member, len(s.Fields))
	for i := range s.Fields {
		f := &s.Fields[i]
		m := Member{Off: Absent, Aux: Absent}
		if f.Since <= c.release {
			size, align := c.sizeof(f, &m)
			switch f.Kind {
			case KindArray:
				m.Aux = l.place(sizeofInt, sizeofInt)
				m.Off = l.place(sizeofPointer, sizeofPointer)
			case KindUnion:
				m.Aux = l.place(sizeofInt, sizeofInt)
				m.Off = l.place(size, align)
			default:
				m.Off = l.place(size, align)
			}
			m.Size = size
		}
		l.Members[i] = m
	}
	l.Size = roundUp(l.Size, l.Align)
	return l
}

// place appends a member and returns its offset.
func (l *Layout) place(size, align uint32) uint32 {
	off := roundUp(l.Size, align)
	l.Size = off + size
	l.Align = max(l.Align, align)
	return off
}

func roundUp(n, align uint32) uint32 { return (n + align - 1) / align * align }

// sizeof gives size and alignment of a field's value: of one element if it is
// an array, of the union if it is one.
func (c *computer) sizeof(f *Field, m *Member) (size, align uint32) {
	switch f.Kind {
	case KindBool, KindUint8:
		return 1, 1
	case KindUint16:
		return 2, 2
	case KindInt, KindUint32, KindDevid, KindEnum, KindDefbool:
		return sizeofInt, sizeofInt
	case KindUint64:
		return 8, 8
	case KindUUID, KindGenID:
		return 16, 1
	case KindMAC:
		return 6, 1
	case KindHwcap:
		return 32, 4
	case KindString, KindStringList, KindKeyValueList, KindCpuidPolicy:
		return sizeofPointer, sizeofPointer
	case KindBitmap, KindEvLink:
		return 2 * sizeofPointer, sizeofPointer
	case KindStruct:
		l := c.layout(f.Struct)
		return l.Size, l.Align
	case KindArray:
		return c.sizeof(&f.Array.Elem, nil)
	case KindUnion:
		return c.union(f.Union, m)
	}
	panic(fmt.Sprintf("abi: field %s has no kind", f.Name))
}

func (c *computer) union(u *Union, m *Member) (size, align uint32) {
	align = 1
	m.variants = make([]uint32, len(u.Variants))
	for i, v := range u.Variants {
		m.variants[i] = Absent
		if v.Since > c.release {
			continue
		}
		m.variants[i] = 0
		if v.Struct != nil {
			l := c.layout(v.Struct)
			m.variants[i] = l.Size
			size, align = max(size, l.Size), max(align, l.Align)
		}
	}
	return roundUp(size, align), align
}
