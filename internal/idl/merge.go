package idl

import (
	"errors"
	"fmt"
	"slices"

	"go.starlark.net/syntax"
)

// Merge merges the schemas of single releases into one; the oldest schema may
// have several already. The binding relies on
// libxl only ever adding things: whatever was removed, retyped, renumbered or
// reordered is reported, all of it at once.
func Merge(schemas ...*Schema) (*Schema, error) {
	if len(schemas) == 0 {
		return nil, errors.New("no releases to merge")
	}
	schemas = slices.Clone(schemas)
	slices.SortStableFunc(schemas, func(a, b *Schema) int { return a.First().Compare(b.First()) })
	m := &merger{old: schemas[0]}
	for _, s := range schemas[1:] {
		m.rel = s.First()
		if slices.Contains(m.old.Releases, m.rel) {
			return nil, fmt.Errorf("release %s is there twice: %s and %s", m.rel, m.old.file, s.file)
		}
		if len(s.Releases) > 1 || m.rel.Compare(m.old.Newest()) < 0 {
			return nil, fmt.Errorf("%s: expected one release that is newer than %s", s.file, m.old.Newest())
		}
		m.next = s
		m.merge()
		if len(m.faults) > 0 {
			return nil, errors.Join(m.faults...)
		}
	}
	return m.old, nil
}

// merger merges one release into the older ones. Fields and values are taken
// from the newer release and get their Since from the older ones.
type merger struct {
	old, next *Schema
	rel       Release
	faults    []error
}

func (m *merger) fault(pos, was syntax.Position, format string, args ...any) {
	msg := fmt.Sprintf(format, args...)
	if was.IsValid() {
		msg += fmt.Sprintf(" (%s: %s)", m.old.Newest(), was)
	}
	m.faults = append(m.faults, errorAt(pos, "%s", msg))
}

func (m *merger) merge() {
	if m.old.Namespace != m.next.Namespace {
		m.faults = append(m.faults, fmt.Errorf("%s: namespace was %q, is %q", m.next.file, m.old.Namespace, m.next.Namespace))
	}
	for _, t := range m.old.Types {
		if m.next.Lookup(t.Name) == nil {
			m.faults = append(m.faults, fmt.Errorf("%s: type %s of %s is gone", m.next.file, t.Name, m.old.Newest()))
		}
	}
	for _, t := range m.next.Types {
		if old := m.old.Lookup(t.Name); old != nil {
			m.mergeType(old, t)
		} else {
			m.newType(t)
		}
	}
	m.next.Releases = append(slices.Clone(m.old.Releases), m.rel)
	m.old = m.next
}

func (m *merger) mergeType(old, t *Type) {
	if a, b := old.traits(), t.traits(); a != b {
		m.fault(t.pos, old.pos, "%s was %s, is %s", t.Name, a, b)
		return
	}
	t.Since = old.Since
	t.Init = m.mergeInits(old.Init, t.Init)
	m.mergeFields(t.Name, t.pos, old.Fields, t.Fields)
	m.mergeValues(old, t)
}

// traits are what may not change in a type, as text.
func (t *Type) traits() string {
	return fmt.Sprintf("%s%s%s%s%s%s%s", t.Kind, iff(t.Width != 0, fmt.Sprint(t.Width)), iff(t.Signed, " signed"),
		iff(t.Private, " private"), iff(t.Dir != "", " dir="+t.Dir), iff(t.NoDispose, " dispose_fn=None"),
		iff(t.Prefix != "", " "+t.Prefix))
}

func iff(cond bool, s string) string {
	if cond {
		return s
	}
	return ""
}

func (m *merger) mergeValues(old, t *Type) {
	i := 0
	for _, v := range t.Values {
		if i < len(old.Values) && old.Values[i].Name == v.Name {
			if was := old.Values[i]; was.Value != v.Value {
				m.fault(v.pos, was.pos, "%s.%s was %d, is %d", t.Name, v.Name, was.Value, v.Value)
			}
			v.Since = old.Values[i].Since
			i++
			continue
		}
		if j := slices.IndexFunc(old.Values, func(o *Value) bool { return o.Name == v.Name }); j >= 0 {
			if was := old.Values[j]; j < i {
				m.fault(v.pos, was.pos, "%s.%s is there twice", t.Name, v.Name)
			} else {
				m.missing(t, old.Values[i], v, was)
			}
			return
		}
		v.Since = m.rel
	}
	if i < len(old.Values) {
		m.fault(t.pos, old.Values[i].pos, "%s.%s is gone", t.Name, old.Values[i].Name)
	}
}

