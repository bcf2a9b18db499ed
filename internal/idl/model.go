package idl

import (
	"fmt"
	"slices"
)

// model is the schema with all names resolved, as the generators want it.
type model struct {
	releases []Release
	enums    []*enum
	structs  []*structure // children before parents; the index is the ID

	functions []*Function

	byName map[string]any // *enum or *structure
	docs   docs
}

type enum struct {
	*Type
	goName string
	since  Release
}

// structure is a named or an anonymous struct.
type structure struct {
	id     int
	name   string // as in abi.Struct
	goName string
	since  Release
	typ    *Type // nil for an anonymous one
	fields []*member
	union  *union // whose member this struct is
	path   string // C path below the parent, for anonymous ones
	owner  string // Go name of the named struct that this one is or is in
}

// member is a field with what each representation needs.
type member struct {
	*Field
	goName string // empty if absent in Go
	since  Release
	repr   // of the value; of an array, of its elements
	union  *union
	init   []Init // type's and member's folded
}

// repr is how a type is represented.
type repr struct {
	kind   string // constant of internal/abi
	goType string // in package libxl
	zero   string // a zero value, to take its size
	enum   *enum
	bits   *enum // a bitmap's bits are its values
	strukt *structure
	memkb  bool
}

type union struct {
	goName  string // the interface
	key     *enum
	keyName string
	keyGo   string
	keyInit Number
	members []*unionMember
}

type unionMember struct {
	*Field
	value  *Value
	since  Release
	strukt *structure // nil without data
}

// builtins are the types whose Go representation is written by hand.
var builtins = map[string]repr{
	"bool":              {kind: "KindBool", goType: "bool", zero: "false"},
	"integer":           {kind: "KindInt", goType: "int", zero: "int(0)"},
	"uint8":             {kind: "KindUint8", goType: "byte", zero: "byte(0)"},
	"uint16":            {kind: "KindUint16", goType: "uint16", zero: "uint16(0)"},
	"uint32":            {kind: "KindUint32", goType: "uint32", zero: "uint32(0)"},
	"uint64":            {kind: "KindUint64", goType: "uint64", zero: "uint64(0)"},
	"string":            {kind: "KindString", goType: "string", zero: `""`},
	"domid":             {kind: "KindUint32", goType: "Domid", zero: "libxl.Domid(0)"},
	"devid":             {kind: "KindDevid", goType: "Devid", zero: "libxl.Devid(0)"},
	"defbool":           {kind: "KindDefbool", goType: "Defbool", zero: "libxl.Defbool(0)"},
	"uuid":              {kind: "KindUUID", goType: "Uuid", zero: "libxl.Uuid{}"},
	"mac":               {kind: "KindMAC", goType: "Mac", zero: "libxl.Mac{}"},
	"hwcap":             {kind: "KindHwcap", goType: "Hwcap", zero: "libxl.Hwcap{}"},
	"ms_vm_genid":       {kind: "KindGenID", goType: "MsVmGenid", zero: "libxl.MsVmGenid{}"},
	"bitmap":            {kind: "KindBitmap", goType: "Bitmap", zero: "libxl.Bitmap{}"},
	"string_list":       {kind: "KindStringList", goType: "StringList", zero: "libxl.StringList{}"},
	"key_value_list":    {kind: "KindKeyValueList", goType: "KeyValueList", zero: "libxl.KeyValueList{}"},
	"cpuid_policy_list": {kind: "KindCpuidPolicy", goType: "CpuidPolicyList", zero: "libxl.CpuidPolicyList{}"},
	"ev_link":           {kind: "KindEvLink"},
}

// bitsOf are the bitmaps whose bits are values of an enumeration. The IDL does not
// say so, libxl's code does.
var bitsOf = map[string]string{
	"domain_build_info.u.hvm.viridian_enable":  "viridian_enlightenment",
	"domain_build_info.u.hvm.viridian_disable": "viridian_enlightenment",
}

func newModel(s *Schema, d docs) (*model, error) {
	m := &model{releases: s.Releases, byName: make(map[string]any), docs: d}
	for _, t := range s.Types {
		switch t.Kind {
		case KindEnum:
			e := &enum{t, goName(t.Name), s.since(t.Since)}
			m.enums = append(m.enums, e)
			m.byName[t.Name] = e
		case KindStruct:
			st := &structure{name: t.Name, goName: goName(t.Name), since: s.since(t.Since), typ: t, owner: goName(t.Name)}
			if err := m.fill(s, st, t.Fields); err != nil {
				return nil, err
			}
			m.add(st)
			m.byName[t.Name] = st
		case KindBuiltin:
			if _, ok := builtins[t.Name]; !ok {
				return nil, fmt.Errorf("builtin %s has no representation in Go: write one in package libxl and enter it in internal/idl", t.Name)
			}
		case KindUInt:
		default:
			return nil, fmt.Errorf("type %s is of unknown kind %q", t.Name, t.Kind)
		}
	}
	return m, m.docs.check(m)
}

func (m *model) add(st *structure) {
	st.id = len(m.structs)
	m.structs = append(m.structs, st)
}

