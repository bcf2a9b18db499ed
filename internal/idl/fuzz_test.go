package idl

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// FuzzParse feeds anything to the compiler: it may refuse it, but not crash,
// not hang, and what it accepts has to survive being stored, read, merged with
// itself as a later release, and generated from.
func FuzzParse(f *testing.F) {
	for _, name := range []string{"1.0.idl", "1.1.idl"} {
		text, err := os.ReadFile(filepath.Join("testdata/small", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	for _, text := range []string{
		"x = Struct('x', [('a', uint8, {'init_val': '~0U'}), ('b', Array(uint32, 'num_b'))])",
		"s = Struct(None, [('a', e)])\nx = Struct('x', [('u', KeyedUnion(None, e, 'k', [('a', s), ('b', None)]))])",
		"a = [1, 2]\nb = [a, a]\nx = Struct('x', [b])",
		"x = [y for y in range(1000000000)]",
		"x = 'a' * 1000000000",
	} {
		f.Add([]byte(prelude + text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		start := time.Now()
		compileAnything(t, text)
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("it took %s", took)
		}
	})
}

func compileAnything(t *testing.T, text []byte) {
	s, err := Eval("fuzz.idl", text, Release{1, 0})
	if err != nil {
		if err.Error() == "" {
			t.Error("an error without a text")
		}
		return
	}
	stored, err := Encode(s)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Decode(stored)
	if err != nil {
		t.Fatalf("%v\n%s", err, stored)
	}
	if got, err := Encode(again); err != nil || !bytes.Equal(got, stored) {
		t.Fatalf("read and stored again it is different: %v\n%s", err, firstDifference(got, stored))
	}
	later, err := Eval("fuzz.idl", text, Release{1, 1})
	if err != nil {
		t.Fatal(err)
	}
	merged, err := Merge(again, later)
	if err != nil {
		t.Fatalf("not compatible with itself: %v", err)
	}
	if _, err := newModel(merged, nil); err != nil && err.Error() == "" {
		t.Error("an error without a text")
	}
}
