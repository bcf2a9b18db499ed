package idl

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// clone makes a repository in which releases are tagged and their interface
// has moved, as in Xen's own.
func clone(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("no git")
	}
	dir := t.TempDir()
	git := func(args ...string) {
		t.Helper()
		cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=t", "-c", "user.email=t@example.com"}, args...)...)
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %q: %v\n%s", args, err, out)
		}
	}
	git("init", "-q")
	for _, step := range []struct{ tag, file, text string }{
		{"RELEASE-4.13.0", "tools/libxl/libxl_types.idl", "this release is too old to be read"},
		{"RELEASE-4.14.0", "tools/libxl/libxl_types.idl", "1.0.idl"},
		{"RELEASE-4.14.1", "tools/libxl/libxl_types.idl", "this one is of a stable series"},
		{"RELEASE-4.15.0-rc1", "tools/libs/light/libxl_types.idl", "and this one not released"},
		{"RELEASE-4.15.0", "tools/libs/light/libxl_types.idl", "1.1.idl"},
	} {
		text := []byte(step.text)
		if filepath.Ext(step.text) == ".idl" {
			var err error
			if text, err = os.ReadFile(filepath.Join("testdata/small", step.text)); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.RemoveAll(filepath.Join(dir, "tools")); err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(dir, step.file)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, text, 0o644); err != nil {
			t.Fatal(err)
		}
		git("add", "-A")
		git("commit", "-q", "-m", step.tag)
		git("tag", step.tag)
	}
	return dir
}

func imported(t *testing.T, args ...string) []byte {
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

func TestCloneGivesItsTaggedReleases(t *testing.T) {
	dir := clone(t)
	want := imported(t, "testdata/small/1.0.idl", "testdata/small/1.1.idl")
	want = bytes.ReplaceAll(bytes.ReplaceAll(want, []byte(`"1.0"`), []byte(`"4.14"`)), []byte(`"1.1"`), []byte(`"4.15"`))
	for _, path := range []string{dir, filepath.Join(dir, ".git")} {
		if got := imported(t, path); !bytes.Equal(got, want) {
			t.Errorf("%s: %s", path, firstDifference(got, want))
		}
	}
}

func TestReleaseTakenInLaterGivesTheSameSchema(t *testing.T) {
	dir := clone(t)
	want := imported(t, dir)
	first, err := checkout(dir).eval(oldest)
	if err != nil {
		t.Fatal(err)
	}
	old, err := Encode(first)
	if err != nil {
		t.Fatal(err)
	}
	stored := filepath.Join(t.TempDir(), "libxl.json")
	if err := os.WriteFile(stored, old, 0o644); err != nil {
		t.Fatal(err)
	}
	if got := imported(t, stored, dir); !bytes.Equal(got, want) {
		t.Error(firstDifference(got, want))
	}
	if err := os.WriteFile(stored, want, 0o644); err != nil {
		t.Fatal(err)
	}
	if got := imported(t, stored, dir); !bytes.Equal(got, want) {
		t.Errorf("with nothing new: %s", firstDifference(got, want))
	}
}

func TestWhatIsNoCloneIsRefused(t *testing.T) {
	dir := t.TempDir()
	if _, err := Import(dir); err == nil || !strings.Contains(err.Error(), "expected .idl files or a clone of Xen's repository") {
		t.Errorf("an empty folder: %v", err)
	}
	if out, err := exec.Command("git", "-C", dir, "init", "-q").CombinedOutput(); err != nil {
		t.Skipf("no git: %s", out)
	}
	if _, err := Import(dir); err == nil || !strings.Contains(err.Error(), "expected tags such as RELEASE-4.14.0") {
		t.Errorf("a repository without tags: %v", err)
	}
}

// TestCloneOfXenGivesTheSchema needs a clone of Xen, bare or not, whose folder
// XEN_GIT_DIR names.
func TestCloneOfXenGivesTheSchema(t *testing.T) {
	dir := os.Getenv("XEN_GIT_DIR")
	if dir == "" {
		t.Skip("XEN_GIT_DIR does not name a clone of Xen")
	}
	want, err := os.ReadFile("../../idl/libxl.json")
	if err != nil {
		t.Fatal(err)
	}
	if got := imported(t, dir); !bytes.Equal(got, want) {
		t.Errorf("idl/libxl.json is not what xlidl import makes of %s:\n%s", dir, firstDifference(got, want))
	}
}

// TestNewestReleaseTakenInLaterGivesTheSchema leaves the newest release out,
// and then takes it in.
func TestNewestReleaseTakenInLaterGivesTheSchema(t *testing.T) {
	dir := idlDir(t)
	releases := realSchema(t).Releases
	var files []string
	for _, r := range releases {
		files = append(files, filepath.Join(dir, r.String()+".idl"))
	}
	last := len(files) - 1
	want, err := os.ReadFile("../../idl/libxl.json")
	if err != nil {
		t.Fatal(err)
	}
	old := imported(t, files[:last]...)
	if bytes.Equal(old, want) {
		t.Fatalf("without %s the schema is the same", releases[last])
	}
	stored := filepath.Join(t.TempDir(), "libxl.json")
	if err := os.WriteFile(stored, old, 0o644); err != nil {
		t.Fatal(err)
	}
	if got := imported(t, stored, files[last]); !bytes.Equal(got, want) {
		t.Error(firstDifference(got, want))
	}
}
