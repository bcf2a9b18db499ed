package idl

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestIncompatibleChangesAreRefused(t *testing.T) {
	const old = `
x = Struct("x", [("a", uint8), ("b", uint16), ("c", Array(uint8, "num_c"))])
y = Struct("y", [("u", KeyedUnion(None, e, "k", [("a", Struct(None, [("p", uint8)])), ("b", None)])), ("s", Struct(None, [("q", bool)]))])
v = Enumeration("v", [(1, "one"), (2, "two"), (3, "three")])`
	tests := []struct{ name, from, to, want string }{
		{"type removed", `v = Enumeration("v", [(1, "one"), (2, "two"), (3, "three")])`, "", "1.1.idl: type v of 1.0 is gone"},
		{"type of another kind", `v = Enumeration("v", [(1, "one"), (2, "two"), (3, "three")])`, `v = Struct("v", [])`, "1.1.idl:5:11: v was enum"},
		{"member removed", `("b", uint16), `, "", "1.1.idl:3:11: x.b is gone (1.0: 1.0.idl:3:32)"},
		{"member retyped", `("b", uint16)`, `("b", uint32)`, "1.1.idl:3:32: x.b was uint16, is uint32 (1.0: 1.0.idl:3:32)"},
		{"members reordered", `("a", uint8), ("b", uint16)`, `("b", uint16), ("a", uint8)`, "x.b has moved in front of a"},
		{"members reordered and inserted", `("a", uint8), ("b", uint16)`, `("n", bool), ("b", uint16), ("m", bool), ("a", uint8)`, "x.b has moved in front of a"},
		{"member became const", `("b", uint16)`, `("b", uint16, {"const": True})`, "x.b was uint16, is const uint16"},
		{"array's elements", `Array(uint8, "num_c")`, `Array(uint16, "num_c")`, "x.c was array of uint8 with num_c, is array of uint16 with num_c"},
		{"array's length renamed", `Array(uint8, "num_c")`, `Array(uint8, "nr_c")`, "x.c was array of uint8 with num_c, is array of uint8 with nr_c"},
		{"anonymous struct's member removed", `("q", bool)`, ``, "y.s.q is gone"},
		{"union's key renamed", `e, "k"`, `e, "kk"`, "y.u was union with e k, is union with e kk"},
		{"union's member removed", `, ("b", None)`, ``, "y.u.b is gone"},
		{"union's member got data", `("b", None)`, `("b", Struct(None, [("z", bool)]))`, "y.u.b was without data, is struct"},
		{"union's member's field retyped", `("p", uint8)`, `("p", uint16)`, "y.u.a.p was uint8, is uint16"},
		{"value renumbered", `(2, "two")`, `(4, "two")`, "1.1.idl:5:35: v.two was 2, is 4"},
		{"value removed", `(2, "two"), `, ``, "v.two is gone"},
		{"last value removed", `, (3, "three")`, ``, "v.three is gone"},
		{"value renamed", `(2, "two")`, `(2, "zwei")`, "v.two is gone"},
		{"values reordered", `(2, "two"), (3, "three")`, `(3, "three"), (2, "two")`, "v.three has moved in front of two"},
		{"dispose dropped", `("c", Array(uint8, "num_c"))])`, `("c", Array(uint8, "num_c"))], dispose_fn=None)`, "x was struct, is struct dispose_fn=None"},
		{"direction changed", `("c", Array(uint8, "num_c"))])`, `("c", Array(uint8, "num_c"))], dir=DIR_OUT)`, "x was struct, is struct dir=out"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			changed := strings.Replace(old, test.from, test.to, 1)
			if changed == old {
				t.Fatalf("%q is not in the text", test.from)
			}
			_, err := Merge(eval(t, "1.1", changed), eval(t, "1.0", old))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
		})
	}
}

func TestAllIncompatibleChangesAreReportedAtOnce(t *testing.T) {
	_, err := Merge(eval(t, "1.0", `x = Struct("x", [("a", uint8), ("b", uint8)])`),
		eval(t, "1.1", `x = Struct("x", [("a", uint16), ("b", uint32)])`))
	if err == nil || len(strings.Split(err.Error(), "\n")) != 2 {
		t.Errorf("want two faults, got %v", err)
	}
}

func TestReleaseCannotBeThereTwice(t *testing.T) {
	_, err := Merge(eval(t, "1.0", ""), eval(t, "1.0", ""))
	if err == nil || !strings.Contains(err.Error(), "release 1.0 is there twice: 1.0.idl and 1.0.idl") {
		t.Error(err)
	}
}

func TestNewReleaseCanBeAddedToAStoredSchema(t *testing.T) {
	dir := t.TempDir()
	encode := func(args ...string) []byte {
		t.Helper()
		s, err := Import(args...)
		if err != nil {
			t.Fatal(err)
		}
		text, err := Encode(s)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	stored := filepath.Join(dir, "libxl.json")
	if err := os.WriteFile(stored, encode("testdata/small/1.0.idl"), 0o644); err != nil {
		t.Fatal(err)
	}
	got, want := encode("testdata/small/1.1.idl", stored), encode("testdata/small/1.0.idl", "testdata/small/1.1.idl")
	if !bytes.Equal(got, want) {
		t.Error(firstDifference(got, want))
	}
	if _, err := Import(stored, "testdata/small/1.0.idl"); err == nil || !strings.Contains(err.Error(), "release 1.0 is there twice") {
		t.Errorf("the same release again: %v", err)
	}
}

func TestAdditionsGetTheirRelease(t *testing.T) {
	s, err := Merge(
		eval(t, "1.0", `x = Struct("x", [("a", uint8)])`),
		eval(t, "1.1", `x = Struct("x", [("n", uint8), ("a", uint8)])`),
		eval(t, "1.10", `w = Struct("w", [("p", bool)]);x = Struct("x", [("n", uint8), ("a", uint8), ("s", Struct(None, [("q", w)]))])`),
	)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]Release)
	for _, name := range []string{"x", "w"} {
		typ := s.Lookup(name)
		got[name] = typ.Since
		walk(typ.Fields, name+".", func(path string, f *Field) { got[path] = f.Since })
	}
	for path, want := range map[string]Release{
		"x": {}, "x.a": {}, "x.n": {1, 1}, "x.s": {1, 10}, "x.s.q": {1, 10}, "w": {1, 10}, "w.p": {1, 10},
	} {
		if got[path] != want {
			t.Errorf("%s is there since %s, want %s", path, got[path], want)
		}
	}
}

func TestDefaultsHaveAHistory(t *testing.T) {
	field := func(init string) string { return `x = Struct("x", [("a", uint8` + init + `)])` }
	s, err := Merge(eval(t, "1.0", field("")), eval(t, "1.1", field(", {'init_val': '3'}")),
		eval(t, "1.2", field(", {'init_val': '3'}")), eval(t, "1.3", field(", {'init_val': '4'}")), eval(t, "1.4", field("")))
	if err != nil {
		t.Fatal(err)
	}
	want := Inits{{Since: Release{1, 1}, Value: Number{Bits: 3}}, {Since: Release{1, 3}, Value: Number{Bits: 4}}, {Since: Release{1, 4}, None: true}}
	got := s.Lookup("x").Fields[0].Init
	if len(got) != len(want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("got %v, want %v", got[i], want[i])
		}
	}
	folded := foldInits(s, Inits{{Value: Number{Bits: 9}}}, got, s.First())
	for i, value := range []uint64{9, 3, 4, 9} {
		if folded[i].Value.Bits != value {
			t.Errorf("folded with a type's default of 9: got %v", folded)
			break
		}
	}
}
