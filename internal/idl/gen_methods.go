package idl

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// methodFiles returns a writer for each file of package xenlight that has the
// methods of the functions of one section.
func (m *model) methodFiles() (map[string]func(*writer), error) {
	bySection := make(map[string][]*method)
	for _, f := range m.functions {
		if f.Doc == "" {
			continue
		}
		x, err := m.method(f)
		if err != nil {
			return nil, err
		}
		bySection[f.File] = append(bySection[f.File], x)
	}
	files := make(map[string]func(*writer))
	for name, methods := range bySection {
		files[name+"_gen.go"] = func(w *writer) { m.methodsFile(w, methods) }
	}
	return files, nil
}

// method is a public method that calls one function.
type method struct {
	f       *Function
	domid   string   // Go name of the parameter that says which domain it is about
	params  []string // "name type", in Go
	results []string // "name type" without the error
	vars    []string // statements before the call
	args    []string // of the raw call
	async   bool
}

// method works out the Go side of a function that follows the rules. Those that
// do not are written by hand.
func (m *model) method(f *Function) (*method, error) {
	x := &method{f: f}
	if len(f.Args) == 0 || f.Args[0].Go != "Ctx" {
		return nil, errorAt(f.pos, "%s: without a context it needs hand = True", f.Name)
	}
	x.async = slices.ContainsFunc(f.Args, func(a *Arg) bool { return a.base == "ao_how" })
	for _, a := range f.Args {
		if a.Name == f.Returns.Len {
			continue
		}
		if err := x.argument(m, a); err != nil {
			return nil, errorAt(f.pos, "%s: %s: %v: it needs hand = True", f.Name, a.Name, err)
		}
	}
	if code, _ := x.finish(); code == "" {
		return nil, errorAt(f.pos, "%s: for what it returns it needs hand = True", f.Name)
	}
	return x, nil
}

// argument adds one argument: what of it the user sees, and how libxl gets it.
func (x *method) argument(m *model, a *Arg) error {
	name := goParam(a.Name)
	if a.Dir == PointerOut {
		// libxl marks some of what it writes.
		name = goParam(strings.TrimSuffix(strings.TrimSuffix(strings.TrimPrefix(a.Name, "out_"), "_out"), "_r"))
	}
	switch name {
	case "f", "h", "c", "n", "how", "err", "yes", "text", "items": // the method has its own
		name += "Value"
	case "type_":
		name = "kind"
	}
	param := func(typ, arg string, args ...any) {
		x.params = append(x.params, name+" "+typ)
		x.args = append(x.args, fmt.Sprintf(arg, args...))
	}
	variable := func(typ, get string, args ...any) {
		if get != "" {
			x.vars = append(x.vars, fmt.Sprintf("%sArg := %s", name, fmt.Sprintf(get, args...)))
		}
		param(typ, "%sArg", name)
	}
	result := func(typ, get string) {
		x.results = append(x.results, name+" "+typ)
		if get == "" {
			x.args = append(x.args, "&"+name)
			return
		}
		x.vars = append(x.vars, fmt.Sprintf("%sArg := %s", name, get))
		x.args = append(x.args, name+"Arg")
	}
	optional := func(call string) string {
		if a.Optional {
			return "optional" + strings.ToUpper(call[:1]) + call[1:]
		}
		return call
	}
	goType := m.publicType(a)
	if a.Needs != "" {
		x.vars = append(x.vars, m.needs(a, name))
	}
	switch {
	case a.base == "ctx":
		x.args = append(x.args, "c")
	case a.base == "ao_how":
		x.args = append(x.args, "how")
	case a.base == "aop_how":
		return fmt.Errorf("progress")
	case a.base == "domid" && a.Dir == ByValue && x.domid == "":
		x.domid = name
		if a.Exists {
			x.vars = append(x.vars, "f.mustExist()")
		}
		if a.Acpi {
			x.vars = append(x.vars, "f.mustSayAcpi()")
		}
		param("libxl.Domid", "uint32(%s)", name)
	case a.base == "domid" && a.Dir == ByValue:
		variable("libxl.Domid", "f.domain(%q, %s)", name, name)
	case a.base == "domid" && a.Dir == PointerOut && !x.async:
		x.results = append(x.results, name+" libxl.Domid")
		x.args = append(x.args, "(*uint32)(&"+name+")")
	case (a.base == "string" || a.base == "text") && a.Dir == ByValue || a.base == "string" && a.Dir == PointerIn:
		variable("string", "f.%s(%q, %s)", optional("str"), name, name)
	case a.base == "string" && a.Dir == PointerOut:
		result("string", fmt.Sprintf("f.outStr(&%s)", name))
	case a.base == "bitmap" && a.Dir == ByValue:
		variable("libxl.Bitmap", "f.bitmapWords(%s)", name)
	case a.base == "bitmap" && a.Dir == PointerIn && a.Bits != "":
		variable("libxl.Bitmap", "f.paddedBitmap(%s, f.h.lib.%s)", name, goName(strings.TrimPrefix(a.Bits, "libxl_")))
	case a.base == "bitmap" && a.Dir == PointerIn:
		variable("libxl.Bitmap", "f.%s(%s)", optional("bitmap"), name)
	case a.base == "bitmap" && a.Dir == PointerOut && a.Bits != "":
		result("libxl.Bitmap", fmt.Sprintf("f.roomyBitmap(&%s, f.h.lib.%s)", name, goName(strings.TrimPrefix(a.Bits, "libxl_"))))
	case a.base == "bitmap" && a.Dir == PointerOut:
		result("libxl.Bitmap", fmt.Sprintf("f.outBitmap(&%s)", name))
	case a.base == "uuid" && a.Dir == ByValue:
		param("libxl.Uuid", "capi.UUIDWords(%s)", name)
	case m.isStruct(a.base) && a.Dir == PointerIn && !a.Optional:
		variable("*"+goType, "in(f, %s)", name)
	case m.isStruct(a.base) && a.Dir == PointerInOut && !a.Optional:
		variable("*"+goType, "inOut(f, %s)", name)
	case m.isStruct(a.base) && a.Dir == PointerOut:
		result(goType, fmt.Sprintf("out(f, &%s)", name))
	case m.isEnum(a.base) && a.Dir == ByValue:
		variable(goType, "enum(f, %q, %s)", name, name)
	case m.isEnum(a.base) && a.Dir == PointerOut && !x.async:
		x.results = append(x.results, name+" "+goType)
		x.args = append(x.args, "(*int32)(&"+name+")")
	case a.base == "integer" && a.Dir == ByValue:
		variable("int", "f.integer(%q, %s)", name, name)
	case a.base == "integer" && a.Dir == PointerOut && !x.async:
		result("int", fmt.Sprintf("f.outInteger(&%s)", name))
	case goType == "" || x.async && a.Dir != ByValue:
		return fmt.Errorf("nothing regular")
	case a.Dir == ByValue:
		param(goType, "%s", name)
	case a.Dir == PointerOut && a.Go == "*"+goType:
		result(goType, "")
	case a.Dir == PointerInOut && a.Go == "*"+goType:
		x.params = append(x.params, name+" "+goType)
		x.results = append(x.results, name+"Out "+goType)
		x.vars = append(x.vars, fmt.Sprintf("%sOut = %s", name, name))
		x.args = append(x.args, "&"+name+"Out")
	default:
		return fmt.Errorf("nothing regular")
	}
	return nil
}

