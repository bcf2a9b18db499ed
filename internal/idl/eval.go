package idl

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// Error is a fault in an IDL file.
type Error struct {
	Pos syntax.Position
	Msg string
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %s", e.Pos, e.Msg) }

func errorAt(pos syntax.Position, format string, args ...any) error {
	for i, a := range args {
		if v, ok := a.(starlark.Value); ok {
			args[i] = brief(v)
		}
	}
	return &Error{pos, fmt.Sprintf(format, args...)}
}

// The scalar types that every IDL file can use without declaring them.
var scalars = []string{"bool", "integer", "string", "uint8", "uint16", "uint32", "uint64"}

// EvalFile evaluates one release's libxl_types.idl.
func EvalFile(name string, rel Release) (*Schema, error) {
	src, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return Eval(name, src, rel)
}

// Eval evaluates the text of one release's libxl_types.idl. The file name
// serves for the positions in errors.
func Eval(name string, src []byte, rel Release) (*Schema, error) {
	e := &evaluator{
		schema: &Schema{Format: Format, Releases: []Release{rel}, file: name},
		calls:  make(map[syntax.Position]*syntax.CallExpr),
	}
	predeclared := starlark.StringDict{
		"PASS_BY_REFERENCE": starlark.MakeInt(2),
		"DIR_NONE":          starlark.MakeInt(0),
		"DIR_IN":            starlark.MakeInt(1),
		"DIR_OUT":           starlark.MakeInt(2),
		"DIR_BOTH":          starlark.MakeInt(3),
	}
	for _, s := range scalars {
		predeclared[s] = &typeValue{scalar: s}
	}
	for name, build := range map[string]builder{
		"namespace": e.namespace, "Builtin": e.builtin, "UInt": e.uint, "Enumeration": e.enumeration,
		"Struct": e.structure, "KeyedUnion": e.keyedUnion, "Array": e.array,
	} {
		predeclared[name] = starlark.NewBuiltin(name, e.constructor(build))
	}
	globals, err := e.run(name, src, predeclared)
	if err != nil {
		return nil, err
	}
	if err := e.nameTypes(globals); err != nil {
		return nil, err
	}
	if err := resolveInits(e.schema); err != nil {
		return nil, err
	}
	return e.schema, nil
}

// evaluator collects what the constructor calls of one file declare.
type evaluator struct {
	schema *Schema
	types  []*typeValue // in the order of the constructor calls
	// calls finds the source text of a constructor call by the position of its
	// parenthesis, to tell where a field stands.
	calls map[syntax.Position]*syntax.CallExpr
}

func (e *evaluator) run(name string, src []byte, predeclared starlark.StringDict) (starlark.StringDict, error) {
	if len(src) > maxSource {
		return nil, errorAt(syntax.MakePosition(&name, 1, 1), "expected at most %d bytes, got %d", maxSource, len(src))
	}
	opts := &syntax.FileOptions{}
	file, err := opts.Parse(name, src, 0)
	if err != nil {
		return nil, positioned(err)
	}
	if err := checkData(file, predeclared); err != nil {
		return nil, err
	}
	syntax.Walk(file, func(n syntax.Node) bool {
		if c, ok := n.(*syntax.CallExpr); ok {
			e.calls[plain(c.Lparen)] = c
		}
		return true
	})
	prog, err := starlark.FileProgram(file, predeclared.Has)
	if err != nil {
		return nil, positioned(err)
	}
	thread := &starlark.Thread{Name: name}
	thread.SetMaxExecutionSteps(maxSteps)
	globals, err := prog.Init(thread, predeclared)
	if err != nil {
		return nil, positioned(err)
	}
	return globals, nil
}

// positioned puts the position that Starlark's errors carry apart in front.
func positioned(err error) error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	if e, ok := errors.AsType[syntax.Error](err); ok {
		return &Error{e.Pos, e.Msg}
	}
	if e, ok := errors.AsType[*starlark.EvalError](err); ok {
		for _, frame := range slices.Backward(e.CallStack) {
			if frame.Pos.Line > 0 {
				return &Error{frame.Pos, e.Msg}
			}
		}
	}
	return err
}

