package idl

import (
	"fmt"
	"strings"
)

// tablesFile writes the tables of package abi in the format of its desc.go.
func (m *model) tablesFile(w *writer) {
	w.printf(`package abi

//lint:file-ignore SA1019 The tables describe deprecated fields, too.

import (
	"unsafe"

	"github.com/go-xenlight/xenlight/libxl"
)

// Releases are the known releases, the oldest first.
var Releases = []Release{%s}

// Structs are all structs; the index is the ID.
var Structs = []*Struct{
`, strings.Join(mapped(m.releases, rel), ", "))
	for _, st := range m.structs {
		w.printf("%s,\n", st.goName)
	}
	w.printf(`}

// StructByName finds a struct by its name, nil if there is none.
func StructByName(name string) *Struct {
	for _, s := range Structs {
		if s.Name == name {
			return s
		}
	}
	return nil
}
`)
	w.printf("\n// Enums are all enumerations.\nvar Enums = []*Enum{\n")
	for _, e := range m.enums {
		w.printf("%s,\n", e.abi())
	}
	w.printf("}\n\n// Of returns the table of a Go type; nil if there is none.\nfunc Of[T any]() *Struct {\nswitch any((*T)(nil)).(type) {\n")
	for _, st := range m.structs {
		w.printf("case *libxl.%s:\nreturn %s\n", st.goName, st.goName)
	}
	w.printf("}\nreturn nil\n}\n")
	for _, e := range m.enums {
		m.enumTable(w, e)
	}
	for _, st := range m.structs {
		m.structTable(w, st)
	}
	for _, st := range m.structs {
		for _, f := range st.fields {
			if f.union != nil {
				unionFuncs(w, f.union)
			}
		}
	}
}

func mapped[T any](list []T, f func(T) string) []string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = f(v)
	}
	return out
}

// rel is a release as Go source in package abi.
func rel(r Release) string { return fmt.Sprintf("R(%d, %d)", r.Major, r.Minor) }

// abi is the name of the enumeration's table.
func (e *enum) abi() string { return "Enum" + e.goName }

func (m *model) enumTable(w *writer, e *enum) {
	w.printf("\n// %s describes libxl_%s.\nvar %s = &Enum{Name: %q, Go: %q, Since: %s, Values: []EnumValue{\n",
		e.abi(), e.Name, e.abi(), e.Name, e.goName, rel(e.since))
	for _, v := range e.Values {
		since := v.Since
		if since == (Release{}) {
			since = m.releases[0]
		}
		w.printf("{Name: %q, Value: %d, Since: %s},\n", strings.ToLower(v.Name), v.Value, rel(since))
	}
	w.printf("}}\n")
}

func (m *model) structTable(w *writer, st *structure) {
	w.printf("\n// %s describes %s.\nvar %s = &Struct{ID: %d, Name: %q, Go: %q, Since: %s, Size: unsafe.Sizeof(libxl.%s{}), Named: %t, Fields: []Field{\n",
		st.goName, st.cName(), st.goName, st.id, st.name, st.goName, rel(st.since), st.goName, st.typ != nil)
	for _, f := range st.fields {
		w.printf("{Name: %q, Go: %q, Since: %s, Off: %s, ", f.Name, f.goName, rel(f.since), offset(st, f.goName))
		switch {
		case f.Array != nil:
			w.printf("Kind: KindArray, Array: &Array{Len: %q, Elem: Field{Since: %s, %s}, Size: unsafe.Sizeof(%s), Make: makeSlice[%s]}",
				f.Array.Len, rel(f.since), f.kindText(), f.zero, f.qualified())
		case f.union != nil:
			unionTable(w, st, f)
		default:
			w.printf("%s", f.kindText())
			if len(f.init) > 0 {
				w.printf(", Init: []Default{%s}", strings.Join(mapped(f.init, initText), ", "))
			}
			if f.Const {
				w.printf(", Const: true")
			}
		}
		w.printf("},\n")
	}
	w.printf("}}\n")
}

func offset(st *structure, field string) string {
	if field == "" {
		return "0"
	}
	return fmt.Sprintf("unsafe.Offsetof(libxl.%s{}.%s)", st.goName, field)
}

func initText(i Init) string {
	return fmt.Sprintf("{Since: %s, Value: %#x}", rel(i.Since), i.Value.Bits)
}

// kindText is the kind of a value with the table that describes it further.
func (r *repr) kindText() string {
	switch {
	case r.enum != nil:
		return fmt.Sprintf("Kind: %s, Enum: %s", r.kind, r.enum.abi())
	case r.bits != nil:
		return fmt.Sprintf("Kind: %s, Enum: %s", r.kind, r.bits.abi())
	case r.strukt != nil:
		return fmt.Sprintf("Kind: %s, Struct: %s", r.kind, r.strukt.goName)
	}
	return "Kind: " + r.kind
}

// qualified is the Go type as package abi names it.
func (r *repr) qualified() string {
	if strings.ToLower(r.goType[:1]) == r.goType[:1] {
		return r.goType
	}
	return "libxl." + r.goType
}

func unionTable(w *writer, st *structure, f *member) {
	u := f.union
	w.printf("Kind: KindUnion, Union: &Union{\nKey: %q, KeyGo: %q, KeyOff: %s, KeyEnum: %s, KeyInit: %s,\nVariants: []Variant{\n",
		u.keyName, u.keyGo, offset(st, u.keyGo), u.key.abi(), u.keyInit)
	for _, um := range u.members {
		w.printf("{Name: %q, Value: %d, Since: %s", um.Name, um.value.Value, rel(um.since))
		if um.strukt != nil {
			w.printf(", Go: %q, Struct: %s", um.strukt.goName, um.strukt.goName)
		}
		w.printf("},\n")
	}
	w.printf("},\nGet: get%s, Set: set%s,\n}", u.goName, u.goName)
}

func unionFuncs(w *writer, u *union) {
	w.printf("\nfunc get%s(p unsafe.Pointer) (int, unsafe.Pointer) {\nswitch v := (*(*libxl.%s)(p)).(type) {\n", u.goName, u.goName)
	for i, um := range u.members {
		if um.strukt != nil {
			w.printf("case *libxl.%s:\nreturn %d, unsafe.Pointer(v)\n", um.strukt.goName, i)
		}
	}
	w.printf("}\nreturn -1, nil\n}\n")
	w.printf("\nfunc set%s(p unsafe.Pointer, variant int) unsafe.Pointer {\nu := (*libxl.%s)(p)\nswitch variant {\n", u.goName, u.goName)
	for i, um := range u.members {
		if um.strukt != nil {
			w.printf("case %d:\nv := libxl.New%s()\n*u = v\nreturn unsafe.Pointer(v)\n", i, um.strukt.goName)
		}
	}
	w.printf("}\n*u = nil\nreturn nil\n}\n")
}
