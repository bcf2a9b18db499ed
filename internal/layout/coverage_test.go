package layout

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/go-xenlight/xenlight/internal/abi"
	"github.com/go-xenlight/xenlight/internal/idl"
)

// publicHeaders are all headers of libxl's that declare functions, but for the
// generated ones: those have the helpers of types, which structFns knows.
var publicHeaders = []string{"libxl.h", "libxl_event.h", "libxl_utils.h", "libxl_uuid.h", "libxlutil.h", "libxl_json.h", "xentoollog.h"}

var (
	lineMarker = regexp.MustCompile(`^# [0-9]+ "([^"]*)"`)
	token      = regexp.MustCompile(`"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[A-Za-z_]\w*|[^\s\w]|[0-9]\w*`)
	ours       = regexp.MustCompile(`^(libxl|xlu|xtl)_\w+$`)
)

// declared lists the functions that public headers declare or define in a
// preprocessed C text, with the first header that does.
func declared(text []byte) map[string]string {
	functions := make(map[string]string)
	header, name, last := "", "", ""
	depth, braces, typedef := 0, 0, false
	found := func() {
		if name != "" && !typedef && functions[name] == "" && slices.Contains(publicHeaders, header) {
			functions[name] = header
		}
	}
	next := func() { name, typedef = "", false }
	for line := range strings.Lines(string(text)) {
		if m := lineMarker.FindStringSubmatch(line); m != nil {
			header = filepath.Base(m[1])
			continue
		}
		if strings.HasPrefix(line, "#") {
			continue // a pragma
		}
		for _, t := range token.FindAllString(line, -1) {
			switch t {
			case "(":
				if depth == 0 && braces == 0 && name == "" && ours.MatchString(last) {
					name = last
				}
				depth++
			case ")":
				depth--
			case "{":
				// What follows a name with parameters is the body of a function.
				if braces == 0 {
					found()
				}
				braces++
			case "}":
				braces--
				if braces == 0 && name != "" {
					next()
				}
			case ";":
				if braces > 0 || depth > 0 {
					break
				}
				found()
				next()
			case "typedef":
				typedef = typedef || braces == 0 && depth == 0
			}
			last = t
		}
	}
	return functions
}

func TestDeclarationsAreFound(t *testing.T) {
	const text = `# 1 "/usr/include/libxl.h" 1 3
int libxl_a(libxl_ctx *ctx, void (*f)(int), int libxl_not(int))
    __attribute__((warn_unused_result));
extern const char *
libxl_b(void);
typedef int libxl_not_callback(libxl_ctx *ctx);
typedef struct { int (*libxl_not_member)(int); } libxl_not_struct;
struct s { void libxl_not_field(int); int x; };
# 2 "/usr/include/libxl_utils.h" 2 3
static inline int libxl_c(int x)
{
    if (libxl_not_called(x)) { return libxl_not_called(x); }
    return '{' + sizeof("};");
}
void libxl_d(void); libxl_bitmap libxl_e(int), x;
#pragma GCC libxl_not_pragma(int)
# 3 "/usr/include/libxl.h" 2 3
# 4 "/usr/include/_libxl_types.h" 2 3
void libxl_not_public(void); void libxl_g(void);
# 5 "/usr/include/libxl.h" 2 3
void libxl_g(void); int xlu_f(int); extern int libxl_not_variable; int printf(const char *);
void libxl_d(void); void other(libxl_not_type(*f)(int));
`
	want := map[string]string{"libxl_a": "libxl.h", "libxl_b": "libxl.h", "libxl_c": "libxl_utils.h",
		"libxl_d": "libxl_utils.h", "libxl_e": "libxl_utils.h", "libxl_g": "libxl.h", "xlu_f": "libxl.h"}
	if got := declared([]byte(text)); !maps.Equal(got, want) {
		t.Errorf("found are %v, want %v", got, want)
	}
}

