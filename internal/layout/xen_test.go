package layout

import (
	"bytes"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-xenlight/xenlight/internal/abi"
)

// fromXen are the files of Xen's tree that make libxl's headers.
var fromXen = append([]string{"idl.py", "gentypes.py", "libxl_types.idl"}, publicHeaders...)

// listHeader stands for a header that Xen's build makes by a Perl script. Its
// name has changed.
const listHeader = `#define LIBXL_TAILQ_ENTRY(t) struct { t *next; t **prev; }
#define XEN_TAILQ_ENTRY(t) LIBXL_TAILQ_ENTRY(t)
`

// headersFromXen has Xen's own compiler make the headers of a release from a
// clone of Xen's repository, and returns their folder.
func headersFromXen(t *testing.T, clone string, r abi.Release) string {
	t.Helper()
	dir := t.TempDir()
	output := func(name string, args ...string) []byte {
		t.Helper()
		cmd := exec.Command(name, args...)
		cmd.Dir = dir
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s %q: %v\n%s", name, args, err, stderr.String())
		}
		return out
	}
	tag := "RELEASE-" + r.String() + ".0"
	names := strings.Fields(string(output("git", "-C", clone, "ls-tree", "-r", "--name-only", tag, "tools/include", "tools/libxl", "tools/libs")))
	for _, name := range names {
		if base := path.Base(name); slices.Contains(fromXen, base) {
			text := output("git", "-C", clone, "show", tag+":"+name)
			if err := os.WriteFile(filepath.Join(dir, base), text, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, name := range []string{"xen_list.h", "_libxl_list.h"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(listHeader), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	output("python3", "gentypes.py", "libxl_types.idl", "_libxl_types.h", "private.h", "_libxl_types_json.h", "types.c")
	return dir
}

// TestLayoutsAreThoseOfXensOwnCompiler holds the assertions against headers
// that Xen's own IDL compiler makes, of every release: also of those that no
// distribution at hand has. XEN_GIT_DIR names the clone of Xen. To see that
// each set of assertions knows its release, it has to fail on the next one. The
// functions and their prototypes are compared too.
func TestLayoutsAreThoseOfXensOwnCompiler(t *testing.T) {
	clone := os.Getenv("XEN_GIT_DIR")
	if clone == "" {
		t.Skip("not tested: XEN_GIT_DIR does not name a clone of Xen")
	}
	for _, tool := range []string{"git", "python3", "gcc"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("not tested: there is no %s", tool)
		}
	}
	all, functions := allEntries(t), allFunctions(t)
	for i, r := range abi.Releases {
		t.Run(r.String(), func(t *testing.T) {
			dir := headersFromXen(t, clone, r)
			c := &compiler{command: "gcc", args: []string{"-I", dir}}
			var text bytes.Buffer
			if err := Assertions(&text, describe(t, r, abi.AMD64), abi.Enums, r); err != nil {
				t.Fatal(err)
			}
			if complaints := c.compile(t, text.Bytes()); complaints != "" {
				t.Errorf("the compiler disagrees:\n%s", complaints)
			}
			for _, w := range compareFunctions(all, c.functionsOf(t), r, abi.AMD64) {
				t.Error(w)
			}
			c.comparePrototypes(t, functions, r, abi.AMD64)
			if i == 0 {
				return
			}
			before := abi.Releases[i-1]
			text.Reset()
			if err := Assertions(&text, describe(t, before, abi.AMD64), abi.Enums, before); err != nil {
				t.Fatal(err)
			}
			if c.compile(t, text.Bytes()) == "" {
				t.Errorf("the compiler takes %s for %s", r, before)
			}
		})
	}
}