// missing reports that value v follows where old value lost was expected.
func (m *merger) missing(t *Type, lost, v, was *Value) {
	if slices.ContainsFunc(t.Values, func(n *Value) bool { return n.Name == lost.Name }) {
		m.fault(v.pos, was.pos, "%s.%s has moved in front of %s", t.Name, v.Name, lost.Name)
	} else {
		m.fault(t.pos, lost.pos, "%s.%s is gone", t.Name, lost.Name)
	}
}

// mergeFields checks that the old fields are among the new ones in the same
// order, and notes since when the new ones are there.
func (m *merger) mergeFields(path string, pos syntax.Position, old, fields []*Field) {
	find := func(list []*Field, name string) *Field {
		if i := slices.IndexFunc(list, func(f *Field) bool { return f.Name == name }); i >= 0 {
			return list[i]
		}
		return nil
	}
	rest := make([]*Field, 0, len(old))
	for _, f := range old {
		if find(fields, f.Name) == nil {
			m.fault(pos, f.pos, "%s.%s is gone", path, f.Name)
		} else {
			rest = append(rest, f)
		}
	}
	for _, f := range fields {
		was := find(old, f.Name)
		if was == nil {
			m.newField(f)
			continue
		}
		if rest[0] != was {
			m.fault(f.pos, was.pos, "%s.%s has moved in front of %s", path, f.Name, rest[0].Name)
			return
		}
		rest = rest[1:]
		m.mergeField(path+"."+f.Name, was, f)
	}
}

func (m *merger) mergeField(path string, old, f *Field) {
	if a, b := old.traits(), f.traits(); a != b {
		m.fault(f.pos, old.pos, "%s was %s, is %s", path, a, b)
		return
	}
	if old.DeprecatedBy != "" && old.DeprecatedBy != f.DeprecatedBy {
		m.fault(f.pos, old.pos, "%s was deprecated by %s, is by %q", path, old.DeprecatedBy, f.DeprecatedBy)
	}
	f.Since = old.Since
	f.Init = m.mergeInits(old.Init, f.Init)
	switch {
	case f.Struct != nil:
		m.mergeFields(path, f.pos, old.Struct.Fields, f.Struct.Fields)
	case f.Union != nil:
		f.Union.Init = m.mergeInits(old.Union.Init, f.Union.Init)
		m.mergeFields(path, f.pos, old.Union.Members, f.Union.Members)
	}
}

// traits are what may not change in a member, as text.
func (f *Field) traits() string {
	s := iff(f.Const, "const ")
	switch {
	case f.Array != nil:
		return s + fmt.Sprintf("array of %s with %s", f.Array.Of, f.Array.Len)
	case f.Union != nil:
		return s + fmt.Sprintf("union with %s %s", f.Union.Enum, f.Union.Key)
	case f.Struct != nil:
		return s + "struct"
	case f.Type != "":
		return s + f.Type
	}
	return s + "without data"
}

// mergeInits appends a default to its history if it changed.
func (m *merger) mergeInits(old, now Inits) Inits {
	last, next := Init{None: true}, Init{None: true}
	if len(old) > 0 {
		last = old[len(old)-1]
	}
	if len(now) > 0 {
		next = now[0]
	}
	if next.Since = last.Since; last == next {
		return old
	}
	next.Since = m.rel
	return append(slices.Clone(old), next)
}

func (m *merger) newType(t *Type) {
	t.Since = m.rel
	for i := range t.Init {
		t.Init[i].Since = m.rel
	}
	for _, v := range t.Values {
		v.Since = m.rel
	}
	for _, f := range t.Fields {
		m.newField(f)
	}
}

func (m *merger) newField(f *Field) {
	walk([]*Field{f}, "", func(_ string, f *Field) {
		f.Since = m.rel
		for i := range f.Init {
			f.Init[i].Since = m.rel
		}
		if f.Union != nil {
			for i := range f.Union.Init {
				f.Union.Init[i].Since = m.rel
			}
		}
	})
}
