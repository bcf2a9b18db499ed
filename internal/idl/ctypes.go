package idl

import (
	"errors"
	"fmt"
	"strings"

	"go.starlark.net/starlark"
)

// The directions of a parameter. A value goes in.
const (
	ByValue = iota
	PointerIn
	PointerOut
	PointerInOut
)

// CType is a C type of a parameter or of a result.
type CType struct {
	C     string // spelled with a trailing * where it is a pointer
	Go    string // of a parameter of the raw call
	Words int    // registers it takes; 0 if it cannot be passed by value
	Dir   int
	base  string // the name that functions.idl knows it by
}

// scalar C types, by the names that functions.idl gives them.
var cScalars = map[string]CType{
	"integer":  {C: "int", Go: "int32", Words: 1},
	"unsigned": {C: "unsigned int", Go: "uint32", Words: 1},
	"ulong":    {C: "unsigned long", Go: "uint", Words: 1},
	"long":     {C: "long", Go: "int", Words: 1},
	"size":     {C: "size_t", Go: "uint", Words: 1},
	"pid":      {C: "pid_t", Go: "int32", Words: 1},
	"char":     {C: "char", Go: "byte", Words: 1},
	"bool":     {C: "bool", Go: "bool", Words: 1},
	"int64":    {C: "int64_t", Go: "int64", Words: 1},
	"uint8":    {C: "uint8_t", Go: "uint8", Words: 1},
	"uint16":   {C: "uint16_t", Go: "uint16", Words: 1},
	"uint32":   {C: "uint32_t", Go: "uint32", Words: 1},
	"uint64":   {C: "uint64_t", Go: "uint64", Words: 1},
	"domid":    {C: "uint32_t", Go: "uint32", Words: 1},
	"flag":     {C: "int", Go: "bool", Words: 1},
	"fd":       {C: "int", Go: "int32", Words: 1},
	"timeval":  {C: "struct timeval", Go: "Timeval", Words: 2},
	"pointer":  {C: "void *", Go: pointer, Words: 1},
	"string":   {C: "const char *", Go: pointer, Words: 1},
	"text":     {C: "char *", Go: pointer, Words: 1},
	"ctx":      {C: "libxl_ctx *", Go: "Ctx", Words: 1},
	"ao_how":   {C: "const libxl_asyncop_how *", Go: "*AsyncopHow", Words: 1},
	"aop_how":  {C: "const libxl_asyncprogress_how *", Go: "*AsyncprogressHow", Words: 1},
}

const pointer = "unsafe.Pointer"

// builtinWords are the builtins that can be passed by value.
var builtinWords = map[string]CType{
	"defbool":           {Go: "int32", Words: 1},
	"domid":             {Go: "uint32", Words: 1},
	"devid":             {Go: "int32", Words: 1},
	"uuid":              {Go: "[2]uintptr", Words: 2},
	"bitmap":            {Go: "[2]uintptr", Words: 2},
	"cpuid_policy_list": {Go: pointer, Words: 1},
	"string_list":       {Go: pointer, Words: 1},
	"key_value_list":    {Go: pointer, Words: 1},
}

// schemaCType is a libxl type as a parameter's type.
func schemaCType(t *Type) *CType {
	c := &CType{C: "libxl_" + t.Name, base: t.Name}
	switch t.Kind {
	case KindEnum:
		c.Go, c.Words = "int32", 1
	case KindUInt:
		c.Go, c.Words = fmt.Sprintf("uint%d", t.Width), 1
	case KindBuiltin:
		w := builtinWords[t.Name]
		c.Go, c.Words = w.Go, w.Words
	}
	return c
}

// ctypeValue is a C type as a Starlark value.
type ctypeValue struct{ *CType }

func (v *ctypeValue) String() string        { return v.C }
func (v *ctypeValue) Type() string          { return "type" }
func (v *ctypeValue) Freeze()               {}
func (v *ctypeValue) Truth() starlark.Bool  { return true }
func (v *ctypeValue) Hash() (uint32, error) { return 0, errors.New("a type is not hashable") }

// ctype returns the i-th argument, a type.
func (c *call) ctype(i int) (*CType, error) {
	if v, ok := c.args[i].(*ctypeValue); ok {
		return v.CType, nil
	}
	return nil, errorAt(c.at(i), "%s: expected a type, got %s", c.name, c.args[i])
}

// opaque is a C type that only ever is pointed to.
func (e *functionEvaluator) opaque(c *call) (starlark.Value, error) {
	if err := c.take(1); err != nil {
		return nil, err
	}
	name, err := c.str(0)
	return &ctypeValue{&CType{C: name, base: name}}, err
}

// typedef is a C type that is passed as another one is.
func (e *functionEvaluator) typedef(c *call) (starlark.Value, error) {
	if err := c.take(2); err != nil {
		return nil, err
	}
	name, err := c.str(0)
	if err != nil {
		return nil, err
	}
	like, err := c.ctype(1)
	if err != nil {
		return nil, err
	}
	return &ctypeValue{&CType{C: name, Go: like.Go, Words: like.Words, base: like.base}}, nil
}

// callback is a pointer to a C function of a named type.
func (e *functionEvaluator) callback(c *call) (starlark.Value, error) {
	if err := c.take(1); err != nil {
		return nil, err
	}
	name, err := c.str(0)
	return &ctypeValue{&CType{C: name + " *", Go: pointer, Words: 1, base: name}}, err
}

// pointer is a pointer to a type: In to what libxl reads, Out to what it
// writes, InOut to what it does both to, and Pointer to neither, as the target
// of another pointer.
func (e *functionEvaluator) pointer(c *call) (starlark.Value, error) {
	if err := c.take(1, "const"); err != nil {
		return nil, err
	}
	t, err := c.ctype(0)
	if err != nil {
		return nil, err
	}
	isConst := c.name == "In"
	if err := c.flag(&isConst, "const"); err != nil {
		return nil, err
	}
	p := &CType{C: star(t.C), Go: pointer, Words: 1, base: t.base}
	p.Dir = map[string]int{"Pointer": ByValue, "In": PointerIn, "Out": PointerOut, "InOut": PointerInOut}[c.name]
	if t.base == "string" && p.Dir == PointerOut {
		p.C = "char **"
	} else if isConst && strings.HasSuffix(t.C, "*") {
		p.C = t.C + "const *"
	} else if isConst {
		p.C = "const " + p.C
	}
	if p.Dir == PointerOut || p.Dir == PointerInOut {
		switch {
		case t.Go == pointer && t.base != "pointer" && strings.HasSuffix(t.C, "*"), t.Go == "Ctx":
			p.Go = "*" + pointer
		case t.Words == 1 && !strings.HasSuffix(t.C, "*") && t.Go != pointer:
			p.Go = "*" + t.Go
		}
	}
	return &ctypeValue{p}, nil
}

// star is the C spelling of a pointer to a type.
func star(c string) string {
	if strings.HasSuffix(c, "*") {
		return c + "*"
	}
	return c + " *"
}
