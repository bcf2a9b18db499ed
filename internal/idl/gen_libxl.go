package idl

import (
	"fmt"
	"strings"
)

// sinceText says since when a thing exists, if it is newer than what surrounds it.
func sinceText(since, around Release) string {
	if since == around {
		return ""
	}
	return fmt.Sprintf("Since Xen %s.", since)
}

// typeComment documents a type: what it is in C, our text, and since when.
func (w *writer) typeComment(m *model, name, cName, text string, since Release) {
	first := name + " is " + cName
	if text != "" {
		first += ": " + strings.TrimSuffix(text, ".")
	}
	w.comment(first+".", sinceText(since, m.releases[0]))
}

func (m *model) enumsFile(w *writer) {
	w.printf("package libxl\n")
	for _, e := range m.enums {
		w.printf("\n")
		w.typeComment(m, e.goName, "libxl_"+e.Name, m.docs.text(e.Name, ""), e.since)
		w.printf("type %s int32\n\n// The values of %s.\nconst (\n", e.goName, e.goName)
		for _, v := range e.Values {
			since := e.since
			if v.Since != (Release{}) {
				since = v.Since
			}
			w.comment(strings.TrimSpace(m.docs.text(e.Name, strings.ToLower(v.Name)) + " " + sinceText(since, e.since)))
			w.printf("%s %s = %d\n", e.constant(v), e.goName, v.Value)
		}
		w.printf(")\n\nvar %s = enumTable{%q, []enumValue{\n", e.table(), e.goName)
		for _, v := range e.Values {
			w.printf("{%d, %q},\n", v.Value, strings.ToLower(v.Name))
		}
		w.printf("}}\n\n")
		m.enumMethods(w, e)
	}
}

func (m *model) enumMethods(w *writer, e *enum) {
	for _, line := range strings.Split(`// String returns libxl's name of the value.
func (x $T) String() string { return $t.format(int32(x)) }

// IsValid says whether the value is one of those above.
func (x $T) IsValid() bool { return $t.name(int32(x)) != "" }

// MarshalText implements encoding.TextMarshaler.
func (x $T) MarshalText() ([]byte, error) { return $t.marshal(int32(x)) }

// UnmarshalText implements encoding.TextUnmarshaler.
func (x *$T) UnmarshalText(b []byte) (err error) {
	*x, err = $TFromString(string(b))
	return err
}

// $TFromString returns the value of a name, in capitals or not.
func $TFromString(s string) ($T, error) { return parseEnum[$T](&$t, s) }

// $TValues returns all values.
func $TValues() []$T { return enumValues[$T](&$t) }
`, "\n") {
		w.printf("%s\n", strings.NewReplacer("$T", e.goName, "$t", e.table()).Replace(line))
	}
}

func (e *enum) table() string { return lowerFirst(e.goName) + "Table" }

// constant is the Go name of a value.
func (e *enum) constant(v *Value) string { return e.goName + goName(v.Name) }

// literal is a value as Go source, by its name if it has one.
func (e *enum) literal(n Number) string {
	for _, v := range e.Values {
		if int64(v.Value) == int64(n.Bits) {
			return e.constant(v)
		}
	}
	return n.String()
}

func (m *model) typesFile(w *writer) {
	w.printf("package libxl\n")
	for _, st := range m.structs {
		w.printf("\n")
		w.typeComment(m, st.goName, st.cName(), m.docs.text(st.name, ""), st.since)
		w.printf("type %s struct {\n", st.goName)
		for i, f := range st.fields {
			m.field(w, st, f, i == 0)
		}
		w.printf("}\n")
		if st.union != nil {
			w.printf("\nfunc (*%s) is%s() {}\n", st.goName, st.union.goName)
		}
		for _, f := range st.fields {
			if f.union != nil {
				unionInterface(w, st, f)
			}
		}
	}
}

// cName says what a struct is in C, for people.
func (st *structure) cName() string {
	if st.typ != nil {
		return "libxl_" + st.name
	}
	return "the member " + st.path + " of " + "libxl_" + strings.TrimSuffix(st.name, "."+st.path)
}