// needs is a check of a struct's member that must not be zero.
func (m *model) needs(a *Arg, name string) string {
	path, zero := "", "0"
	for _, f := range m.byName[a.base].(*structure).fields {
		if f.Name == a.Needs {
			path = f.goName
			if f.Type == "string" {
				zero = `""`
			}
		}
	}
	return fmt.Sprintf("f.needs(%q, %s != nil && %s.%s == %s)", path, name, name, path, zero)
}

// publicType is the Go type of a value that a user passes or gets; empty for
// what has none.
func (m *model) publicType(a *Arg) string {
	switch t := m.byName[a.base].(type) {
	case *structure:
		return "libxl." + t.goName
	case *enum:
		return "libxl." + t.goName
	}
	if t, ok := cScalars[a.base]; ok && t.Words == 1 && t.Go != pointer && !strings.HasPrefix(t.Go, "*") && t.Go != "Ctx" {
		return t.Go
	}
	return ""
}

func (m *model) isStruct(name string) bool {
	_, is := m.byName[name].(*structure)
	return is
}

func (m *model) isEnum(name string) bool {
	_, is := m.byName[name].(*enum)
	return is
}

// methodsFile writes the methods of one file.
func (m *model) methodsFile(w *writer, methods []*method) {
	body := new(writer)
	for _, x := range methods {
		x.write(body, m.releases[0])
	}
	text := body.String()
	w.printf("package xenlight\n\nimport (\n")
	for _, p := range []string{"context", "syscall", "", "github.com/go-xenlight/xenlight/internal/capi", "github.com/go-xenlight/xenlight/libxl"} {
		if p == "" {
			w.printf("\n")
		} else if strings.Contains(text, path.Base(p)+".") {
			w.printf("%q\n", p)
		}
	}
	w.printf(")\n%s", text)
}