// functionsOf lists the functions of libxl's headers, with the header of each.
func (c *compiler) functionsOf(t *testing.T) map[string]string {
	t.Helper()
	// libxl_json.h includes these, which are of other packages; nothing of them
	// is needed to see which functions there are.
	foreign := t.TempDir()
	for _, name := range []string{"yajl/yajl_gen.h", "yajl/yajl_parse.h", "yajl/yajl_version.h", "json-c/json.h"} {
		if err := os.MkdirAll(filepath.Join(foreign, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(foreign, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var source bytes.Buffer
	for _, h := range publicHeaders {
		fmt.Fprintf(&source, "#include <%s>\n", h)
	}
	cmd := exec.Command(c.command, append(slices.Clone(c.args), "-idirafter", foreign,
		"-DHAVE_LIBYAJL", // from 4.21 on it is not the only choice
		"-std=gnu11", "-E", "-xc", "-")...)
	cmd.Stdin = &source
	var stderr strings.Builder
	cmd.Stderr = &stderr
	text, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	functions := declared(text)
	// One of the helpers that the IDL generates; up to 4.20 a public header
	// declares it too.
	delete(functions, "libxl_domain_config_gen_json")
	return functions
}

// compareFunctions compares the functions that headers have with what
// idl/functions.idl says of that release and architecture, and says what is
// wrong.
func compareFunctions(entries []idl.Entry, functions map[string]string, r abi.Release, arch abi.Arch) []string {
	var wrong []string
	known := make(map[string]bool)
	for _, e := range entries {
		known[e.Name] = true
		want := abi.R(e.Since.Major, e.Since.Minor) <= r && (e.Arch == "" || e.Arch == archName[arch])
		header, got := functions[e.Name]
		switch {
		case want && !got:
			wrong = append(wrong, fmt.Sprintf("%s is said to be there since %s; no header declares it", e.Name, e.Since))
		case got && !want:
			wrong = append(wrong, fmt.Sprintf("%s is said to be there since %s, on %q; %s declares it", e.Name, e.Since, e.Arch, header))
		case got && header != e.Header:
			wrong = append(wrong, fmt.Sprintf("%s is said to be in %s; %s declares it", e.Name, e.Header, header))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(functions)) {
		if !known[name] {
			wrong = append(wrong, fmt.Sprintf("%s of %s is neither described nor excluded", name, functions[name]))
		}
	}
	return wrong
}

func allEntries(t *testing.T) []idl.Entry {
	t.Helper()
	i, err := idl.LoadInterface("../..")
	if err != nil {
		t.Fatal(err)
	}
	return i.Entries()
}

// TestAllFunctionsOfTheHeadersAreKnown sees to it that idl/functions.idl says of
// each function that libxl's headers declare what becomes of it, and speaks of
// no other.
func TestAllFunctionsOfTheHeadersAreKnown(t *testing.T) {
	all := allEntries(t)
	forAllHeaders(t, func(t *testing.T, r abi.Release, arch abi.Arch, c *compiler) {
		functions := c.functionsOf(t)
		if len(functions) < 300 {
			t.Errorf("only %d functions are found", len(functions))
		}
		for _, w := range compareFunctions(all, functions, r, arch) {
			t.Error(w)
		}
		t.Logf("%d functions are known", len(functions))
	})
}

func TestUnknownFunctionsAreNoticed(t *testing.T) {
	since := func(minor int) idl.Release { return idl.Release{Major: 4, Minor: minor} }
	all := []idl.Entry{
		{Name: "libxl_a", Header: "libxl.h", Since: since(14)},
		{Name: "libxl_b", Header: "libxl.h", Since: since(17), Arch: "arm"},
		{Name: "libxl_c", Header: "libxl_utils.h", Since: since(20)},
	}
	for _, test := range []struct {
		name      string
		functions map[string]string
		want      string
	}{
		{"all is well", map[string]string{"libxl_a": "libxl.h"}, ""},
		{"new", map[string]string{"libxl_a": "libxl.h", "libxl_x": "libxl.h"}, "libxl_x of libxl.h is neither described nor excluded"},
		{"gone", nil, "libxl_a is said to be there since 4.14; no header declares it"},
		{"older", map[string]string{"libxl_a": "libxl.h", "libxl_c": "libxl_utils.h"}, "libxl_c is said to be there since 4.20, on \"\"; libxl_utils.h declares it"},
		{"elsewhere", map[string]string{"libxl_a": "libxl.h", "libxl_b": "libxl.h"}, "libxl_b is said to be there since 4.17, on \"arm\"; libxl.h declares it"},
		{"moved", map[string]string{"libxl_a": "libxl_utils.h"}, "libxl_a is said to be in libxl.h; libxl_utils.h declares it"},
	} {
		if got := strings.Join(compareFunctions(all, test.functions, abi.R(4, 17), abi.AMD64), "\n"); got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}
