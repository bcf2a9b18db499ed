package idl

import (
	"bytes"
	"fmt"
	"strings"
)

// shares says whether copies of a value share memory.
func (r *repr) shares() bool {
	switch r.kind {
	case "KindBitmap", "KindStringList", "KindKeyValueList", "KindCpuidPolicy", "KindUnion":
		return true
	case "KindStruct":
		return r.strukt.shares()
	}
	return false
}

func (st *structure) shares() bool {
	for _, f := range st.fields {
		if f.goName != "" && (f.Array != nil || f.shares()) {
			return true
		}
	}
	return false
}

func (m *model) copyFile(w *writer) {
	body := new(writer)
	m.copyMethods(body)
	w.printf("package libxl\n")
	for _, name := range []string{"maps", "slices"} {
		if bytes.Contains(body.Bytes(), []byte(name+".")) {
			w.printf("\nimport %q\n", name)
		}
	}
	w.Write(body.Bytes())
}

func (m *model) copyMethods(w *writer) {
	for _, st := range m.structs {
		unshare := ""
		if st.shares() {
			unshare = "y.unshare()\n"
		}
		w.printf(`
// Clone returns a copy that shares no memory with x.
func (x *%[1]s) Clone() *%[1]s {
	if x == nil {
		return nil
	}
	y := *x
	%[2]sreturn &y
}

// Equal says whether x and y hold the same; nil equals only nil.
func (x *%[1]s) Equal(y *%[1]s) bool {
	if x == nil || y == nil {
		return x == y
	}
	return %[3]s
}
`, st.goName, unshare, st.comparison())
		if st.shares() {
			w.printf("\nfunc (x *%s) unshare() {\n", st.goName)
			for _, f := range st.fields {
				if f.goName != "" {
					unshareField(w, f)
				}
			}
			w.printf("}\n")
		}
	}
	for _, st := range m.structs {
		for _, f := range st.fields {
			if f.union != nil {
				unionCopy(w, f.union)
			}
		}
	}
}

func unshareField(w *writer, f *member) {
	name := "x." + f.goName
	switch {
	case f.Array != nil:
		w.printf("%s = slices.Clone(%[1]s)\n", name)
		switch {
		case f.kind == "KindBitmap":
			w.printf("for i := range %s {\n%[1]s[i] = %[1]s[i].Clone()\n}\n", name)
		case f.strukt != nil && f.strukt.shares():
			w.printf("for i := range %s {\n%[1]s[i].unshare()\n}\n", name)
		case f.strukt == nil && f.shares():
			panic("arrays of " + f.kind + " cannot be copied yet: see internal/idl/gen_copy.go")
		}
	case f.union != nil:
		w.printf("%s = clone%s(%[1]s)\n", name, f.union.goName)
	case f.kind == "KindBitmap":
		w.printf("%s = %[1]s.Clone()\n", name)
	case f.kind == "KindStringList", f.kind == "KindCpuidPolicy":
		w.printf("%s = slices.Clone(%[1]s)\n", name)
	case f.kind == "KindKeyValueList":
		w.printf("%s = maps.Clone(%[1]s)\n", name)
	case f.strukt != nil && f.strukt.shares():
		w.printf("%s.unshare()\n", name)
	}
}

// comparison is the Go expression that compares the fields of x and y.
func (st *structure) comparison() string {
	var parts []string
	for _, f := range st.fields {
		if f.goName == "" {
			continue
		}
		x, y := "x."+f.goName, "y."+f.goName
		form := "%s == %s"
		switch {
		case f.Array != nil && f.strukt != nil:
			form = "slices.EqualFunc(%s, %s, func(x, y " + f.goType + ") bool { return x.Equal(&y) })"
		case f.Array != nil && f.kind == "KindBitmap":
			form = "slices.EqualFunc(%s, %s, Bitmap.Equal)"
		case f.Array != nil, f.kind == "KindStringList", f.kind == "KindCpuidPolicy":
			form = "slices.Equal(%s, %s)"
		case f.union != nil:
			parts = append(parts, fmt.Sprintf("x.%s == y.%[1]s", f.union.keyGo))
			form = "equal" + f.union.goName + "(%s, %s)"
		case f.kind == "KindKeyValueList":
			form = "maps.Equal(%s, %s)"
		case f.kind == "KindBitmap":
			form = "%s.Equal(%s)"
		case f.strukt != nil:
			form = "%s.Equal(&%s)"
		}
		parts = append(parts, fmt.Sprintf(form, x, y))
	}
	if len(parts) == 0 {
		return "true"
	}
	return strings.Join(parts, " &&\n")
}

func unionCopy(w *writer, u *union) {
	w.printf("\nfunc clone%s(u %[1]s) %[1]s {\nswitch v := u.(type) {\n", u.goName)
	for _, um := range u.members {
		if um.strukt != nil {
			w.printf("case *%s:\nreturn v.Clone()\n", um.strukt.goName)
		}
	}
	w.printf("}\nreturn nil\n}\n\nfunc equal%s(x, y %[1]s) bool {\nswitch x := x.(type) {\n", u.goName)
	for _, um := range u.members {
		if um.strukt != nil {
			w.printf("case *%s:\ny, ok := y.(*%[1]s)\nreturn ok && x.Equal(y)\n", um.strukt.goName)
		}
	}
	w.printf("}\nreturn x == y\n}\n")
}
