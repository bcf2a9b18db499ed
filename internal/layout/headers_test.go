package layout

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/go-xenlight/xenlight/internal/abi"
	"github.com/go-xenlight/xenlight/internal/idl"
)

// headers are libxl's headers as Debian has them. A release stands for its
// whole stable series, in which layouts do not change.
var headers = []struct {
	release abi.Release
	suite   string
	arch    abi.Arch
}{
	{abi.R(4, 14), "bullseye", abi.AMD64},
	{abi.R(4, 17), "bookworm", abi.AMD64},
	{abi.R(4, 20), "trixie", abi.AMD64},
	{abi.R(4, 14), "bullseye", abi.ARM64},
	{abi.R(4, 17), "bookworm", abi.ARM64},
	{abi.R(4, 20), "trixie", abi.ARM64},
}

// triplets are the GNU names of the architectures.
var triplets = map[abi.Arch]string{abi.AMD64: "x86_64-linux-gnu", abi.ARM64: "aarch64-linux-gnu"}

// archName is what idl/functions.idl calls an architecture.
var archName = map[abi.Arch]string{abi.AMD64: "x86", abi.ARM64: "arm"}

// wanted says whether headers and compilers must be there: then what is missing
// is a failure.
func wanted() bool { return os.Getenv("XENLIGHT_TEST_HEADERS") == "1" }

// missing ends a test that lacks something.
func missing(t *testing.T, format string, args ...any) {
	t.Helper()
	if wanted() {
		t.Fatalf(format, args...)
	}
	t.Skipf("not tested: "+format+"; with XENLIGHT_TEST_HEADERS=1 it is fetched", args...)
}

// compiler is a C compiler with the headers of one release and architecture.
type compiler struct {
	command string
	args    []string
}

// compile returns what the compiler says against a C file; nothing if it is
// accepted.
func (c *compiler) compile(t *testing.T, text []byte) string {
	t.Helper()
	cmd := exec.Command(c.command, append(slices.Clone(c.args), "-std=gnu11", "-fsyntax-only", "-Werror",
		// Errors are to point at the assertion, not into its macro.
		"-ftrack-macro-expansion=0", "-fno-diagnostics-show-caret", "-xc", "-")...)
	cmd.Stdin = bytes.NewReader(text)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	err := cmd.Run()
	if err == nil {
		return ""
	}
	if _, exited := err.(*exec.ExitError); !exited {
		t.Fatal(err)
	}
	return stderr.String()
}

