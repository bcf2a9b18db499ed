package xltest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
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

func TestChecksEndAsTheyShould(t *testing.T) {
	for _, test := range []struct {
		what   string
		run    func(*T)
		status Status
		says   string
	}{
		{"nothing wrong", func(t *T) {}, Passed, ""},
		{"a remark", func(t *T) { t.Logf("a %s", "remark") }, Passed, "a remark"},
		{"an error", func(t *T) { t.Errorf("one"); t.Logf("two") }, Failed, "one two"},
		{"the end", func(t *T) { t.Fatalf("one"); t.Logf("two") }, Failed, "one"},
		{"an error of a call", func(t *T) { t.ok(nil, "a"); t.ok(errors.New("why"), "b"); t.Logf("c") }, Failed, "b: why"},
		{"a panic", func(t *T) { panic("oh") }, Failed, "panic: oh"},
		{"not here", func(t *T) { t.Cannot("no %s", "disk"); t.Errorf("not reached") }, Untestable, "no disk"},
		{"an error, then not here", func(t *T) { t.Errorf("one"); t.Cannot("two") }, Failed, "one two"},
		{"a cleanup that fails", func(t *T) { t.Cleanup(func() { t.Fatalf("left behind") }) }, Failed, "left behind"},
		{"cleanups after the end", func(t *T) {
			t.Cleanup(func() { t.Logf("last") })
			t.Cleanup(func() { t.Logf("first") })
			t.Cannot("no")
		}, Untestable, "no first last"},
		{"cleanups after a cleanup that ends", func(t *T) {
			t.Cleanup(func() { t.Logf("last") })
			t.Cleanup(func() { panic("first") })
		}, Failed, "last"},
		{"what never comes", func(t *T) { t.until("it", func() bool { return false }) }, Failed, "waiting for it: context deadline exceeded"},
		{"a deadline that cleanups outlive", func(t *T) {
			<-t.ctx.Done()
			t.Cleanup(func() { t.Logf("done") })
		}, Passed, "done"},
	} {
		r := runCheck(context.Background(), nil, Options{Timeout: 100 * time.Millisecond}, check{"section", test.what, test.run})
		if said := strings.Join(r.Details, " "); r.Status != test.status || !strings.Contains(said, test.says) || strings.Contains(said, "not reached") {
			t.Errorf("%s: %s, %q", test.what, r.Status, said)
		}
		var text strings.Builder
		r.Print(&text, false)
		if shown := strings.Contains(text.String(), "\n    "); shown != (r.Status != Passed) {
			t.Errorf("%s: the reason of what has not passed is printed, and no other: %q", test.what, text.String())
		}
	}
}

func TestChecksAreChosenBySectionAndName(t *testing.T) {
	all := Checks(Options{})
	seen := map[string]bool{}
	for _, name := range all {
		if seen[name] {
			t.Errorf("%s is there twice", name)
		}
		seen[name] = true
	}
	want := slices.DeleteFunc(slices.Clone(all), func(s string) bool { return !strings.HasPrefix(s, "Devices: Disk/") })
	if got := Checks(Options{Section: "Disk"}); len(want) == 0 || !slices.Equal(got, want) {
		t.Errorf("section Disk: %q, want %q", got, want)
	}
	want = slices.DeleteFunc(want, func(s string) bool { return !strings.Contains(s, "CD-ROM") })
	if got := Checks(Options{Section: "Disk", Run: regexp.MustCompile("^Devices: Disk/.*CD-ROM")}); len(want) == 0 || !slices.Equal(got, want) {
		t.Errorf("CD-ROM: %q, want %q", got, want)
	}
}

func TestReportsSayWhyAndCount(t *testing.T) {
	var r Report
	for i, s := range []Status{Passed, Failed, Untestable} {
		r.Add(Result{Section: "A", Name: fmt.Sprint(i), Status: s, Details: []string{"because " + string(s)}})
	}
	var text strings.Builder
	if err := r.JSON(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"status": "cannot be tested here"`, `"because failed"`, `"failed": 1`} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the JSON lacks %s: %s", want, text.String())
		}
	}
}
