package idl

import (
	"fmt"
	"strings"
)

// maxMembers is how many members jsonSeen of package libxl can tell apart.
const maxMembers = 128

// jsonAsOf is the release after which a new struct is left out of JSON while it
// is empty, where libxl would always write it: so JSON that uses nothing newer
// is what the releases in use write, and all releases take it for the same.
var jsonAsOf = Release{4, 20}

// jsonKind is how the members of a kind are written and read: Go source with
// $x for the field, $n for its name in JSON, $d for its default, $t for the
// table of its enumeration and $T for its type. Without write the elements of
// arrays cannot be of that kind.
type jsonKind struct{ write, read, writeElem, readElem string }

var jsonUint = jsonKind{
	write: "w.uint($n, uint64($x), $d)", read: "readUint(r, &$x)",
	writeElem: "writeUint[$T]", readElem: "readUint[$T]",
}

var jsonInt = jsonKind{write: "w.int($n, int64($x), $d)", read: "readInt(r, &$x)"}

var jsonKinds = map[string]jsonKind{
	"KindBool":   {write: "w.bool($n, $x)", read: "r.bool(&$x)"},
	"KindInt":    jsonInt,
	"KindDevid":  jsonInt,
	"KindUint8":  jsonUint,
	"KindUint16": jsonUint,
	"KindUint32": jsonUint,
	"KindUint64": jsonUint,
	"KindEnum": {write: "w.enum($n, &$t, int32($x), $d)", read: "readEnum(r, &$t, &$x)",
		writeElem: "func(w *jsonWriter, x *$T) { w.enumValue(\"\", &$t, int32(*x)) }",
		readElem:  "func(r *jsonReader, x *$T) error { return readEnum(r, &$t, x) }"},
	"KindDefbool":      {write: "w.defbool($n, $x)", read: "r.defbool(&$x)"},
	"KindUUID":         {write: "w.uuid($n, $x)", read: "r.uuid(&$x)"},
	"KindMAC":          {write: "w.mac($n, $x)", read: "r.mac(&$x)"},
	"KindHwcap":        {write: "w.hwcap($n, $x)", read: "r.hwcap(&$x)"},
	"KindGenID":        {write: "w.genid($n, $x)", read: "r.genid(&$x)"},
	"KindString":       {write: "w.string($n, $x)", read: "r.text(&$x)"},
	"KindBitmap":       {write: "w.bitmap($n, $x)", read: "r.bitmap(&$x)", writeElem: "writeBitmap", readElem: "(*jsonReader).bitmap"},
	"KindStringList":   {write: "w.stringList($n, $x)", read: "r.stringList(&$x)"},
	"KindKeyValueList": {write: "w.keyValueList($n, $x)", read: "r.keyValueList(&$x)"},
	"KindCpuidPolicy":  {write: "w.cpuidPolicy($n, $x)", read: "r.cpuidPolicy(&$x)"},
	"KindStruct":       {write: "w.object($n, &$x)", read: "$x.readJSON(r)", writeElem: "writeStruct[$T]", readElem: "readStruct[$T]"},
}

// jsonText fills in a text of jsonKinds.
func (f *member) jsonText(text string) string {
	def, table := "0", ""
	if n := f.newest(); n != (Number{}) {
		def = f.jsonDefault(n)
	}
	if f.enum != nil {
		table = f.enum.table()
	}
	return strings.NewReplacer("$x", "x."+f.goName, "$n", fmt.Sprintf("%q", f.Name), "$d", def,
		"$t", table, "$T", f.goType).Replace(text)
}

func (f *member) jsonDefault(n Number) string {
	if f.enum != nil {
		return "int32(" + f.enum.literal(n) + ")"
	}
	return f.literal(n)
}

func (m *model) jsonFile(w *writer) {
	w.printf("package libxl\n")
	for _, st := range m.structs {
		w.printf(`
// MarshalJSON implements json.Marshaler in libxl's form.
func (x %[1]s) MarshalJSON() ([]byte, error) { return appendJSON(nil, &x) }

// AppendJSON appends what MarshalJSON returns to b.
func (x *%[1]s) AppendJSON(b []byte) ([]byte, error) { return appendJSON(b, x) }

// UnmarshalJSON implements json.Unmarshaler in libxl's form. What the JSON
// leaves out gets its default; after an error x is as it was.
func (x *%[1]s) UnmarshalJSON(b []byte) error {
	v := New%[1]s()
	if err := unmarshalJSON(b, v); err != nil {
		return err
	}
	*x = *v
	return nil
}
`, st.goName)
		writeJSON(w, st)
		readJSON(w, st)
	}
}