func (m *model) field(w *writer, st *structure, f *member, first bool) {
	if f.goName == "" {
		return
	}
	if f.union != nil {
		if !first {
			w.printf("\n")
		}
		key := m.docs.text(st.name, f.union.keyName)
		w.comment(strings.TrimSpace(fmt.Sprintf("%s %s tells which type %s holds.", key, f.union.keyGo, f.goName)))
		w.printf("%s %s\n%s %s\n", f.union.keyGo, f.union.key.goName, f.goName, f.goType)
		return
	}
	text := m.docs.text(st.name, f.Name)
	var notes []string
	if f.memkb {
		notes = append(notes, "In KiB.")
	}
	if since := sinceText(f.since, st.since); since != "" {
		notes = append(notes, since)
	}
	trailer := ""
	switch note := strings.Join(notes, " "); {
	case f.DeprecatedBy != "":
		note = fmt.Sprintf("%s\n\nDeprecated: use %s.%s.", strings.TrimSpace(text+" "+note), st.owner, goName(f.DeprecatedBy))
		w.paragraph(first, note)
	case text != "":
		w.paragraph(first, strings.TrimSpace(text+" "+note))
	case note != "":
		trailer = " // " + lowerFirst(strings.TrimSuffix(note, "."))
	}
	w.printf("%s %s%s\n", f.goName, f.fieldType(), trailer)
}

// paragraph writes the comment above a field, set apart from the one before.
func (w *writer) paragraph(first bool, text string) {
	if !first {
		w.printf("\n")
	}
	w.comment(strings.Split(text, "\n\n")...)
}

// fieldType is the Go type of a field.
func (f *member) fieldType() string {
	if f.Array != nil {
		return "[]" + f.goType
	}
	return f.goType
}

// unionInterface declares the interface that stands for a union.
func unionInterface(w *writer, st *structure, f *member) {
	var types, empty []string
	for _, um := range f.union.members {
		if um.strukt != nil {
			types = append(types, "*"+um.strukt.goName)
		} else {
			empty = append(empty, f.union.key.constant(um.value))
		}
	}
	text := fmt.Sprintf("%s is what %s.%s holds: one of %s.", f.union.goName, st.goName, f.goName, strings.Join(types, ", "))
	if len(empty) > 0 {
		text += fmt.Sprintf(" With the key %s it is nil.", strings.Join(empty, " or "))
	}
	w.printf("\n")
	w.comment(text)
	w.printf("type %s interface{ is%s() }\n", f.union.goName, f.union.goName)
}

func (m *model) newFile(w *writer) {
	w.printf("package libxl\n")
	for _, st := range m.structs {
		w.printf("\n// New%s returns a %s with libxl's defaults.\n", st.goName, st.goName)
		if !st.hasDefaults() {
			w.printf("func New%s() *%s { return new(%s) }\n", st.goName, st.goName, st.goName)
			continue
		}
		w.printf("func New%s() *%s {\nx := new(%s)\nx.setDefaults()\nreturn x\n}\n", st.goName, st.goName, st.goName)
		w.printf("\nfunc (x *%s) setDefaults() {\n", st.goName)
		for _, f := range st.fields {
			switch n := f.newest(); {
			case f.union != nil:
				if n := f.union.keyInit; n != (Number{}) {
					w.printf("x.%s = %s\n", f.union.keyGo, f.union.key.literal(n))
				}
			case f.Array != nil, f.Const:
			case f.strukt != nil:
				if f.strukt.hasDefaults() {
					w.printf("x.%s.setDefaults()\n", f.goName)
				}
			case n != Number{}:
				w.printf("x.%s = %s\n", f.goName, f.literal(n))
			}
		}
		w.printf("}\n")
	}
}

// literal is a default as Go source.
func (f *member) literal(n Number) string {
	switch {
	case f.enum != nil:
		return f.enum.literal(n)
	case f.memkb && ^n.Bits == 0:
		return "MemkbDefault"
	case n.Negative || n.Bits < 1<<16:
		return n.String()
	}
	return fmt.Sprintf("%#x", n.Bits)
}

// wrap breaks a text into lines of at most width columns.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}
