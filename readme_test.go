package xenlight_test

import (
	"os"
	"regexp"
	"testing"
)

// TestReadmeShowsTheExample sees to it that the program in README.md compiles:
// its main is the package's example.
func TestReadmeShowsTheExample(t *testing.T) {
	needSources(t)
	body := func(file, function string) string {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		m := regexp.MustCompile(`(?s)\nfunc ` + function + `\(\) \{\n(.*?)\n\}\n`).FindSubmatch(text)
		if m == nil {
			t.Fatalf("%s has no func %s", file, function)
		}
		return string(m[1])
	}
	if got, want := body("README.md", "main"), body("example_test.go", "Example"); got != want {
		t.Errorf("README.md has\n%s\nexample_test.go has\n%s", got, want)
	}
}
