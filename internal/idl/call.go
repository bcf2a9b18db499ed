package idl

import (
	"slices"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// call is a constructor call under evaluation.
type call struct {
	name   string
	pos    syntax.Position
	expr   *syntax.CallExpr // nil if not found
	args   starlark.Tuple
	kwargs map[string]starlark.Value
}

// item is an element of a list argument, with its place in the source.
type item struct {
	value starlark.Value
	pos   syntax.Position
}

// take checks that a call has n positional arguments and only known others.
func (c *call) take(n int, options ...string) error {
	if len(c.args) != n {
		return errorAt(c.pos, "%s: expected %d arguments, got %d", c.name, n, len(c.args))
	}
	for key := range c.kwargs {
		if !slices.Contains(options, key) {
			return errorAt(c.pos, "%s: unknown option %s, expected one of %s", c.name, key, strings.Join(options, ", "))
		}
	}
	return nil
}

// source is the expression of the i-th argument, nil if it is not known.
func (c *call) source(i int) syntax.Expr {
	if c.expr == nil || i >= len(c.expr.Args) {
		return nil
	}
	return c.expr.Args[i]
}

// at is the position of the i-th argument.
func (c *call) at(i int) syntax.Position {
	if x := c.source(i); x != nil {
		start, _ := x.Span()
		return start
	}
	return c.pos
}

// str returns the i-th argument, a string that is not empty.
func (c *call) str(i int) (string, error) {
	s, ok := starlark.AsString(c.args[i])
	if !ok || s == "" {
		return "", errorAt(c.at(i), "%s: expected a name, got %s", c.name, c.args[i])
	}
	return s, nil
}

func (c *call) strInto(dst *string, i int) (err error) {
	*dst, err = c.str(i)
	return err
}

// text stores an option that is a string, if given.
func (c *call) text(dst *string, option string) error {
	v, ok := c.kwargs[option]
	if !ok {
		return nil
	}
	s, ok := starlark.AsString(v)
	if !ok {
		return errorAt(c.pos, "%s: expected %s to be a string, got %s", c.name, option, v)
	}
	*dst = s
	return nil
}

// flag stores an option that is True or False, if given.
func (c *call) flag(dst *bool, option string) error {
	v, ok := c.kwargs[option]
	if !ok {
		return nil
	}
	b, ok := v.(starlark.Bool)
	if !ok {
		return errorAt(c.pos, "%s: expected %s to be True or False, got %s", c.name, option, v)
	}
	*dst = bool(b)
	return nil
}

// list returns the elements of the i-th argument with their positions, as far
// as the argument is written as a list.
func (c *call) list(i int) ([]item, error) {
	l, ok := c.args[i].(*starlark.List)
	if !ok {
		return nil, errorAt(c.at(i), "%s: expected a list, got %s", c.name, c.args[i])
	}
	src, _ := c.source(i).(*syntax.ListExpr)
	items := make([]item, l.Len())
	for j := range items {
		items[j] = item{l.Index(j), c.at(i)}
		if src != nil && j < len(src.List) {
			items[j].pos, _ = src.List[j].Span()
		}
	}
	return items, nil
}