// fill resolves the fields of a struct, adding the anonymous structs in it.
func (m *model) fill(s *Schema, st *structure, fields []*Field) error {
	seen := make(map[string]bool)
	for _, f := range fields {
		mem := &member{Field: f, goName: goName(f.Name), since: s.since(f.Since)}
		var err error
		switch {
		case f.Struct != nil:
			child := &structure{name: st.name + "." + f.Name, goName: st.goName + mem.goName, since: mem.since,
				path: f.Name, owner: st.owner}
			if err = m.fill(s, child, f.Struct.Fields); err == nil {
				m.add(child)
				mem.repr = structRepr(child)
			}
		case f.Union != nil:
			mem.union, err = m.union(s, st, f)
			if err == nil {
				mem.goName = mem.union.keyGo + "Union"
				mem.repr = repr{kind: "KindUnion", goType: mem.union.goName}
				seen[mem.union.keyGo] = true
			}
		case f.Array != nil:
			mem.repr, _, err = m.resolve(s, f.Array.Of)
		default:
			var init Inits
			mem.repr, init, err = m.resolve(s, f.Type)
			mem.bits, _ = m.byName[bitsOf[st.name+"."+f.Name]].(*enum)
			if mem.kind == "KindEvLink" {
				mem.goName = ""
			}
			if !f.Const {
				mem.init = foldInits(s, init, f.Init, mem.since)
			}
		}
		if err != nil {
			return fmt.Errorf("%s.%s: %w", st.name, f.Name, err)
		}
		if mem.goName != "" && seen[mem.goName] {
			return fmt.Errorf("%s.%s: Go name %s is there twice", st.name, f.Name, mem.goName)
		}
		seen[mem.goName] = true
		st.fields = append(st.fields, mem)
	}
	return nil
}

func structRepr(st *structure) repr {
	return repr{kind: "KindStruct", goType: st.goName, zero: "libxl." + st.goName + "{}", strukt: st}
}

// resolve finds a type by its name, with the type's own default.
func (m *model) resolve(s *Schema, name string) (repr, Inits, error) {
	t := s.Lookup(name)
	if t == nil || t.Kind == KindBuiltin {
		r, ok := builtins[name]
		if !ok {
			return repr{}, nil, fmt.Errorf("no such type: %s", name)
		}
		if t == nil {
			return r, nil, nil
		}
		return r, t.Init, nil
	}
	switch d := m.byName[name].(type) {
	case *enum:
		return repr{kind: "KindEnum", goType: d.goName, zero: "libxl." + d.goName + "(0)", enum: d}, t.Init, nil
	case *structure:
		return structRepr(d), nil, nil
	}
	if t.Kind == KindUInt {
		r := builtins[fmt.Sprintf("uint%d", t.Width)]
		r.memkb = name == "MemKB"
		return r, t.Init, nil
	}
	return repr{}, nil, fmt.Errorf("type %s is used before it is declared", name)
}

func (m *model) union(s *Schema, st *structure, f *Field) (*union, error) {
	key, ok := m.byName[f.Union.Enum].(*enum)
	if !ok {
		return nil, fmt.Errorf("no such enumeration: %s", f.Union.Enum)
	}
	u := &union{key: key, keyName: f.Union.Key, keyGo: goName(f.Union.Key)}
	u.goName = st.goName + u.keyGo + "Union"
	if folded := foldInits(s, key.Init, f.Union.Init, s.since(f.Since)); len(folded) > 0 {
		u.keyInit = folded[len(folded)-1].Value
	}
	for _, v := range f.Union.Members {
		um := &unionMember{Field: v, value: key.value(v.Name), since: s.since(v.Since)}
		if um.value == nil {
			return nil, fmt.Errorf("member %s is no value of %s", v.Name, key.Name)
		}
		if v.Struct != nil {
			child := &structure{name: st.name + "." + f.Name + "." + v.Name, goName: u.goName + goName(v.Name),
				since: um.since, union: u, path: f.Name + "." + v.Name, owner: st.owner}
			if err := m.fill(s, child, v.Struct.Fields); err != nil {
				return nil, err
			}
			m.add(child)
			um.strukt = child
		}
		u.members = append(u.members, um)
	}
	return u, nil
}

// foldInits combines a type's and a member's default into one history. The
// member's goes before the type's; what is older than the member is left out.
func foldInits(s *Schema, typ, own Inits, since Release) []Init {
	at := func(inits Inits, r Release) (n Number, set bool) {
		for _, i := range inits {
			if s.since(i.Since).Compare(r) <= 0 {
				n, set = i.Value, !i.None
			}
		}
		return n, set
	}
	var out []Init
	var last Number
	for _, r := range s.Releases {
		if r.Compare(since) < 0 {
			continue
		}
		n, ok := at(own, r)
		if !ok {
			n, _ = at(typ, r)
		}
		if n != last {
			out = append(out, Init{Since: r, Value: n})
			last = n
		}
	}
	return out
}

// newest is the default of the newest release.
func (f *member) newest() Number {
	if len(f.init) == 0 {
		return Number{}
	}
	return f.init[len(f.init)-1].Value
}

// hasDefaults says whether New has to set anything.
func (st *structure) hasDefaults() bool {
	return slices.ContainsFunc(st.fields, func(f *member) bool {
		switch {
		case f.union != nil:
			return f.union.keyInit != Number{}
		case f.Array != nil, f.Const:
			return false
		case f.strukt != nil:
			return f.strukt.hasDefaults()
		}
		return f.newest() != Number{}
	})
}
