package libxl_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/go-xenlight/xenlight/internal/abi"
	"github.com/go-xenlight/xenlight/internal/abi/abitest"
	"github.com/go-xenlight/xenlight/libxl"
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

// FuzzJSON lets every type read any text: it may refuse it, but what it has read
// is JSON, and the same when it is written and read again.
func FuzzJSON(f *testing.F) {
	r := abitest.NewFiller(4)
	for i, typ := range abitest.Types {
		for range 3 {
			text, err := r.Random(typ).MarshalJSON()
			if err != nil {
				f.Fatal(err)
			}
			f.Add(uint16(i), text)
		}
	}
	config := slices.IndexFunc(abitest.Types, func(t abitest.Type) bool { return t.Struct == abi.DomainConfig })
	_, listed := listed(f)
	for _, text := range []string{
		string(listed),
		`{"b_info":{"type.hvm":{"vnc":{"enable":"True"},"ms_vm_genid":[1,2]},"cpuid":{"cpuid":[],"msr":[]}}}`,
		`{"channels":[{"connection.socket":{"path":"\u00e9"}},{"connection.pty":{}}],"nics":[{"mac":"00:16:3e:00:00:01"}]}`,
	} {
		f.Add(uint16(config), []byte(text))
	}
	f.Fuzz(func(t *testing.T, n uint16, text []byte) {
		readAnything(t, abitest.Types[int(n)%len(abitest.Types)], text)
	})
}

func readAnything(t *testing.T, typ abitest.Type, text []byte) {
	x, y := typ.New(), typ.New()
	var e *libxl.JSONError
	if err := x.UnmarshalJSON(text); err != nil {
		if !errors.As(err, &e) {
			t.Fatalf("%s: an error of another type: %v", typ.Go, err)
		}
		return
	}
	if !json.Valid(text) {
		t.Fatalf("%s: read what is no JSON: %q", typ.Go, text)
	}
	written, err := x.MarshalJSON()
	if err != nil {
		// Only leaves that are there twice can be read but not written.
		if errors.As(err, &e) && strings.HasSuffix(e.Problem, "is there twice") {
			return
		}
		t.Fatalf("%s: %v\n%s", typ.Go, err, text)
	}
	if err := y.UnmarshalJSON(written); err != nil || !typ.Equal(x, y) {
		t.Fatalf("%s: %v\nread    %+v\nwritten %s\nread    %+v", typ.Go, err, x, written, y)
	}
}