// plain makes a position comparable: it holds the file name by pointer.
func plain(p syntax.Position) syntax.Position { return syntax.MakePosition(nil, p.Line, p.Col) }

// typeValue is a type expression as a Starlark value: a type by name, or an
// anonymous struct, a union or an array.
type typeValue struct {
	scalar string
	typ    *Type
	array  *arrayExpr
	fields []*Field // anonymous struct
	union  *unionExpr
	pos    syntax.Position
	used   bool // a type without a name has one place only
}

type arrayExpr struct {
	of  *typeValue
	len string
}

type unionExpr struct {
	Union
	enum *typeValue
}

func (v *typeValue) String() string {
	switch {
	case v.scalar != "":
		return v.scalar
	case v.typ != nil:
		return v.typ.Kind + " " + v.typ.Name
	case v.array != nil:
		return "Array"
	case v.union != nil:
		return "KeyedUnion"
	}
	return "anonymous Struct"
}

// Type implements starlark.Value, as do the methods below.
func (v *typeValue) Type() string          { return "type" }
func (v *typeValue) Freeze()               {}
func (v *typeValue) Truth() starlark.Bool  { return true }
func (v *typeValue) Hash() (uint32, error) { return 0, fmt.Errorf("a type is not hashable") }

// builder evaluates one constructor call.
type builder func(c *call) (starlark.Value, error)

func (e *evaluator) constructor(build builder) func(*starlark.Thread, *starlark.Builtin, starlark.Tuple, []starlark.Tuple) (starlark.Value, error) {
	return func(th *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		pos := th.CallFrame(1).Pos
		c := &call{name: b.Name(), pos: pos, expr: e.calls[plain(pos)], args: args, kwargs: make(map[string]starlark.Value)}
		for _, kv := range kwargs {
			c.kwargs[string(kv[0].(starlark.String))] = kv[1]
		}
		return build(c)
	}
}

func (e *evaluator) namespace(c *call) (starlark.Value, error) {
	if err := c.take(1); err != nil {
		return nil, err
	}
	ns, err := c.str(0)
	e.schema.Namespace = ns
	return starlark.None, err
}

// declare notes a type in the order of declaration.
func (e *evaluator) declare(c *call, v *typeValue) *typeValue {
	v.pos = c.pos
	if v.typ != nil {
		v.typ.pos = c.pos
		e.types = append(e.types, v)
	}
	return v
}

// nameTypes gives the types their names, aliases after the variable that they
// were assigned to, and lists them in the order of declaration.
func (e *evaluator) nameTypes(globals starlark.StringDict) error {
	for _, variable := range globals.Keys() {
		if v, ok := globals[variable].(*typeValue); ok && v.typ != nil && v.typ.Kind == KindUInt {
			v.typ.Name = strings.TrimPrefix(variable, e.schema.Namespace)
		}
	}
	seen := make(map[string]*Type)
	for _, v := range e.types {
		if v.typ.Name == "" {
			return errorAt(v.pos, "%s is assigned to no variable", v.typ.Kind)
		}
		if other := seen[v.typ.Name]; other != nil || slices.Contains(scalars, v.typ.Name) {
			return errorAt(v.pos, "type %s is declared twice", v.typ.Name)
		}
		seen[v.typ.Name] = v.typ
		e.schema.Types = append(e.schema.Types, v.typ)
	}
	for _, t := range e.schema.Types {
		walk(t.Fields, "", func(_ string, f *Field) {
			if f.ref == nil {
				return
			}
			switch {
			case f.Array != nil:
				f.Array.Of = f.ref.Name
			case f.Union != nil:
				f.Union.Enum = f.ref.Name
			default:
				f.Type = f.ref.Name
			}
		})
	}
	return nil
}
