package idl

import (
	"errors"
	"slices"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// cFunctions are the arguments that name C functions of the types that libxl
// implements by hand. They say nothing about the interface.
var cFunctions = []string{"passby", "json_gen_fn", "jsonc_json_gen_fn", "json_parse_fn", "json_parse_type",
	"autogenerate_json", "copy_fn", "autogenerate_copy_fn", "check_default_fn", "copy_deprecated_fn",
	"autogenerate_init_fn", "init_fn", "autogenerate_dispose_fn"}

func (e *evaluator) builtin(c *call) (starlark.Value, error) {
	if err := c.take(1, append(cFunctions, "dispose_fn", "private", "signed", "init_val")...); err != nil {
		return nil, err
	}
	t := &Type{Kind: KindBuiltin}
	err := errors.Join(c.strInto(&t.Name, 0), c.flag(&t.Private, "private"), c.flag(&t.Signed, "signed"),
		c.text(&t.initExpr, "init_val"))
	return e.declare(c, &typeValue{typ: t}), err
}

func (e *evaluator) uint(c *call) (starlark.Value, error) {
	if err := c.take(1, append(cFunctions, "init_val")...); err != nil {
		return nil, err
	}
	width, err := starlark.AsInt32(c.args[0])
	if err != nil || !slices.Contains([]int{8, 16, 32, 64}, width) {
		return nil, errorAt(c.at(0), "UInt: expected a width of 8, 16, 32 or 64, got %s", c.args[0])
	}
	t := &Type{Kind: KindUInt, Width: width}
	return e.declare(c, &typeValue{typ: t}), c.text(&t.initExpr, "init_val")
}

func (e *evaluator) enumeration(c *call) (starlark.Value, error) {
	if err := c.take(2, append(cFunctions, "init_val", "value_namespace")...); err != nil {
		return nil, err
	}
	t := &Type{Kind: KindEnum}
	space := e.schema.Namespace
	err := errors.Join(c.strInto(&t.Name, 0), c.text(&t.initExpr, "init_val"), c.text(&space, "value_namespace"))
	if err != nil {
		return nil, err
	}
	t.Prefix = strings.ToUpper(space + t.Name + "_")
	items, err := c.list(1)
	if err != nil {
		return nil, err
	}
	seen := make(map[any]bool)
	for _, it := range items {
		v := &Value{pos: it.pos}
		tuple, ok := it.value.(starlark.Tuple)
		if ok && len(tuple) == 2 {
			n, err := starlark.AsInt32(tuple[0])
			name, isString := starlark.AsString(tuple[1])
			v.Value, v.Name = int32(n), name
			ok = err == nil && isString && name != ""
		} else {
			ok = false
		}
		if !ok {
			return nil, errorAt(it.pos, "%s: expected (number, \"name\"), got %s", t.Name, it.value)
		}
		if seen[strings.ToUpper(v.Name)] || seen[v.Value] {
			return nil, errorAt(it.pos, "%s: value %s (%d) is there twice", t.Name, v.Name, v.Value)
		}
		seen[strings.ToUpper(v.Name)], seen[v.Value] = true, true
		t.Values = append(t.Values, v)
	}
	return e.declare(c, &typeValue{typ: t}), nil
}

func (e *evaluator) structure(c *call) (starlark.Value, error) {
	if err := c.take(2, append(cFunctions, "dir", "dispose_fn")...); err != nil {
		return nil, err
	}
	fields, err := e.fields(c)
	if err != nil {
		return nil, err
	}
	if c.args[0] == starlark.None {
		return e.declare(c, &typeValue{fields: fields}), nil
	}
	t := &Type{Kind: KindStruct, Fields: fields}
	if err := c.strInto(&t.Name, 0); err != nil {
		return nil, err
	}
	if d, ok := c.kwargs["dir"]; ok {
		n, err := starlark.AsInt32(d)
		if err != nil || n < 0 || n > 3 {
			return nil, errorAt(c.pos, "%s: expected dir to be DIR_NONE, DIR_IN, DIR_OUT or DIR_BOTH, got %s", t.Name, d)
		}
		t.Dir = []string{DirNone, DirIn, DirOut, DirBoth}[n]
	}
	if d, ok := c.kwargs["dispose_fn"]; ok {
		if d != starlark.None {
			return nil, errorAt(c.pos, "%s: expected dispose_fn to be None, got %s", t.Name, d)
		}
		t.NoDispose = true
	}
	return e.declare(c, &typeValue{typ: t}), nil
}

// fields reads the second argument of Struct: (name, type[, {options}]) each.
func (e *evaluator) fields(c *call) ([]*Field, error) {
	items, err := c.list(1)
	if err != nil {
		return nil, err
	}
	var fields []*Field
	seen := make(map[string]bool)
	for _, it := range items {
		tuple, ok := it.value.(starlark.Tuple)
		if !ok || len(tuple) < 2 || len(tuple) > 3 {
			return nil, errorAt(it.pos, "expected (\"name\", type) or (\"name\", type, {options}), got %s", it.value)
		}
		f := &Field{pos: it.pos}
		if f.Name, ok = starlark.AsString(tuple[0]); !ok || f.Name == "" {
			return nil, errorAt(it.pos, "expected the member's name, got %s", tuple[0])
		}
		t, ok := tuple[1].(*typeValue)
		if !ok {
			return nil, errorAt(it.pos, "%s: expected a type, got %s", f.Name, tuple[1])
		}
		if seen[f.Name] {
			return nil, errorAt(it.pos, "member %s is there twice", f.Name)
		}
		seen[f.Name] = true
		if err := t.use(it.pos); err != nil {
			return nil, err
		}
		t.describe(f)
		if len(tuple) == 3 {
			if err := f.options(tuple[2]); err != nil {
				return nil, err
			}
		}
		fields = append(fields, f)
	}
	return fields, nil
}

// options reads the dictionary that may follow a member's type.
func (f *Field) options(v starlark.Value) error {
	d, ok := v.(*starlark.Dict)
	if !ok {
		return errorAt(f.pos, "%s: expected a dictionary of options, got %s", f.Name, v)
	}
	for _, kv := range d.Items() {
		key, _ := starlark.AsString(kv[0])
		text, isText := starlark.AsString(kv[1])
		switch {
		case key == "init_val" && isText:
			f.initExpr = text
		case key == "deprecated_by" && isText:
			f.DeprecatedBy = text
		case key == "const" && (kv[1] == starlark.True || kv[1] == starlark.False):
			f.Const = bool(kv[1].(starlark.Bool))
		default:
			return errorAt(f.pos, "%s: expected init_val, deprecated_by (strings) or const (True), got %s: %s", f.Name, kv[0], kv[1])
		}
	}
	return nil
}

// use notes the place of a type without a name.
func (v *typeValue) use(pos syntax.Position) error {
	if v.scalar != "" || v.typ != nil {
		return nil
	}
	if v.used {
		return errorAt(pos, "expected a type of its own, this %s has a place already", v)
	}
	v.used = true
	return nil
}

// describe enters the type in a member. Aliases get their names only when the
// file has been run, hence a reference.
func (v *typeValue) describe(f *Field) {
	switch {
	case v.scalar != "":
		f.Type = v.scalar
	case v.typ != nil:
		f.ref = v.typ
	case v.array != nil:
		f.Array = &Array{Of: v.array.of.scalar, Len: v.array.len}
		f.ref = v.array.of.typ
	case v.union != nil:
		u := v.union.Union
		f.Union = &u
		f.ref = v.union.enum.typ
	default:
		f.Struct = &Struct{Fields: v.fields}
	}
}

func (e *evaluator) keyedUnion(c *call) (starlark.Value, error) {
	if err := c.take(4, append(cFunctions, "keyvar_init_val")...); err != nil {
		return nil, err
	}
	if c.args[0] != starlark.None {
		return nil, errorAt(c.at(0), "KeyedUnion: expected None as name, got %s", c.args[0])
	}
	enum, ok := c.args[1].(*typeValue)
	if !ok || enum.typ == nil || enum.typ.Kind != KindEnum {
		return nil, errorAt(c.at(1), "KeyedUnion: expected an Enumeration as the key's type, got %s", c.args[1])
	}
	u := &unionExpr{enum: enum}
	if err := errors.Join(c.strInto(&u.Key, 2), c.text(&u.initExpr, "keyvar_init_val")); err != nil {
		return nil, err
	}
	items, err := c.list(3)
	if err != nil {
		return nil, err
	}
	seen := make(map[*Value]bool)
	for _, it := range items {
		tuple, ok := it.value.(starlark.Tuple)
		if !ok || len(tuple) != 2 {
			return nil, errorAt(it.pos, "KeyedUnion: expected (\"name\", Struct(None, ...) or None), got %s", it.value)
		}
		m := &Field{pos: it.pos}
		m.Name, _ = starlark.AsString(tuple[0])
		value := enum.typ.value(m.Name)
		if value == nil {
			return nil, errorAt(it.pos, "KeyedUnion: expected a value of enumeration %s, got %s", enum.typ.Name, tuple[0])
		}
		if seen[value] {
			return nil, errorAt(it.pos, "KeyedUnion: member %s is there twice", m.Name)
		}
		seen[value] = true
		if tuple[1] != starlark.None {
			s, ok := tuple[1].(*typeValue)
			if !ok || s.scalar != "" || s.typ != nil || s.array != nil || s.union != nil {
				return nil, errorAt(it.pos, "%s: expected Struct(None, ...) or None, got %s", m.Name, tuple[1])
			}
			if err := s.use(it.pos); err != nil {
				return nil, err
			}
			m.Struct = &Struct{Fields: s.fields}
		}
		u.Members = append(u.Members, m)
	}
	return e.declare(c, &typeValue{union: u}), nil
}

func (e *evaluator) array(c *call) (starlark.Value, error) {
	if err := c.take(2, cFunctions...); err != nil {
		return nil, err
	}
	of, ok := c.args[0].(*typeValue)
	if !ok || of.scalar == "" && of.typ == nil {
		return nil, errorAt(c.at(0), "Array: expected a type with a name, got %s", c.args[0])
	}
	length, err := c.str(1)
	return e.declare(c, &typeValue{array: &arrayExpr{of, length}}), err
}
