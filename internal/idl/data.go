package idl

import (
	"maps"
	"slices"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// An IDL file is data. These bounds, and that nothing but data is evaluated,
// keep any file from taking long. Xen's has some 50 KB.
const (
	maxSource = 256 << 10 // bytes; also bounds how deep brackets nest
	maxSteps  = 1 << 20
	maxBrief  = 160 // bytes of a value in a message
)

const wantedData = "expected a name, a number, a string, a list, a dictionary or a constructor's call"

// checkData sees to it that a file consists of assignments and calls of the
// constructors, with literals, names and further calls as arguments.
func checkData(file *syntax.File, constructors starlark.StringDict) error {
	d := &dataChecker{constructors}
	for _, stmt := range file.Stmts {
		switch s := stmt.(type) {
		case *syntax.AssignStmt:
			if _, ok := s.LHS.(*syntax.Ident); ok && s.Op == syntax.EQ {
				if err := d.expr(s.RHS); err != nil {
					return err
				}
				continue
			}
		case *syntax.ExprStmt:
			if err := d.expr(s.X); err != nil {
				return err
			}
			continue
		}
		start, _ := stmt.Span()
		return errorAt(start, "expected an assignment to a name or a call")
	}
	return nil
}

type dataChecker struct{ constructors starlark.StringDict }

func (d *dataChecker) expr(x syntax.Expr) error {
	switch x := x.(type) {
	case *syntax.Literal, *syntax.Ident:
		return nil
	case *syntax.ParenExpr:
		return d.expr(x.X)
	case *syntax.ListExpr:
		return d.all(x.List)
	case *syntax.TupleExpr:
		return d.all(x.List)
	case *syntax.DictExpr:
		return d.all(x.List)
	case *syntax.DictEntry:
		return d.all([]syntax.Expr{x.Key, x.Value})
	case *syntax.UnaryExpr:
		if x.X != nil && slices.Contains([]syntax.Token{syntax.MINUS, syntax.PLUS, syntax.TILDE}, x.Op) {
			return d.expr(x.X)
		}
	case *syntax.CallExpr:
		return d.call(x)
	}
	start, _ := x.Span()
	return errorAt(start, wantedData)
}

func (d *dataChecker) all(list []syntax.Expr) error {
	for _, x := range list {
		if err := d.expr(x); err != nil {
			return err
		}
	}
	return nil
}

func (d *dataChecker) call(c *syntax.CallExpr) error {
	fn, ok := c.Fn.(*syntax.Ident)
	if ok {
		_, ok = d.constructors[fn.Name].(*starlark.Builtin)
	}
	if !ok {
		start, _ := c.Span()
		got := ""
		if fn != nil {
			got = ", got " + fn.Name
		}
		return errorAt(start, "expected a call of %s%s", strings.Join(d.names(), ", "), got)
	}
	for _, arg := range c.Args {
		if named, ok := arg.(*syntax.BinaryExpr); ok && named.Op == syntax.EQ {
			arg = named.Y
		}
		if err := d.expr(arg); err != nil {
			return err
		}
	}
	return nil
}

// names are the names of the constructors.
func (d *dataChecker) names() []string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(d.constructors)) {
		if _, ok := d.constructors[name].(*starlark.Builtin); ok {
			list = append(list, name)
		}
	}
	return list
}

// brief is a value as text, cut where it gets long: a few lists in lists can
// hold more elements than there is memory.
func brief(v starlark.Value) string {
	var b strings.Builder
	writeBrief(&b, v)
	return b.String()
}

func writeBrief(b *strings.Builder, v starlark.Value) {
	var parts []starlark.Value
	open, end := "[", "]"
	switch v := v.(type) {
	case *starlark.List:
		for i := range min(v.Len(), maxBrief) {
			parts = append(parts, v.Index(i))
		}
	case starlark.Tuple:
		open, end = "(", ")"
		parts = v[:min(len(v), maxBrief)]
	case *starlark.Dict:
		b.WriteString("a dictionary")
		return
	default:
		b.WriteString(v.String())
		return
	}
	b.WriteString(open)
	for i, part := range parts {
		if i > 0 {
			b.WriteString(", ")
		}
		if b.Len() > maxBrief {
			b.WriteString("...")
			break
		}
		writeBrief(b, part)
	}
	b.WriteString(end)
}
