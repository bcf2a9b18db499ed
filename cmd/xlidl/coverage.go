package main

import (
	"encoding/csv"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/go-xenlight/xenlight/internal/idl"
)

// A tally counts functions of a list, by what reports say of them.
type tally struct {
	listed, called, succeeded  int
	replaced, failing, missing []string
}

func (t *tally) add(e idl.Entry, called, succeeded bool) {
	t.listed++
	switch {
	case succeeded:
		t.called++
		t.succeeded++
	case called:
		t.called++
		t.failing = append(t.failing, e.Name)
	case e.Status == idl.StatusReplaced:
		t.replaced = append(t.replaced, e.Name)
	default:
		t.missing = append(t.missing, e.Name)
	}
}

// isOperation tells what does something from what only holds values, or stands
// in for another function.
func isOperation(e idl.Entry) bool {
	return e.Header == "libxl.h" && !strings.HasPrefix(e.Section, "Values: ") && !strings.HasPrefix(e.Section, "Forms for ")
}

// readReports tells which functions some xltest has called, and which have
// succeeded.
func readReports(files []string) (called, succeeded map[string]bool, err error) {
	called, succeeded = make(map[string]bool), make(map[string]bool)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, nil, err
		}
		var report struct {
			Functions []struct {
				Name              string
				Called, Succeeded uint64
			}
		}
		if err := json.Unmarshal(text, &report); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", file, err)
		}
		if len(report.Functions) == 0 {
			return nil, nil, fmt.Errorf("%s is no report of xltest", file)
		}
		for _, f := range report.Functions {
			called[f.Name] = called[f.Name] || f.Called > 0
			succeeded[f.Name] = succeeded[f.Name] || f.Succeeded > 0
		}
	}
	return called, succeeded, nil
}

// readNames finds in each line of a CSV file the first field that names a
// function.
func readNames(file string, known func(string) bool) (names []string, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	for _, fields := range lines {
		if i := slices.IndexFunc(fields, known); i >= 0 && !slices.Contains(names, fields[i]) {
			names = append(names, fields[i])
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%s names no function", file)
	}
	return names, nil
}

func setupCoverage(flags *flag.FlagSet) func(io.Writer) error {
	only := flags.String("names", "", "count also the functions that this `FILE` names, in CSV, one a line")
	load := loader(flags)
	return func(w io.Writer) error {
		if flags.NArg() == 0 {
			return errUsage
		}
		i, err := load()
		if err != nil {
			return err
		}
		called, succeeded, err := readReports(flags.Args())
		if err != nil {
			return err
		}
		entries := i.Entries()
		var operations, named tally
		var names []string
		if *only != "" {
			names, err = readNames(*only, func(s string) bool {
				return slices.ContainsFunc(entries, func(e idl.Entry) bool { return e.Name == s })
			})
			if err != nil {
				return err
			}
		}
		for _, e := range entries {
			if isOperation(e) {
				operations.add(e, called[e.Name], succeeded[e.Name])
			}
			if slices.Contains(names, e.Name) {
				named.add(e, called[e.Name], succeeded[e.Name])
			}
		}
		operations.print(w, "operations of libxl.h")
		if *only != "" {
			named.print(w, "functions of "+*only)
		}
		return nil
	}
}

func (t *tally) print(w io.Writer, what string) {
	fmt.Fprintf(w, "%s: %d\n", what, t.listed)
	b := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(what string, n int, names []string) {
		fmt.Fprintf(b, "  %s\t%d\t%d%%\t%s\n", what, n, 100*n/max(t.listed, 1), strings.Join(names, " "))
	}
	row("called", t.called, nil)
	row("succeeded", t.succeeded, nil)
	row("only seen failing", len(t.failing), t.failing)
	row("replaced by Go", len(t.replaced), t.replaced)
	row("never called", len(t.missing), t.missing)
	b.Flush()
}
