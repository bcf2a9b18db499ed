package idl

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

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
		t.Errorf("it differs from %s: look at the change, then run go test -update\n%s", name, firstDifference(got, want))
	}
}

func smallInterface(t *testing.T) *Interface {
	t.Helper()
	i, err := LoadInterface(smallModule(t))
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func TestShowDescribesEveryKindOfType(t *testing.T) {
	i := smallInterface(t)
	var text bytes.Buffer
	for _, typ := range i.Schema.Types {
		if err := i.Show(&text, typ.Name); err != nil {
			t.Fatal(err)
		}
		text.WriteByte('\n')
	}
	golden(t, "small/show.golden", text.Bytes())
}

func TestShowFindsATypeByAllItsNames(t *testing.T) {
	i := smallInterface(t)
	show := func(name string) string {
		var text strings.Builder
		if err := i.Show(&text, name); err != nil {
			t.Error(err)
		}
		return text.String()
	}
	want := show("wagon")
	for _, name := range []string{"libxl_wagon", "Wagon", "libxl.Wagon"} {
		if got := show(name); got != want {
			t.Errorf("%s is shown as\n%s", name, got)
		}
	}
	if err := i.Show(&strings.Builder{}, "libxl_wag"); err == nil || err.Error() != "there is no type libxl_wag, but wagon" {
		t.Error(err)
	}
	if err := i.Show(&strings.Builder{}, "plane"); err == nil || err.Error() != "there is no type plane" {
		t.Error(err)
	}
}

func TestDiffTellsWhatAReleaseAdds(t *testing.T) {
	i := smallInterface(t)
	var text bytes.Buffer
	if any, err := i.Diff(&text, Release{1, 0}, Release{1, 1}); err != nil || !any {
		t.Errorf("%t, %v", any, err)
	}
	golden(t, "small/diff.golden", text.Bytes())
}

func TestDiffRefusesWhatItCannotCompare(t *testing.T) {
	i := smallInterface(t)
	for _, test := range []struct {
		from, to Release
		want     string
	}{
		{Release{1, 0}, Release{1, 2}, "release 1.2 is not known: expected one of 1.0, 1.1"},
		{Release{1, 1}, Release{1, 0}, "expected the older release first, got 1.1 and 1.0"},
		{Release{1, 1}, Release{1, 1}, "expected the older release first, got 1.1 and 1.1"},
	} {
		if _, err := i.Diff(&strings.Builder{}, test.from, test.to); err == nil || err.Error() != test.want {
			t.Errorf("got %v, want %s", err, test.want)
		}
	}
}