// write writes a method.
func (x *method) write(w *writer, first Release) {
	f := x.f
	w.printf("\n")
	paragraphs := strings.Split(f.GoName()+" "+strings.TrimSpace(f.Doc), "\n\n")
	last := &paragraphs[len(paragraphs)-1]
	*last = strings.TrimSuffix(strings.TrimSpace(*last), ".") + ". It calls " + f.Name + "."
	if f.Since != first {
		*last += fmt.Sprintf(" Since Xen %s.", f.Since)
	}
	if f.Arch != "" {
		*last += " Only on " + map[string]string{"x86": "amd64", "arm": "arm64"}[f.Arch] + "."
	}
	w.comment(paragraphs...)

	params := x.params
	if x.async {
		params = append([]string{"ctx context.Context"}, params...)
	}
	finish, results := x.finish()
	signature := "error"
	if len(results) > 0 {
		signature = "(" + strings.Join(results, ", ") + ", err error)"
	}
	w.printf("func (h *Host) %s(%s) %s {\n", f.GoName(), strings.Join(params, ", "), signature)
	begin := fmt.Sprintf("h.begin(capi.Fn%s)", f.GoName())
	if x.domid != "" {
		begin = fmt.Sprintf("h.beginDomain(capi.Fn%s, %s)", f.GoName(), x.domid)
	}
	w.printf("f := %s\n%s", begin, lines(x.vars))
	w.printf("%s", finish)
	w.printf("}\n")
}

func lines(all []string) string { return iff(len(all) > 0, strings.Join(all, "\n")+"\n") }

// finish is the end of a method, and its results but the error.
func (x *method) finish() (code string, results []string) {
	f, results := x.f, x.results
	raw := fmt.Sprintf("h.lib.%s(%s)", f.GoName(), strings.Join(x.args, ", "))
	closure := fmt.Sprintf("func(c capi.Ctx) %s { return %s }", iff(f.Returns.Convention == ReturnRaw, "(int32, syscall.Errno)")+iff(f.Returns.Convention != ReturnRaw, "int32"), raw)
	returning := func(call string) string {
		if len(results) == 0 {
			return "return " + call + "\n"
		}
		return "err = " + call + "\nreturn " + names(results) + ", err\n"
	}
	switch f.Returns.Convention {
	case ReturnStatus:
		if x.async {
			return returning("f.operate(ctx, func(c capi.Ctx, how *capi.AsyncopHow) int32 {\nreturn " + raw + "\n})"), results
		}
		return returning("f.call(" + closure + ")"), results
	case ReturnVoid:
		return returning("f.call(func(c capi.Ctx) int32 {\n" + raw + "\nreturn 0\n})"), results
	case ReturnValue, ReturnRaw:
		all := append([]string{"n int"}, results...)
		call := fmt.Sprintf("f.%s(%s)", f.Returns.Convention, closure)
		if len(all) == 1 {
			return "return " + call + "\n", all
		}
		return "n, err = " + call + "\nreturn " + names(all) + ", err\n", all
	case ReturnBoolean:
		return fmt.Sprintf("return f.boolean(func(c capi.Ctx) bool { return %s })\n", raw), []string{"yes bool"}
	case ReturnGiven:
		return fmt.Sprintf("return f.text(func(c capi.Ctx) capi.Ptr { return %s })\n", raw), []string{"text string"}
	case ReturnList:
		elem := "libxl." + goName(strings.TrimPrefix(f.Returns.base, "libxl_"))
		raw := fmt.Sprintf("h.lib.%s(%s)", f.GoName(), strings.Join(x.listArgs(), ", "))
		free := "capi.ListFree[" + elem + "](f.h.lib)"
		if f.Returns.Free != "" {
			free = "f.h.lib." + goName(strings.TrimPrefix(f.Returns.Free, "libxl_"))
		}
		return fmt.Sprintf("return %s[%s](f, func(c capi.Ctx, n *int32) capi.Ptr {\nreturn %s\n}, %s)\n",
			iff(f.Returns.Full, "fullL")+iff(!f.Returns.Full, "l")+"ist", elem, raw, free), []string{"items []" + elem}
	}
	return "", results
}

// listArgs are the arguments of a call that returns a list, the length in its
// place.
func (x *method) listArgs() []string {
	args := slices.Clone(x.args)
	i := slices.IndexFunc(x.f.Args, func(a *Arg) bool { return a.Name == x.f.Returns.Len })
	return slices.Insert(args, i, "n")
}

// names are the names of "name type" pairs.
func names(pairs []string) string {
	return strings.Join(mapped(pairs, func(p string) string { name, _, _ := strings.Cut(p, " "); return name }), ", ")
}

// indexFile writes what go doc shows of package xenlight by sections, each with
// a heading, so that documentation's readers can be sent to it.
func (m *model) indexFile(w *writer, c *Catalog) {
	w.printf("// # Methods by section\n//\n")
	w.comment("The sections are those of libxl's function list, in its order.")
	section, methods := "", []string(nil)
	listed := make(map[string]bool) // one method may be for several functions
	flush := func() {
		if len(methods) > 0 {
			w.printf("//\n// # %s\n//\n", section)
			w.comment(strings.Join(methods, ", ") + ".")
		}
		methods = nil
	}
	for _, e := range c.Entries() {
		if e.Section != section {
			flush()
			section = e.Section
		}
		if strings.HasPrefix(e.Go, "Host.") && !listed[e.Go] {
			listed[e.Go] = true
			methods = append(methods, "["+e.Go+"]")
		}
	}
	flush()
	w.printf("package xenlight\n")
}
