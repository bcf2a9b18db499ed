package xltest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestAllChecksRun sees to it that no list of checks has been left out.
func TestAllChecksRun(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	list := regexp.MustCompile(`(?m)^var (\w+Checks) = `)
	var lists []string
	all := ""
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range list.FindAllSubmatch(text, -1) {
			lists = append(lists, string(m[1]))
		}
		if _, after, ok := strings.Cut(string(text), "\nfunc allChecks() "); ok {
			all, _, _ = strings.Cut(after, "\n}")
		}
	}
	if len(lists) < 8 {
		t.Errorf("only %q are found", lists)
	}
	for _, name := range lists {
		if !regexp.MustCompile(`\b` + name + `\b`).MatchString(all) {
			t.Errorf("allChecks leaves %s out", name)
		}
	}
}
