package layout

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/go-xenlight/xenlight/internal/abi"
	"github.com/go-xenlight/xenlight/internal/idl"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares a text with a file in testdata, or writes that with -update.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	name = filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(name, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("it differs from %s: look at the change, then run go test -update", name)
	}
}

func describe(t *testing.T, r abi.Release, arch abi.Arch) []abi.CType {
	t.Helper()
	types, err := abi.Describe(r, arch)
	if err != nil {
		t.Fatal(err)
	}
	return types
}

func write(t *testing.T, types []abi.CType, format string) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, types, format); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// The layouts of 4.17 are written down, and for each later and earlier release
// how they differ from those of the release before.
func TestLayoutsAreGolden(t *testing.T) {
	golden(t, "4.17.csv.golden", write(t, describe(t, abi.R(4, 17), abi.AMD64), "csv"))
	var diffs bytes.Buffer
	for i, to := range abi.Releases[1:] {
		from := abi.Releases[i]
		fmt.Fprintf(&diffs, "%s to %s\n", from, to)
		if _, err := Diff(&diffs, from, to, abi.AMD64); err != nil {
			t.Fatal(err)
		}
		old := describe(t, from, abi.AMD64)
		for _, typ := range describe(t, to, abi.AMD64) {
			if !slices.ContainsFunc(old, func(o abi.CType) bool { return o.Name == typ.Name }) {
				diffs.Write(write(t, []abi.CType{typ}, "table"))
			}
		}
		diffs.WriteByte('\n')
	}
	golden(t, "diffs.golden", diffs.Bytes())
}

func TestFormatsSayTheSame(t *testing.T) {
	types := describe(t, abi.R(4, 18), abi.AMD64)
	want := entries(types)
	var fromJSON []entry
	if err := json.Unmarshal(write(t, types, "json"), &fromJSON); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(fromJSON, want) {
		t.Error("the JSON has other entries")
	}
	rows, err := csv.NewReader(bytes.NewReader(write(t, types, "csv"))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(rows[0], []string{"type", "field", "offset", "size"}) {
		t.Errorf("the CSV's header is %q", rows[0])
	}
	for i, row := range rows[1:] {
		decimal := func(n uint32) string { return strconv.Itoa(int(n)) }
		if e := want[i]; !slices.Equal(row, []string{e.Type, e.Field, decimal(e.Offset), decimal(e.Size)}) {
			t.Errorf("row %d is %q, want %v", i+1, row, e)
		}
	}
	if err := Write(&bytes.Buffer{}, types, "xml"); err == nil || err.Error() != `format "xml": expected one of ["csv" "json" "table"]` {
		t.Error(err)
	}
}

// TestAllOfTheSchemaIsDescribed compares with idl/libxl.json, for every release.
func TestAllOfTheSchemaIsDescribed(t *testing.T) {
	i, err := idl.LoadInterface("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range i.Schema.Releases {
		has := func(since idl.Release) bool { return since.Compare(r) <= 0 } // none is 0.0
		want := make(map[string]bool)
		var members func(path string, fields []*idl.Field)
		members = func(path string, fields []*idl.Field) {
			for _, f := range fields {
				if !has(f.Since) {
					continue
				}
				want[path+f.Name] = true
				switch {
				case f.Array != nil:
					want[path+f.Array.Len] = true
				case f.Struct != nil:
					members(path+f.Name+".", f.Struct.Fields)
				case f.Union != nil:
					want[path+f.Union.Key] = true
					for _, arm := range f.Union.Members {
						if arm.Struct != nil {
							members(path+f.Name+".", []*idl.Field{arm})
						}
					}
				}
			}
		}
		for _, typ := range i.Schema.Types {
			if has(typ.Since) && typ.Name != "MemKB" {
				want["libxl_"+typ.Name+" "] = true
				members("libxl_"+typ.Name+" ", typ.Fields)
			}
		}
		for _, e := range entries(describe(t, abi.R(r.Major, r.Minor), abi.AMD64)) {
			if !want[e.Type+" "+e.Field] {
				t.Errorf("%s: %s %s is not in the schema, or described twice", r, e.Type, e.Field)
			}
			delete(want, e.Type+" "+e.Field)
		}
		for name := range want {
			t.Errorf("%s: %s is not described", r, name)
		}
	}
}

func TestDescribeRefusesWhatIsNotKnown(t *testing.T) {
	if _, err := abi.Describe(abi.R(4, 13), abi.AMD64); err == nil {
		t.Error("4.13 is described")
	}
	if _, err := abi.Describe(abi.R(4, 17), 0); err == nil {
		t.Error("no architecture is described")
	}
}