func writeJSON(w *writer, st *structure) {
	w.printf("\nfunc (x *%s) writeJSON(w *jsonWriter) {\nw.open('{')\n", st.goName)
	for _, f := range st.fields {
		switch {
		case f.goName == "":
		case f.Const:
			w.printf("w.never(%q, x.%s)\n", f.Name, f.goName)
		case f.union != nil:
			writeUnion(w, f)
		case f.Array != nil:
			elem := jsonKinds[f.kind].writeElem
			if elem == "" {
				panic(fmt.Sprintf("%s.%s: JSON of arrays of %s is not known: enter it in internal/idl/gen_json.go", st.name, f.Name, f.kind))
			}
			w.printf("%s\n", f.jsonText("writeArray(w, $n, $x, "+elem+")"))
		case f.strukt != nil && f.since.Compare(jsonAsOf) > 0:
			w.printf("%s\n", f.jsonText("w.newObject($n, &$x)"))
		default:
			w.printf("%s\n", f.jsonText(jsonKinds[f.kind].write))
		}
	}
	w.printf("w.close('}')\n}\n")
}

func writeUnion(w *writer, f *member) {
	u := f.union
	def := "0"
	if u.keyInit != (Number{}) {
		def = "int32(" + u.key.literal(u.keyInit) + ")"
	}
	w.printf("switch v := x.%s.(type) {\n", f.goName)
	for _, um := range u.members {
		if um.strukt != nil {
			w.printf("case *%s:\nif v == nil {\nw.fail(%q, \"nil *%s\")\nbreak\n}\n", um.strukt.goName, u.keyName, um.strukt.goName)
			w.printf("w.union(%q, %q, &%s, int32(x.%s), %s, int32(%s), v)\n",
				f.Name, u.keyName, u.key.table(), u.keyGo, def, u.key.constant(um.value))
		}
	}
	w.printf("default:\nswitch x.%s {\n", u.keyGo)
	for _, um := range u.members {
		if um.strukt == nil {
			w.printf("case %s:\nw.emptyUnion(%q, &%s, int32(x.%s))\n", u.key.constant(um.value), u.keyName, u.key.table(), u.keyGo)
		} else {
			w.printf("case %s:\nw.fail(%q, \"nil, but the key is %%q: want a *%s\", x.%s)\n",
				u.key.constant(um.value), u.keyName, um.strukt.goName, u.keyGo)
		}
	}
	w.printf("default:\nif int32(x.%s) != %s {\nw.fail(%q, \"%%s, but the union has no such member\", x.%s)\n}\n}\n}\n",
		u.keyGo, def, u.keyName, u.keyGo)
}

func readJSON(w *writer, st *structure) {
	if len(st.fields) > maxMembers {
		panic(fmt.Sprintf("%s has more than %d members: make jsonSeen larger", st.name, maxMembers))
	}
	w.printf("\nfunc (x *%s) readJSON(r *jsonReader) error {\n", st.goName)
	any := false
	for _, f := range st.fields {
		any = any || f.goName != ""
	}
	if !any {
		w.printf("return r.empty()\n}\n")
		return
	}
	w.printf("var seen jsonSeen\nreturn r.object(func(key []byte) error {\nvar n int\nvar err error\nswitch string(key) {\n")
	for i, f := range st.fields {
		if f.goName == "" {
			continue
		}
		if f.union != nil {
			readUnion(w, f, i)
			continue
		}
		w.printf("case %q:\n", f.Name)
		switch {
		case f.Const:
			w.printf("n, err = %d, r.never()\n", i)
		case f.Array != nil:
			init := "0"
			switch {
			case f.strukt != nil:
				init = "*New" + f.goType + "()"
			case f.kind == "KindBitmap":
				init = "Bitmap{}"
			}
			w.printf("n, err = %d, %s\n", i, f.jsonText("readArray(r, &$x, "+init+", "+jsonKinds[f.kind].readElem+")"))
		default:
			w.printf("n, err = %d, %s\n", i, f.jsonText(jsonKinds[f.kind].read))
		}
	}
	w.printf("default:\nreturn r.unknown()\n}\nreturn seen.add(n, err)\n})\n}\n")
}

func readUnion(w *writer, f *member, i int) {
	u := f.union
	for _, um := range u.members {
		w.printf("case \"%s.%s\":\n", u.keyName, um.Name)
		if um.strukt != nil {
			w.printf("v := New%s()\nn, err = %d, v.readJSON(r)\nx.%s, x.%s = %s, v\n",
				um.strukt.goName, i, u.keyGo, f.goName, u.key.constant(um.value))
		} else {
			w.printf("n, err = %d, r.empty()\nx.%s = %s\n", i, u.keyGo, u.key.constant(um.value))
		}
	}
}

// testTypesFile lists all structs for tests.
func (m *model) testTypesFile(w *writer) {
	w.printf("package abitest\n\nimport \"github.com/go-xenlight/xenlight/libxl\"\n\n// Types are all structs of package libxl.\nvar Types = []Type{\n")
	for _, st := range m.structs {
		w.printf("typeOf(libxl.New%s),\n", st.goName)
	}
	w.printf("}\n")
}
