package idl

import (
	"errors"
	"os"
	"slices"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// Function is one C function as idl/functions.idl describes it.
type Function struct {
	Name    string // C name
	Section string
	File    string // of package xenlight, without _gen.go: where its method goes
	Header  string
	Library string
	Since   Release
	Arch    string // the only architecture that has it (x86 or arm), if not all
	Blocks  string // why it may block although nothing is asynchronous about it
	Args    []*Arg
	Returns *Returns

	// One of these says what becomes of it in package xenlight.
	Doc      string // what the generated method does; paragraphs have an empty line between them
	Hand     bool   // the method is written by hand
	Internal string // why there is none

	Go string // what users call: Host.DomainPause, libxl.ParseMac; empty if internal

	pos syntax.Position
}

// Arg is one parameter of a function.
type Arg struct {
	Name string
	*CType
	Optional bool    // it may be NULL
	Since    Release // releases before know no such parameter; zero if all do
	Bits     string  // a bitmap that must be allocated before: the function that tells how many bits
	Needs    string  // a member that must not be zero: libxl would crash
	Exists   bool    // the domain must exist: libxl does not look
	Acpi     bool    // the domain's stored configuration must say on Arm whether it has ACPI
}

// The return conventions.
const (
	ReturnStatus  = "status"  // 0 or a negative error
	ReturnValue   = "value"   // a number, or a negative error
	ReturnNumber  = "number"  // a number, whatever it is
	ReturnBoolean = "boolean" // zero or not
	ReturnCode    = "code"    // 0 or a code of the function's own
	ReturnErrno   = "errno"   // 0 or a positive errno
	ReturnRaw     = "raw"     // -1 with errno set on errors
	ReturnVoid    = "void"
	ReturnOwned   = "owned"   // a pointer that remains libxl's
	ReturnGiven   = "given"   // a pointer to be freed with free, NULL on errors
	ReturnList    = "list"    // a pointer to an array to be freed with Free
	ReturnNever   = "replace" // replaces the process, or an error
)

// Returns says what a function returns.
type Returns struct {
	Convention string
	*CType
	Len  string // list: the parameter that gets its length
	Free string // list: the function that frees it; if none, dispose of the elements and free it
	Full bool   // list: it cannot be empty, so that NULL is an error whatever the length
	Doc  string
}

// EvalFunctionsFile evaluates idl/functions.idl.
func EvalFunctionsFile(name string, s *Schema) (*Catalog, error) {
	src, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return EvalFunctions(name, src, s)
}

// EvalFunctions evaluates the text of a file such as idl/functions.idl, which
// can use all types of a schema.
func EvalFunctions(name string, src []byte, s *Schema) (*Catalog, error) {
	e := &functionEvaluator{schema: s, evaluator: evaluator{calls: make(map[syntax.Position]*syntax.CallExpr)}}
	predeclared := starlark.StringDict{}
	for name, t := range cScalars {
		t.base = name
		predeclared[name] = &ctypeValue{&t}
	}
	for _, t := range s.Types {
		predeclared[strings.TrimSuffix(s.Namespace, "_")+"_"+t.Name] = &ctypeValue{schemaCType(t)}
	}
	for _, conv := range []string{ReturnStatus, ReturnValue, ReturnBoolean, ReturnErrno, ReturnRaw, ReturnNever} {
		r := &Returns{Convention: conv, CType: &CType{C: "int", Go: "int32", Words: 1}}
		if conv == ReturnBoolean {
			r.Go = "bool"
		}
		predeclared[conv] = &returnsValue{r}
	}
	predeclared["void"] = &returnsValue{&Returns{Convention: ReturnVoid, CType: &CType{C: "void"}}}
	for name, build := range map[string]builder{
		"section": e.section, "header": e.setHeader, "Function": e.function, "Excluded": e.exclude, "Opaque": e.opaque, "Callback": e.callback, "Typedef": e.typedef,
		"Pointer": e.pointer, "In": e.pointer, "Out": e.pointer, "InOut": e.pointer,
		"Number": e.returns, "Code": e.returns, "Owned": e.returns, "Given": e.returns, "List": e.returns,
	} {
		predeclared[name] = starlark.NewBuiltin(name, e.constructor(build))
	}
	if _, err := e.run(name, src, predeclared); err != nil {
		return nil, err
	}
	return &e.Catalog, e.check()
}

type functionEvaluator struct {
	evaluator
	Catalog
	schema  *Schema
	current string // section
	file    string // of the section
	header  string
}

// returnsValue is a return convention as a Starlark value.
type returnsValue struct{ *Returns }

func (v *returnsValue) String() string        { return v.Convention }
func (v *returnsValue) Type() string          { return "convention" }
func (v *returnsValue) Freeze()               {}
func (v *returnsValue) Truth() starlark.Bool  { return true }
func (v *returnsValue) Hash() (uint32, error) { return 0, errors.New("a convention is not hashable") }

// section begins a section, and leaves the headers but libxl.h.
func (e *functionEvaluator) section(c *call) (starlark.Value, error) {
	if err := c.take(1, "file"); err != nil {
		return nil, err
	}
	if err := c.strInto(&e.current, 0); err != nil {
		return nil, err
	}
	e.file, e.header = sectionFile(e.current), mainHeader
	return starlark.None, c.text(&e.file, "file")
}

// sectionFile is the name of a section's file if none is given.
func sectionFile(title string) string {
	title, _, _ = strings.Cut(strings.TrimPrefix(title, "Devices: "), ":")
	words := strings.FieldsFunc(strings.ToLower(title), func(r rune) bool { return r < 'a' || r > 'z' })
	return strings.Join(words, "_")
}

// setHeader says which header declares the functions that follow.
func (e *functionEvaluator) setHeader(c *call) (starlark.Value, error) {
	if err := c.take(1); err != nil {
		return nil, err
	}
	return starlark.None, c.strInto(&e.header, 0)
}

func (e *functionEvaluator) returns(c *call) (starlark.Value, error) {
	options := map[string][]string{"List": {"len", "free", "full"}, "Code": {"doc"}, "Number": {"doc"}, "Owned": {"const"}}
	n := 1
	if c.name == "Code" {
		n = 0
	}
	if err := c.take(n, options[c.name]...); err != nil {
		return nil, err
	}
	r := &Returns{Convention: strings.ToLower(c.name), CType: &CType{C: "int", Go: "int32", Words: 1}}
	isConst := c.name == "Owned"
	err := errors.Join(c.text(&r.Len, "len"), c.text(&r.Free, "free"), c.text(&r.Doc, "doc"),
		c.flag(&r.Full, "full"), c.flag(&isConst, "const"))
	if err != nil || c.name == "Code" {
		return &returnsValue{r}, err
	}
	t, err := c.ctype(0)
	if err != nil {
		return nil, err
	}
	if c.name == "Number" {
		r.CType = t
		return &returnsValue{r}, nil
	}
	r.CType = &CType{C: star(t.C), Go: pointer, Words: 1, base: t.base}
	switch {
	case t.base == "string" && c.name == "Given":
		r.C = "char *"
	case t.base == "string":
		r.C = "const char *"
	case isConst:
		r.C = "const " + r.C
	}
	return &returnsValue{r}, nil
}

func (e *functionEvaluator) function(c *call) (starlark.Value, error) {
	if err := c.take(3, "since", "library", "arch", "blocks", "doc", "hand", "internal", "go"); err != nil {
		return nil, err
	}
	f := &Function{Section: e.current, File: e.file, Header: e.header, Library: "libxenlight", pos: c.pos}
	since := e.schema.First().String()
	err := errors.Join(c.strInto(&f.Name, 0), c.text(&since, "since"), c.text(&f.Library, "library"),
		c.text(&f.Arch, "arch"), c.text(&f.Blocks, "blocks"),
		c.text(&f.Doc, "doc"), c.flag(&f.Hand, "hand"), c.text(&f.Internal, "internal"), c.text(&f.Go, "go"))
	if err != nil {
		return nil, err
	}
	f.Doc = paragraphs(f.Doc)
	if f.Since, err = e.release(c.pos, f.Name, since); err != nil {
		return nil, err
	}
	if !slices.Contains([]string{"", "x86", "arm"}, f.Arch) {
		return nil, errorAt(c.pos, "%s: expected x86 or arm as arch, got %s", f.Name, f.Arch)
	}
	r, ok := c.args[1].(*returnsValue)
	if !ok {
		return nil, errorAt(c.at(1), "%s: expected a return convention, got %s", f.Name, c.args[1])
	}
	f.Returns = r.Returns
	items, err := c.list(2)
	if err != nil {
		return nil, err
	}
	for _, it := range items {
		a, err := e.arg(f, it)
		if err != nil {
			return nil, err
		}
		f.Args = append(f.Args, a)
	}
	e.Functions = append(e.Functions, f)
	return starlark.None, nil
}

// release is one that the schema knows.
func (e *functionEvaluator) release(pos syntax.Position, name, since string) (Release, error) {
	r, err := ParseRelease(since)
	if err != nil || !slices.Contains(e.schema.Releases, r) {
		return r, errorAt(pos, "%s: expected a known release as since, got %s", name, since)
	}
	return r, nil
}

// arg reads a parameter: (name, type[, {options}]).
func (e *functionEvaluator) arg(f *Function, it item) (*Arg, error) {
	fault := errorAt(it.pos, "%s: expected (\"name\", type) or (\"name\", type, {options}), got %s", f.Name, it.value)
	tuple, ok := it.value.(starlark.Tuple)
	if !ok || len(tuple) < 2 || len(tuple) > 3 {
		return nil, fault
	}
	name, _ := starlark.AsString(tuple[0])
	t, ok := tuple[1].(*ctypeValue)
	if !ok || name == "" {
		return nil, fault
	}
	if t.Words == 0 {
		return nil, errorAt(it.pos, "%s: %s %s cannot be passed by value: expected In, Out or InOut", f.Name, t.C, name)
	}
	a := &Arg{Name: name, CType: t.CType}
	if len(tuple) == 2 {
		return a, nil
	}
	options, ok := tuple[2].(*starlark.Dict)
	if !ok {
		return nil, fault
	}
	for _, kv := range options.Items() {
		key, _ := starlark.AsString(kv[0])
		text, isText := starlark.AsString(kv[1])
		switch {
		case key == "optional" && kv[1] == starlark.True && strings.HasSuffix(a.C, "*"):
			a.Optional = true
		case key == "since" && isText:
			r, err := e.release(it.pos, f.Name, text)
			if err != nil {
				return nil, err
			}
			a.Since = r
		case key == "bits" && isText && a.base == "bitmap" && a.Dir != ByValue:
			a.Bits = text
		case key == "exists" && kv[1] == starlark.True && a.base == "domid" && a.Dir == ByValue:
			a.Exists = true
		case key == "acpi" && kv[1] == starlark.True && a.base == "domid" && a.Dir == ByValue:
			a.Acpi = true
		case key == "needs" && isText && e.schema.hasMember(a.base, text):
			a.Needs = text
		default:
			return nil, errorAt(it.pos, "%s: expected optional (True, of a pointer), since (a release), bits (a function, of a bitmap), "+
				"needs (a member, of a struct), exists or acpi (True, of a domain), got %s: %s", name, kv[0], kv[1])
		}
	}
	return a, nil
}

// hasMember says whether a type is a struct with such a member.
func (s *Schema) hasMember(typ, member string) bool {
	t := s.Lookup(typ)
	return t != nil && slices.ContainsFunc(t.Fields, func(f *Field) bool { return f.Name == member })
}

// paragraphs removes the indentation and the line breaks of a text; between
// paragraphs an empty line remains.
func paragraphs(text string) string {
	var list []string
	for p := range strings.SplitSeq(strings.ReplaceAll(text, "\r", ""), "\n\n") {
		if words := strings.Fields(p); len(words) > 0 {
			list = append(list, strings.Join(words, " "))
		}
	}
	return strings.Join(list, "\n\n")
}

// Prototype is the function's C declaration in the newest release, without the
// semicolon.
func (f *Function) Prototype() string { return f.prototype(f.Args) }

// PrototypeIn is the C declaration that a release has.
func (f *Function) PrototypeIn(r Release) string {
	return f.prototype(slices.DeleteFunc(slices.Clone(f.Args), func(a *Arg) bool { return a.Since.Compare(r) > 0 }))
}

func (f *Function) prototype(list []*Arg) string {
	args := mapped(list, func(a *Arg) string { return declare(a.C, a.Name) })
	if len(args) == 0 {
		args = []string{"void"}
	}
	return declare(f.Returns.C, f.Name) + "(" + strings.Join(args, ", ") + ")"
}

// declare is a C declaration of a name.
func declare(c, name string) string {
	if strings.HasSuffix(c, "*") {
		return c + name
	}
	return c + " " + name
}

// GoName is the name of the method of the raw call.
func (f *Function) GoName() string { return goName(strings.TrimPrefix(f.Name, "libxl_")) }
