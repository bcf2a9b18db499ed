package idl

import (
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// mainHeader declares what no other header is said to.
const mainHeader = "libxl.h"

// Catalog is all that idl/functions.idl says.
type Catalog struct {
	Functions []*Function
	Excluded  []*Excluded
}

// Excluded is a function that the binding leaves out.
type Excluded struct {
	Name    string
	Section string
	Header  string
	Status  string // replaced or excluded
	Reason  string
	Go      string // what replaces it
	Since   Release
	Arch    string

	pos syntax.Position
}

// exclude notes functions that are left out.
func (e *functionEvaluator) exclude(c *call) (starlark.Value, error) {
	if err := c.take(1, "status", "reason", "go", "since", "arch"); err != nil {
		return nil, err
	}
	x := Excluded{Section: e.current, Header: e.header, pos: c.pos}
	since := e.schema.First().String()
	err := errors.Join(c.text(&x.Status, "status"), c.text(&x.Reason, "reason"), c.text(&x.Go, "go"),
		c.text(&since, "since"), c.text(&x.Arch, "arch"))
	if err != nil {
		return nil, err
	}
	x.Reason = paragraphs(x.Reason)
	names := []item{{c.args[0], c.pos}}
	if _, several := c.args[0].(*starlark.List); several {
		if names, err = c.list(0); err != nil {
			return nil, err
		}
	}
	for _, it := range names {
		x := x
		x.Name, _ = starlark.AsString(it.value)
		x.pos = it.pos
		if x.Since, err = e.release(it.pos, x.Name, since); err != nil {
			return nil, err
		}
		switch {
		case x.Name == "":
			return nil, errorAt(it.pos, "expected a name, got %s", it.value)
		case x.Status != StatusReplaced && x.Status != StatusExcluded:
			return nil, errorAt(it.pos, "%s: expected replaced or excluded as status, got %q", x.Name, x.Status)
		case (x.Status == StatusReplaced) != (x.Go != ""):
			return nil, errorAt(it.pos, "%s: expected go = what replaces it if it is replaced, and only then", x.Name)
		case x.Reason == "":
			return nil, errorAt(it.pos, "%s: expected a reason", x.Name)
		}
		e.Excluded = append(e.Excluded, &x)
	}
	return starlark.None, nil
}

// checkExcluded sees to it that nothing is there twice.
func (e *functionEvaluator) checkExcluded(described map[string]*Function) error {
	seen := make(map[string]bool)
	for _, x := range e.Excluded {
		switch {
		case described[x.Name] != nil:
			return errorAt(x.pos, "%s is described and excluded", x.Name)
		case seen[x.Name]:
			return errorAt(x.pos, "%s is excluded twice", x.Name)
		case x.Section == "":
			return errorAt(x.pos, "%s is in no section", x.Name)
		}
		seen[x.Name] = true
	}
	return nil
}

// What can become of a C function.
const (
	StatusBound    = "bound"    // users can call it
	StatusInternal = "internal" // the library itself calls it
	StatusReplaced = "replaced" // Go that does not call it is there instead
	StatusExcluded = "excluded" // there is nothing
)

// Entry is what becomes of one C function.
type Entry struct {
	Name    string // C name
	Header  string
	Section string
	Go      string // what users call: Host.DomainPause, libxl.ParseMac; empty if nothing
	Since   Release
	Arch    string
	Async   bool // it takes an ao_how
	Status  string
	Reason  string // of all but what is bound
}

// Method is the name that the method of a C function has, by the rule.
func (e Entry) Method() string { return goName(strings.TrimPrefix(e.Name, "libxl_")) }

// Entries lists all functions in the order of idl/functions.idl.
func (c *Catalog) Entries() []Entry {
	type placed struct {
		Entry
		pos syntax.Position
	}
	var all []placed
	for _, f := range c.Functions {
		e := Entry{f.Name, f.Header, f.Section, f.Go, f.Since, f.Arch, f.Async(), StatusBound, ""}
		if f.Internal != "" {
			e.Status, e.Reason = StatusInternal, f.Internal
		}
		all = append(all, placed{e, f.pos})
	}
	for _, x := range c.Excluded {
		all = append(all, placed{Entry{x.Name, x.Header, x.Section, x.Go, x.Since, x.Arch, false, x.Status, x.Reason}, x.pos})
	}
	slices.SortStableFunc(all, func(a, b placed) int {
		return cmp.Or(cmp.Compare(a.pos.Line, b.pos.Line), cmp.Compare(a.pos.Col, b.pos.Col))
	})
	entries := make([]Entry, len(all))
	for i, p := range all {
		entries[i] = p.Entry
	}
	return entries
}

// Async says whether the function takes an ao_how.
func (f *Function) Async() bool {
	return slices.ContainsFunc(f.Args, func(a *Arg) bool { return a.base == "ao_how" && a.Name == "ao_how" })
}

// entryColumns are the columns of WriteFunctions.
var entryColumns = []string{"name", "header", "section", "go", "since", "ao", "status", "reason"}

func (e Entry) columns() []string {
	ao := "n"
	if e.Async {
		ao = "y"
	}
	return []string{e.Name, e.Header, e.Section, e.Go, e.Since.String(), ao, e.Status, e.Reason}
}

// WriteFunctions lists all functions, one in a line, as csv or as a table.
func (c *Catalog) WriteFunctions(w io.Writer, format string) error {
	rows := [][]string{entryColumns}
	for _, e := range c.Entries() {
		rows = append(rows, e.columns())
	}
	switch format {
	case "csv":
		return csv.NewWriter(w).WriteAll(rows)
	case "table":
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for _, row := range rows {
			fmt.Fprintln(t, strings.Join(slices.Delete(slices.Clone(row), 2, 3), "\t")) // sections are long
		}
		return t.Flush()
	}
	return fmt.Errorf("format %q: expected csv or table", format)
}

// functionsPage writes the index of functions for users.
func (m *model) functionsPage(w *writer, c *Catalog) {
	entries := c.Entries()
	count := make(map[string]int)
	for _, e := range entries {
		count[e.Status]++
	}
	first, last := m.releases[0], m.releases[len(m.releases)-1]
	w.printf("# The functions of libxl\n\n"+
		"What becomes of each of the %d public functions of libxl %s to %s: %d can be called from Go, %d are called by the\n"+
		"library itself, %d are replaced by Go that does not need them, and %d are left out. `Host.X` is a method of\n"+
		"`*xenlight.Host`, `libxl.X` is in package libxl, and names that begin with another package are of Go's own library.\n"+
		"A function without a release is in all of them. What is marked *async* takes a context.Context and can be aborted.\n",
		len(entries), first, last, count[StatusBound], count[StatusInternal], count[StatusReplaced], count[StatusExcluded])
	section := ""
	for _, e := range entries {
		if e.Section != section {
			section = e.Section
			w.printf("\n## %s\n\n| C | Go | since | remarks |\n|---|---|---|---|\n", section)
		}
		w.printf("| `%s` | %s | %s | %s |\n", e.Name, iff(e.Go != "", "`"+e.Go+"`"), iff(e.Since != first, e.Since.String()), e.note())
	}
}

// note is what the index says of a function beside its names.
func (e Entry) note() string {
	var notes []string
	if e.Async {
		notes = append(notes, "*async*")
	}
	if e.Arch != "" {
		notes = append(notes, "only on "+e.Arch)
	}
	if e.Status != StatusBound {
		notes = append(notes, e.Status+": "+strings.ReplaceAll(e.Reason, "|", "\\|"))
	}
	return strings.Join(notes, "; ")
}
