package libxl_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/go-xenlight/xenlight/internal/abi"
	"github.com/go-xenlight/xenlight/internal/abi/abitest"
)

func TestEveryStructIsTested(t *testing.T) {
	if len(abitest.Types) != len(abi.Structs) {
		t.Fatalf("%d types, want %d", len(abitest.Types), len(abi.Structs))
	}
	for i, s := range abi.Structs {
		if abitest.Types[i].Struct != s {
			t.Errorf("type %d is %s, want %s", i, abitest.Types[i].Go, s.Go)
		}
	}
}

func TestRandomValuesSurviveJSON(t *testing.T) {
	r := abitest.NewFiller(1)
	for _, typ := range abitest.Types {
		for range 300 {
			want := r.Random(typ)
			text, err := want.MarshalJSON()
			if err != nil {
				t.Fatalf("%s: %v", typ.Go, err)
			}
			if !json.Valid(text) {
				t.Fatalf("%s: no JSON: %s", typ.Go, text)
			}
			if again, err := want.AppendJSON([]byte("x")); err != nil || string(again) != "x"+string(text) {
				t.Fatalf("%s: AppendJSON gives %s, %v\nMarshalJSON %s", typ.Go, again, err, text)
			}
			for _, text := range [][]byte{text, indented(t, text), escaped(t, text)} {
				got := typ.New()
				if err := got.UnmarshalJSON(text); err != nil {
					t.Fatalf("%s: %v\n%s", typ.Go, err, text)
				}
				if !typ.Equal(got, want) {
					t.Fatalf("%s: got\n%+v\nwant\n%+v\nJSON %s", typ.Go, got, want, text)
				}
			}
		}
	}
}

func indented(t *testing.T, text []byte) []byte {
	var b bytes.Buffer
	if err := json.Indent(&b, text, "", "    "); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// escaped writes the same with other escapes.
func escaped(t *testing.T, text []byte) []byte {
	b, err := json.Marshal(json.RawMessage(text))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDefaultsAreNotWritten(t *testing.T) {
	for _, typ := range abitest.Types {
		text, err := typ.New().MarshalJSON()
		if err != nil {
			t.Fatalf("%s: %v", typ.Go, err)
		}
		// hwcap has no default for libxl.
		text = bytes.ReplaceAll(text, []byte(`"hw_cap":[0,0,0,0]`), []byte(`"":{}`))
		var v any
		if err := json.Unmarshal(text, &v); err != nil {
			t.Fatal(err)
		}
		if !onlyObjects(v) {
			t.Errorf("%s: %s", typ.Go, text)
		}
	}
}

func onlyObjects(v any) bool {
	m, ok := v.(map[string]any)
	for _, v := range m {
		ok = ok && onlyObjects(v)
	}
	return ok
}

func TestClonesAreEqualAndShareNothing(t *testing.T) {
	r := abitest.NewFiller(2)
	for _, typ := range abitest.Types {
		for range 100 {
			x := r.Random(typ)
			before, err := x.MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			y := typ.Clone(x)
			if !typ.Equal(x, y) || !typ.Equal(y, x) {
				t.Fatalf("%s: the clone is not equal:\n%+v\n%+v", typ.Go, x, y)
			}
			if shared := sharedMemory(x, y); shared != "" {
				t.Fatalf("%s: %s is shared", typ.Go, shared)
			}
			// Equal says what JSON says: the values of New are as they were.
			z := r.Random(typ)
			after, err := z.MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			if typ.Equal(x, z) != bytes.Equal(before, after) {
				t.Fatalf("%s: Equal is %t for\n%s\n%s", typ.Go, typ.Equal(x, z), before, after)
			}
		}
	}
}
