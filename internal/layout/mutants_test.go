package layout

import (
	"bytes"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/go-xenlight/xenlight/internal/abi"
)

// A model is what the assertions are made from.
type model struct {
	release abi.Release
	structs []*abi.Struct
	enums   []*abi.Enum
	change  func([]abi.CType) // of the computed layouts
}

// newModel copies package abi's tables, so that they can be changed.
func newModel(r abi.Release) *model {
	m := &model{release: r}
	copies := make(map[*abi.Struct]*abi.Struct)
	for _, s := range abi.Structs {
		c := *s
		c.Fields = slices.Clone(s.Fields)
		copies[s] = &c
		m.structs = append(m.structs, &c)
	}
	for _, s := range m.structs {
		for i := range s.Fields {
			f := &s.Fields[i]
			f.Struct = copies[f.Struct]
			if f.Array != nil {
				array := *f.Array
				array.Elem.Struct = copies[array.Elem.Struct]
				f.Array = &array
			}
			if f.Union != nil {
				union := *f.Union
				union.Variants = slices.Clone(union.Variants)
				for j := range union.Variants {
					union.Variants[j].Struct = copies[union.Variants[j].Struct]
				}
				f.Union = &union
			}
		}
	}
	for _, e := range abi.Enums {
		c := *e
		c.Values = slices.Clone(e.Values)
		m.enums = append(m.enums, &c)
	}
	return m
}

// present are the indices of a struct's fields that the release has.
func (m *model) present(s *abi.Struct) []int {
	var list []int
	for i := range s.Fields {
		if s.Fields[i].Since <= m.release {
			list = append(list, i)
		}
	}
	return list
}

// sizes is the size of each struct and the offset of each member by name.
func (m *model) sizes() map[string]uint32 {
	list := make(map[string]uint32)
	for _, e := range entries(abi.DescribeStructs(m.structs, m.release)) {
		list[e.Type+" "+e.Field] = e.Offset
		if e.Field == "" {
			list[e.Type] = e.Size
		}
	}
	return list
}

// structMutants each plant one defect in a struct; false if there is no place
// for it.
var structMutants = map[string]func(m *model, s *abi.Struct) bool{
	"two fields swapped": func(m *model, s *abi.Struct) bool {
		here := m.present(s)
		if len(here) < 2 {
			return false
		}
		a, b := here[len(here)/2-1], here[len(here)/2]
		s.Fields[a], s.Fields[b] = s.Fields[b], s.Fields[a]
		return true
	},
	"a field widened": retyped(map[abi.Kind]abi.Kind{abi.KindBool: abi.KindInt, abi.KindUint8: abi.KindUint16,
		abi.KindUint16: abi.KindUint32, abi.KindUint32: abi.KindUint64, abi.KindInt: abi.KindUint64,
		abi.KindDevid: abi.KindUint64, abi.KindDefbool: abi.KindUint64, abi.KindEnum: abi.KindUint64}),
	"a field of another type, but of its size": retyped(map[abi.Kind]abi.Kind{abi.KindUint32: abi.KindInt,
		abi.KindInt: abi.KindUint32, abi.KindEnum: abi.KindEnum, abi.KindUUID: abi.KindBitmap,
		abi.KindString: abi.KindStringList, abi.KindBool: abi.KindUint8}),
	"a field inserted before padding": func(m *model, s *abi.Struct) bool {
		before := m.sizes()
		for _, at := range append(m.present(s), len(s.Fields)) {
			old := s.Fields
			s.Fields = slices.Insert(slices.Clone(old), at, abi.Field{Name: "planted", Since: m.release, Kind: abi.KindUint8})
			after := m.sizes()
			maps.DeleteFunc(after, func(name string, _ uint32) bool { return strings.HasSuffix(name, "planted") })
			if maps.Equal(before, after) {
				return true
			}
			s.Fields = old
		}
		return false
	},
	"a field removed": func(m *model, s *abi.Struct) bool {
		here := m.present(s)
		if len(here) == 0 {
			return false
		}
		at := here[len(here)/2]
		s.Fields = slices.Delete(s.Fields, at, at+1)
		return true
	},
	"a field removed where padding hides it": func(m *model, s *abi.Struct) bool {
		before := m.sizes()
		for _, at := range m.present(s) {
			old := s.Fields
			s.Fields = slices.Delete(slices.Clone(old), at, at+1)
			lost, same := 0, true
			after := m.sizes()
			for name, n := range before {
				if now, ok := after[name]; !ok {
					lost++
				} else if now != n {
					same = false
				}
			}
			if same && lost > 0 {
				return true
			}
			s.Fields = old
		}
		return false
	},
	"a wrong arm of a union": func(m *model, s *abi.Struct) bool {
		for i := range s.Fields {
			if u := s.Fields[i].Union; u != nil && s.Fields[i].Since <= m.release {
				for j := range u.Variants {
					for k := j + 1; k < len(u.Variants); k++ {
						a, b := &u.Variants[j], &u.Variants[k]
						if a.Since <= m.release && b.Since <= m.release && a.Struct != b.Struct {
							a.Struct, b.Struct = b.Struct, a.Struct
							return true
						}
					}
				}
			}
		}
		return false
	},
	"an array of other elements": func(m *model, s *abi.Struct) bool {
		for i := range s.Fields {
			if f := &s.Fields[i]; f.Array != nil && f.Since <= m.release {
				kind := abi.KindUint64
				if f.Array.Elem.Kind == kind {
					kind = abi.KindUint32
				}
				f.Array.Elem = abi.Field{Since: f.Since, Kind: kind}
				return true
			}
		}
		return false
	},
	"an array's length of another type": lengthRetyped("uint32_t", 4),
	"an array's length widened":         lengthRetyped("uint64_t", 8),
}

