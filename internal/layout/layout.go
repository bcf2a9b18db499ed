// Package layout writes down how libxl's types lie in C memory, as package abi
// computes it: for people, for programs, and for a C compiler to check against
// libxl's own headers.
package layout

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"

	"github.com/go-xenlight/xenlight/internal/abi"
)

// Formats are the names of the formats of Write.
var Formats = []string{"csv", "json", "table"}

// Write lists types in a format. As CSV and JSON, a whole type is an entry with
// an empty field and the offset 0, and each member of a struct is one with its
// dotted path and its offset from the type's start.
func Write(w io.Writer, types []abi.CType, format string) error {
	switch format {
	case "csv":
		return writeCSV(w, types)
	case "json":
		return writeJSON(w, types)
	case "table":
		return writeTable(w, types)
	}
	return fmt.Errorf("format %q: expected one of %q", format, Formats)
}

type entry struct {
	Type   string `json:"type"`
	Field  string `json:"field"`
	Offset uint32 `json:"offset"`
	Size   uint32 `json:"size"`
}

func entries(types []abi.CType) []entry {
	var list []entry
	for _, t := range types {
		list = append(list, entry{Type: t.Name, Size: t.Size})
		for _, m := range t.Members {
			list = append(list, entry{t.Name, m.Path, m.Off, m.Size})
		}
	}
	return list
}

func writeCSV(w io.Writer, types []abi.CType) error {
	c := csv.NewWriter(w)
	if err := c.Write([]string{"type", "field", "offset", "size"}); err != nil {
		return err
	}
	decimal := func(n uint32) string { return strconv.FormatUint(uint64(n), 10) }
	for _, e := range entries(types) {
		if err := c.Write([]string{e.Type, e.Field, decimal(e.Offset), decimal(e.Size)}); err != nil {
			return err
		}
	}
	c.Flush()
	return c.Error()
}

// writeJSON writes an array with one entry a line.
func writeJSON(w io.Writer, types []abi.CType) error {
	before := "[\n  "
	for _, e := range entries(types) {
		line, err := json.Marshal(e)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "%s%s", before, line); err != nil {
			return err
		}
		before = ",\n  "
	}
	_, err := io.WriteString(w, "\n]\n")
	return err
}

func writeTable(w io.Writer, types []abi.CType) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, typ := range types {
		fmt.Fprintf(t, "%s\t\t%d bytes\n", typ.Name, typ.Size)
		for _, m := range typ.Members {
			fmt.Fprintf(t, "  %s\t+%d\t%d\t%s\n", m.Path, m.Off, m.Size, m.Type)
		}
	}
	return t.Flush()
}
