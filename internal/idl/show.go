package idl

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// cTypes are the scalar types of the IDL as C spells them.
var cTypes = map[string]string{
	"bool": "bool", "integer": "int", "string": "char *",
	"uint8": "uint8_t", "uint16": "uint16_t", "uint32": "uint32_t", "uint64": "uint64_t",
}

// cTypeOf is how C spells a type.
func (s *Schema) cTypeOf(name string) string {
	if c, ok := cTypes[name]; ok {
		return c
	}
	if name == "MemKB" { // the IDL's own name for it
		return "uint64_t"
	}
	return s.Namespace + name
}

// cType is how C spells a member's type.
func (s *Schema) cType(f *Field) string {
	switch {
	case f.Array != nil:
		return star(s.cTypeOf(f.Array.Of))
	case f.Union != nil:
		return "union"
	case f.Struct != nil:
		return "struct"
	case f.Type == "":
		return "no data"
	}
	return iff(f.Const, "const ") + s.cTypeOf(f.Type)
}

// Show describes a type, named as in the IDL, in C or in Go: its members or
// values, what they are in C and in Go, since when they exist, their defaults,
// and what they are for where idl/docs.json says so.
func (i *Interface) Show(w io.Writer, name string) error {
	m, err := newModel(i.Schema, i.docs)
	if err != nil {
		return err
	}
	t, err := i.Schema.find(name)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	sh := &shower{schema: i.Schema, model: m, w: tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)}
	sh.head(t)
	switch d := m.byName[t.Name].(type) {
	case *enum:
		sh.enum(d)
	case *structure:
		sh.row("C MEMBER", "C TYPE", "GO FIELD", "GO TYPE", "SINCE", "DEFAULT", "NOTES")
		sh.members(d, "", "")
	}
	if err := sh.w.Flush(); err != nil {
		return err
	}
	for line := range strings.Lines(text.String()) {
		if _, err := fmt.Fprintln(w, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

// find finds a type by one of its names, or says which ones are like it.
func (s *Schema) find(name string) (*Type, error) {
	bare := strings.TrimPrefix(strings.TrimPrefix(name, "libxl."), s.Namespace)
	var like []string
	for _, t := range s.Types {
		if t.Name == bare || goName(t.Name) == bare {
			return t, nil
		}
		if strings.Contains(strings.ToLower(goName(t.Name)), strings.ToLower(goName(bare))) {
			like = append(like, t.Name)
		}
	}
	if len(like) > 0 {
		return nil, fmt.Errorf("there is no type %s, but %s", name, strings.Join(like, ", "))
	}
	return nil, fmt.Errorf("there is no type %s", name)
}

type shower struct {
	schema *Schema
	model  *model
	w      *tabwriter.Writer
}

// row writes one line of the table.
func (sh *shower) row(cells ...string) {
	fmt.Fprintln(sh.w, strings.Join(cells, "\t"))
}

func (sh *shower) head(t *Type) {
	goType, kind := goName(t.Name), t.Kind
	c := sh.schema.cTypeOf(t.Name)
	switch t.Kind {
	case KindBuiltin:
		kind, goType = "builtin type", builtins[t.Name].goType
	case KindUInt:
		kind, goType = "number", fmt.Sprintf("uint%d", t.Width)
	case KindEnum:
		kind = "enumeration"
	}
	switch t.Dir {
	case DirIn:
		kind += ", only given to libxl"
	case DirOut:
		kind += ", only returned by libxl"
	}
	switch {
	case t.Private:
		goType = "absent in Go"
	case t.Kind == KindUInt:
		goType = goType + " in Go"
	default:
		goType = "libxl." + goType + " in Go"
	}
	if c != sh.schema.Namespace+t.Name {
		c = t.Name + ", in C " + c
	}
	fmt.Fprintf(sh.w, "%s: %s; %s; since Xen %s\n", c, kind, goType, sh.schema.since(t.Since))
	if text := sh.model.docs.text(t.Name, ""); text != "" {
		fmt.Fprintf(sh.w, "%s\n", text)
	}
	e, _ := sh.model.byName[t.Name].(*enum)
	if t.Kind != KindStruct && len(t.Init) > 0 {
		fmt.Fprintf(sh.w, "default: %s\n", sh.inits(t.Init, e, t.Since))
	}
	if t.Kind == KindEnum || t.Kind == KindStruct {
		fmt.Fprintln(sh.w)
	}
}

func (sh *shower) enum(e *enum) {
	sh.row("C CONSTANT", "VALUE", "GO CONSTANT", "SINCE", "NOTES")
	for _, v := range e.Values {
		since := e.since
		if v.Since != (Release{}) {
			since = v.Since
		}
		sh.row(e.Type.constant(v), fmt.Sprint(v.Value), e.constant(v), since.String(), sh.model.docs.text(e.Name, strings.ToLower(v.Name)))
	}
}

// members lists the members of a struct, and those of the nameless structs in
// it below them.
func (sh *shower) members(st *structure, cPath, goPath string) {
	for _, f := range st.fields {
		since := f.since.String()
		notes := sh.model.docs.text(st.name, f.Name)
		if f.DeprecatedBy != "" {
			notes = strings.TrimSpace("deprecated by " + f.DeprecatedBy + ". " + notes)
		}
		c, goField := cPath+f.Name, goPath+f.goName
		if f.goName == "" {
			goField = "-"
		}
		switch {
		case f.Array != nil:
			sh.row(cPath+f.Array.Len, "int", "-", "-", since, "", "length of "+f.Name)
			sh.row(c, sh.schema.cType(f.Field), goField, f.fieldType(), since, "", notes)
		case f.union != nil:
			sh.union(st, f, cPath, goPath)
		default:
			sh.row(c, sh.schema.cType(f.Field), goField, f.goType, since, sh.inits(f.init, f.enum, f.since), notes)
			if f.Struct != nil {
				sh.members(f.strukt, c+".", goField+".")
			}
		}
	}
}

func (sh *shower) union(st *structure, f *member, cPath, goPath string) {
	u := f.union
	init := ""
	if u.keyInit != (Number{}) {
		init = sh.number(u.keyInit, u.key)
	}
	sh.row(cPath+u.keyName, sh.schema.cTypeOf(u.key.Name), goPath+u.keyGo, u.key.goName, f.since.String(), init,
		sh.model.docs.text(st.name, u.keyName))
	sh.row(cPath+f.Name, "union", goPath+f.goName, f.goType, f.since.String(), "", "what it holds is told by "+u.keyName)
	for _, um := range u.members {
		if um.strukt != nil {
			sh.row(cPath+f.Name+"."+um.Name, "struct", "", "*"+um.strukt.goName, um.since.String(), "", "")
			sh.members(um.strukt, cPath+f.Name+"."+um.Name+".", um.strukt.goName+".")
		}
	}
}

// inits is the history of a default.
func (sh *shower) inits(inits []Init, e *enum, since Release) string {
	list := mapped(inits, func(i Init) string {
		text := sh.number(i.Value, e)
		if from := sh.schema.since(i.Since); from != sh.schema.since(since) {
			text += fmt.Sprintf(" since %s", from)
		}
		return text
	})
	return strings.Join(list, ", ")
}

// number is a default as people write it.
func (sh *shower) number(n Number, e *enum) string {
	if e != nil {
		if i := slices.IndexFunc(e.Values, func(v *Value) bool { return int64(v.Value) == int64(n.Bits) }); i >= 0 {
			return e.Type.constant(e.Values[i])
		}
	}
	if !n.Negative && n.Bits >= 1<<16 {
		return fmt.Sprintf("%#x", n.Bits)
	}
	return n.String()
}
