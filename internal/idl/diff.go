package idl

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// Diff says what a release has that an older one has not: types, members,
// values, functions, and other defaults. It tells whether there was anything.
func (i *Interface) Diff(w io.Writer, from, to Release) (bool, error) {
	s := i.Schema
	for _, r := range []Release{from, to} {
		if !slices.Contains(s.Releases, r) {
			return false, fmt.Errorf("release %s is not known: expected one of %s", r, strings.Join(mapped(s.Releases, Release.String), ", "))
		}
	}
	if from.Compare(to) >= 0 {
		return false, fmt.Errorf("expected the older release first, got %s and %s", from, to)
	}
	d := &differ{schema: s, from: from, to: to}
	for _, t := range s.Types {
		d.typ(t)
	}
	for _, f := range i.Functions {
		if d.isNew(f.Since) {
			d.functions = append(d.functions, f.Prototype())
		}
	}
	any := false
	for _, section := range []struct {
		title string
		lines []string
	}{
		{"New types", d.types}, {"New members", d.members}, {"New values", d.values},
		{"Changed defaults", d.defaults}, {"New functions", d.functions},
	} {
		if len(section.lines) == 0 {
			continue
		}
		any = true
		if _, err := fmt.Fprintf(w, "%s\n  %s\n\n", section.title, strings.Join(section.lines, "\n  ")); err != nil {
			return true, err
		}
	}
	return any, nil
}

type differ struct {
	schema   *Schema
	from, to Release

	types, members, values, defaults, functions []string
}

// isNew says whether something came between the two releases.
func (d *differ) isNew(since Release) bool {
	since = d.schema.since(since)
	return since.Compare(d.from) > 0 && since.Compare(d.to) <= 0
}

// isThere says whether the newer release has it.
func (d *differ) isThere(since Release) bool { return d.schema.since(since).Compare(d.to) <= 0 }

func (d *differ) typ(t *Type) {
	c := d.schema.cTypeOf(t.Name)
	if d.isNew(t.Since) {
		d.types = append(d.types, fmt.Sprintf("%s (%s)", c, t.Kind))
		return
	}
	if !d.isThere(t.Since) {
		return
	}
	d.inits(c, t.Init)
	for _, v := range t.Values {
		if d.isNew(v.Since) {
			d.values = append(d.values, fmt.Sprintf("%s = %d", t.constant(v), v.Value))
		}
	}
	d.fields(c+".", t.Fields)
}

// fields lists what is new among the members. What is in a new one is new, too.
func (d *differ) fields(path string, fields []*Field) {
	for _, f := range fields {
		c := d.schema.cType(f)
		switch {
		case !d.isThere(f.Since):
		case d.isNew(f.Since) && f.Array != nil:
			d.members = append(d.members, fmt.Sprintf("%s%s: int", path, f.Array.Len), fmt.Sprintf("%s%s: %s", path, f.Name, c))
		case d.isNew(f.Since):
			d.members = append(d.members, fmt.Sprintf("%s%s: %s", path, f.Name, c))
			if f.Struct != nil {
				d.fields(path+f.Name+".", f.Struct.Fields)
			}
		default:
			d.inits(path+f.Name, f.Init)
			switch {
			case f.Struct != nil:
				d.fields(path+f.Name+".", f.Struct.Fields)
			case f.Union != nil:
				d.inits(path+f.Union.Key, f.Union.Init)
				d.fields(path+f.Name+".", f.Union.Members)
			}
		}
	}
}

// inits notes a default that has changed.
func (d *differ) inits(path string, inits Inits) {
	at := func(r Release) string {
		text := "none"
		for _, i := range inits {
			if d.schema.since(i.Since).Compare(r) > 0 {
				continue
			}
			switch {
			case i.None:
				text = "none"
			case i.Symbol != "":
				text = fmt.Sprintf("%s (%s)", i.Symbol, i.Value)
			default:
				text = i.Value.String()
			}
		}
		return text
	}
	if was, is := at(d.from), at(d.to); was != is {
		d.defaults = append(d.defaults, fmt.Sprintf("%s: %s, was %s", path, is, was))
	}
}