// headersOf finds a C compiler and the headers of a suite, which it fetches if
// they are wanted. Else the installed ones do, if they are those of the release.
func headersOf(t *testing.T, r abi.Release, suite string, arch abi.Arch) *compiler {
	t.Helper()
	c := &compiler{command: triplets[arch] + "-gcc"}
	if arch.String() == runtime.GOARCH {
		c.command = "gcc"
	}
	if _, err := exec.LookPath(c.command); err != nil {
		missing(t, "there is no %s", c.command)
	}
	if !wanted() {
		if arch.String() != runtime.GOARCH || installed(t) != r.String() {
			missing(t, "libxl's headers of Xen %s for %s are not installed", r, arch)
		}
		return c
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(cache, "xenlight", "packages", suite+"-"+arch.String())
	if out, err := exec.Command("../../scripts/fetch-xen", suite, arch.String(), root).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if so := filepath.Join(root, "usr/lib", triplets[arch], "libxenlight.so."+r.String()); !exists(so) {
		t.Fatalf("%s is not there: %s has another release of Xen", so, suite)
	}
	// Nothing of this machine's headers but the compiler's own.
	include := filepath.Join(root, "usr/include")
	c.args = []string{"-nostdinc", "-isystem", c.ownHeaders(t), "-isystem", include,
		"-isystem", filepath.Join(include, triplets[arch])}
	return c
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// ownHeaders is the folder with the compiler's stddef.h.
func (c *compiler) ownHeaders(t *testing.T) string {
	t.Helper()
	out, err := exec.Command(c.command, "-print-file-name=include").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// installed is the release of the library that the linker would take, as the
// headers do not tell theirs.
func installed(t *testing.T) string {
	t.Helper()
	if !exists("/usr/include/libxl.h") {
		return ""
	}
	out, err := exec.Command("gcc", "-print-file-name=libxenlight.so").Output()
	if err != nil {
		t.Fatal(err)
	}
	target, err := filepath.EvalSymlinks(strings.TrimSpace(string(out)))
	if err != nil {
		return ""
	}
	return regexp.MustCompile(`4\.[0-9]+`).FindString(filepath.Base(target))
}

func forAllHeaders(t *testing.T, test func(t *testing.T, r abi.Release, arch abi.Arch, c *compiler)) {
	for _, h := range headers {
		t.Run(fmt.Sprintf("%s-%s", h.release, h.arch), func(t *testing.T) {
			t.Parallel()
			test(t, h.release, h.arch, headersOf(t, h.release, h.suite, h.arch))
		})
	}
}

func TestLayoutsAreThoseOfTheHeaders(t *testing.T) {
	forAllHeaders(t, func(t *testing.T, r abi.Release, arch abi.Arch, c *compiler) {
		types, err := abi.Describe(r, arch)
		if err != nil {
			t.Fatal(err)
		}
		var text bytes.Buffer
		if err := Assertions(&text, types, abi.Enums, r); err != nil {
			t.Fatal(err)
		}
		if complaints := c.compile(t, text.Bytes()); complaints != "" {
			t.Errorf("the compiler disagrees:\n%s", complaints)
		}
		members := 0
		for _, typ := range types {
			members += len(typ.Members)
		}
		t.Logf("%d types, %d members, %d values hold", len(types), members, bytes.Count(text.Bytes(), []byte("\nVALUE(")))
	})
}

// TestFunctionsAreThoseOfTheHeaders compares the prototype of each function of
// idl/functions.idl, and sees to it that one with another last parameter is
// noticed.
func TestFunctionsAreThoseOfTheHeaders(t *testing.T) {
	all := allFunctions(t)
	forAllHeaders(t, func(t *testing.T, r abi.Release, arch abi.Arch, c *compiler) { c.comparePrototypes(t, all, r, arch) })
}

func allFunctions(t *testing.T) []*idl.Function {
	t.Helper()
	i, err := idl.LoadInterface("../..")
	if err != nil {
		t.Fatal(err)
	}
	return i.Functions
}

func (c *compiler) comparePrototypes(t *testing.T, all []*idl.Function, r abi.Release, arch abi.Arch) {
	t.Helper()
	release, err := idl.ParseRelease(r.String())
	if err != nil {
		t.Fatal(err)
	}
	var functions []*idl.Function
	for _, f := range all {
		if abi.R(f.Since.Major, f.Since.Minor) <= r && (f.Arch == "" || f.Arch == archName[arch]) {
			functions = append(functions, f)
		}
	}
	const includes = "#include <sys/time.h>\n#include <libxl.h>\n#include <libxl_utils.h>\n"
	text := bytes.NewBufferString(includes)
	mutants := bytes.NewBufferString(includes)
	for n, f := range functions {
		prototype := f.PrototypeIn(release)
		assertion := fmt.Sprintf("typedef %s; _Static_assert(__builtin_types_compatible_p(__typeof__(%s), fn%d), \"%s\");\n",
			strings.Replace(prototype, f.Name+"(", fmt.Sprintf("fn%d(", n), 1), f.Name, n, f.Name)
		text.WriteString(assertion)
		fmt.Fprintf(mutants, "#line 1 \"plant-%d\"\n%s", n, strings.Replace(assertion, "); _Static", ", char ***); _Static", 1))
	}
	if complaints := c.compile(t, text.Bytes()); complaints != "" {
		t.Errorf("the compiler disagrees:\n%s", complaints)
	}
	noticed := make(map[string]bool)
	for _, match := range complaint.FindAllStringSubmatch(c.compile(t, mutants.Bytes()), -1) {
		noticed[match[1]] = true
	}
	if len(noticed) != len(functions) {
		t.Errorf("of %d wrong prototypes %d are noticed", len(functions), len(noticed))
	}
	t.Logf("%d prototypes hold", len(functions))
}