// retyped changes the first field of one of the kinds; an enumeration, if it
// stays one, to another one.
func retyped(kinds map[abi.Kind]abi.Kind) func(*model, *abi.Struct) bool {
	return func(m *model, s *abi.Struct) bool {
		for _, i := range m.present(s) {
			if to, ok := kinds[s.Fields[i].Kind]; ok {
				f := &s.Fields[i]
				f.Kind, f.Init = to, nil
				if f.Enum == abi.EnumError {
					f.Enum = abi.EnumTrigger
				} else {
					f.Enum = abi.EnumError
				}
				return true
			}
		}
		return false
	}
}

// lengthRetyped changes the length of the first array. The tables have no type
// for it, hence this changes what comes of them.
func lengthRetyped(c string, size uint32) func(*model, *abi.Struct) bool {
	return func(m *model, s *abi.Struct) bool {
		for _, i := range m.present(s) {
			if a := s.Fields[i].Array; a != nil && s.Named {
				m.change = func(types []abi.CType) {
					of := slices.IndexFunc(types, func(t abi.CType) bool { return t.Name == "libxl_"+s.Name })
					at := slices.IndexFunc(types[of].Members, func(f abi.CMember) bool { return f.Path == a.Len })
					types[of].Members[at].Type, types[of].Members[at].Size = c, size
				}
				return true
			}
		}
		return false
	}
}

var enumMutants = map[string]func(m *model, e *abi.Enum) bool{
	"a value renumbered": func(m *model, e *abi.Enum) bool { e.Values[0].Value += 1000; return true },
	"two values swapped": func(m *model, e *abi.Enum) bool {
		if len(e.Values) < 2 || e.Values[1].Since > m.release {
			return false
		}
		e.Values[0].Value, e.Values[1].Value = e.Values[1].Value, e.Values[0].Value
		return true
	},
	"a value missing": func(m *model, e *abi.Enum) bool { e.Values = e.Values[1:]; return true },
	"a value too many": func(m *model, e *abi.Enum) bool {
		e.Values = append(e.Values, abi.EnumValue{Name: "planted", Value: 1000, Since: m.release})
		return true
	},
	"a value renamed": func(m *model, e *abi.Enum) bool { e.Values[0].Name += "_planted"; return true },
}

// plant is one defect, as the assertions about the type that it is in.
type plant struct {
	what string
	text string
}

// plants makes every kind of defect in every struct and enumeration that has a
// place for it.
func plants(t *testing.T, r abi.Release) []plant {
	var list []plant
	add := func(kind, name string, write func(a *asserter)) {
		var text strings.Builder
		write(&asserter{w: &text})
		list = append(list, plant{kind + " in " + name, text.String()})
	}
	for _, kind := range slices.Sorted(maps.Keys(structMutants)) {
		before := len(list)
		for i, s := range abi.Structs {
			m := newModel(r)
			if s.Since > r || !structMutants[kind](m, m.structs[i]) {
				continue
			}
			types := abi.DescribeStructs(m.structs, r)
			if m.change != nil {
				m.change(types)
			}
			root, _, _ := strings.Cut(s.Name, ".")
			at := slices.IndexFunc(types, func(t abi.CType) bool { return t.Name == "libxl_"+root })
			add(kind, s.Name, func(a *asserter) { a.typ(types[at]) })
		}
		if len(list) == before {
			t.Errorf("%s: no struct has a place for it", kind)
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(enumMutants)) {
		for i, e := range abi.Enums {
			if m := newModel(r); e.Since <= r && enumMutants[kind](m, m.enums[i]) {
				add(kind, e.Name, func(a *asserter) { a.enum(m.enums[i], r) })
			}
		}
	}
	return list
}

var complaint = regexp.MustCompile(`(?m)^plant-([0-9]+):[0-9]+:[0-9]+: error: `)

// TestPlantedDefectsAreRejected sees to it that the assertions notice. All
// defects are compiled at once, each as a file of its own in the compiler's
// eyes, between controls without one.
func TestPlantedDefectsAreRejected(t *testing.T) {
	forAllHeaders(t, func(t *testing.T, r abi.Release, arch abi.Arch, c *compiler) {
		types, err := abi.Describe(r, arch)
		if err != nil {
			t.Fatal(err)
		}
		var control strings.Builder
		a := asserter{w: &control}
		for _, typ := range types {
			a.typ(typ)
		}
		planted := plants(t, r)
		list := slices.Insert(slices.Clone(planted), len(planted)/2, plant{"", control.String()})
		list = append(list, plant{"", control.String()})

		text := bytes.NewBufferString(preamble)
		for i, p := range list {
			fmt.Fprintf(text, "#line 1 \"plant-%d\"\n%s", i, p.text)
		}
		noticed := make(map[int]bool)
		complaints := c.compile(t, text.Bytes())
		for _, match := range complaint.FindAllStringSubmatch(complaints, -1) {
			i, err := strconv.Atoi(match[1])
			if err != nil {
				t.Fatal(err)
			}
			noticed[i] = true
		}
		for i, p := range list {
			if p.what == "" && noticed[i] {
				t.Errorf("the compiler objects to what has no defect")
			} else if p.what != "" && !noticed[i] {
				t.Errorf("the compiler does not notice %s:\n%s", p.what, p.text)
			}
		}
		t.Logf("%d planted defects rejected", len(noticed))
	})
}
