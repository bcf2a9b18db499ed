package idl

import (
	"strings"
	"testing"
)

// functionPrelude begins the texts below; it is one line long.
const functionPrelude = `section("S"); CTX = ("ctx", ctx)` + "\n"

func functionsSchema(t *testing.T) *Schema {
	t.Helper()
	s, err := Merge(
		eval(t, "1.0", `st = Struct("st", []); bm = Builtin("bitmap"); uu = Builtin("uuid"); db = Builtin("defbool"); mac = Builtin("mac")`),
		eval(t, "1.1", `st = Struct("st", []); bm = Builtin("bitmap"); uu = Builtin("uuid"); db = Builtin("defbool"); mac = Builtin("mac")`))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestFaultsInFunctionsAreRefused(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"no section", `section("")`, "f.idl:2:9: section: expected a name"},
		{"unknown type", `Function("f", status, [("a", libxl_nope)])`, "f.idl:2:30: undefined: libxl_nope"},
		{"parameter is no pair", `Function("f", status, [CTX, "a"])`, `f.idl:2:29: f: expected ("name", type) or ("name", type, {options}), got "a"`},
		{"struct by value", "Function(\"f\", status, [CTX,\n (\"s\", libxl_st)])", "f.idl:3:2: f: libxl_st s cannot be passed by value: expected In, Out or InOut"},
		{"six bytes by value", `Function("f", status, [("m", libxl_mac)])`, "cannot be passed by value"},
		{"convention", `Function("f", integer, [])`, "f.idl:2:15: f: expected a return convention, got int"},
		{"unknown release", `Function("f", status, [], since = "1.2")`, "f.idl:2:9: f: expected a known release as since, got 1.2"},
		{"twice", "Function('f', void, [])\nFunction('f', void, [])", "f.idl:3:9: f is there twice"},
		{"list without its length", `Function("f", List(libxl_st, len = "n", free = "g"), [CTX])`, `f: no parameter "n" gets the length of the list`},
		{"list without its free function", `Function("f", List(libxl_st, len = "n", free = "g"), [("n", Out(integer))])`, "f: its list is freed by g, which is not described"},
		{"neither described nor by hand", `Function("f", void, [])`, "f.idl:2:9: f: expected one of doc, hand and internal"},
		{"described and by hand", `Function("f", void, [], doc = "is f.", hand = True)`, "f: expected one of doc, hand and internal"},
		{"unknown architecture", `Function("f", void, [], arch = "vax")`, "f: expected x86 or arm as arch, got vax"},
		{"optional number", `Function("f", void, [("a", integer, {"optional": True})])`, "a: expected optional (True, of a pointer)"},
		{"unknown option of a parameter", `Function("f", void, [("a", In(integer), {"free": True})])`, "a: expected optional (True, of a pointer)"},
		{"bits of no bitmap", `Function("f", void, [("a", Out(integer), {"bits": "f"})])`, "a: expected optional (True, of a pointer)"},
		{"bits that nothing tells", `Function("f", void, [("a", Out(libxl_bitmap), {"bits": "g"})], hand = True)`, "f: a has as many bits as g says, which is not described"},
		{"parameter of an unknown release", `Function("f", void, [("a", integer, {"since": "1.2"})])`, "f: expected a known release as since, got 1.2"},
		{"excluded without a reason", `Excluded("f", status = "replaced")`, "f.idl:2:9: f: expected a reason"},
		{"excluded how", `Excluded("f", status = "gone", reason = "r")`, "f: expected replaced or excluded as status, got \"gone\""},
		{"excluded and described", "Function('f', void, [], hand = True)\nExcluded('f', status = 'replaced', reason = 'r')", "f.idl:3:9: f is described and excluded"},
		{"unknown option", `Function("f", void, [], sinse = "1.1")`, "unknown option sinse"},
		{"by value over the last register of amd64", `Function("f", void, [CTX, CTX, CTX, CTX, CTX, ("b", libxl_bitmap)])`, "f: b straddles the last register of amd64"},
		{"by value over the last register of arm64", `Function("f", void, [CTX, CTX, CTX, CTX, CTX, CTX, CTX, ("b", libxl_uuid)])`, "f: b straddles the last register of arm64"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := EvalFunctions("f.idl", []byte(functionPrelude+test.text), functionsSchema(t))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
		})
	}
}

// TestTheLanguageCanSayAllOfLibxlsPrototypes has one function of each kind that
// libxl's headers have.
func TestTheLanguageCanSayAllOfLibxlsPrototypes(t *testing.T) {
	tests := []struct{ text, c, params, result string }{
		{`status, [CTX, ("keys", In(char, const = False))]`, "int f(libxl_ctx *ctx, char *keys)", "Ctx, unsafe.Pointer", "int32"},
		{`status, [("data_r", Out(Pointer(uint8))), ("len", Out(size))]`, "int f(uint8_t **data_r, size_t *len)", "*unsafe.Pointer, *uint", "int32"},
		{`status, [("info", Out(Pointer(libxl_st))), ("nr", Out(integer))]`, "int f(libxl_st **info, int *nr)", "*unsafe.Pointer, *int32", "int32"},
		{`status, [("map", libxl_bitmap), ("kind", libxl_e), ("new", libxl_uuid)]`, "int f(libxl_bitmap map, libxl_e kind, libxl_uuid new)", "[2]uintptr, int32, [2]uintptr", "int32"},
		{`Number(bool), [("db", libxl_defbool)]`, "bool f(libxl_defbool db)", "int32", "bool"},
		{`boolean, [("map", In(libxl_bitmap)), ("bit", integer)]`, "int f(const libxl_bitmap *map, int bit)", "unsafe.Pointer, int32", "bool"},
		{`Owned(string), [("db", libxl_defbool)]`, "const char *f(libxl_defbool db)", "int32", "unsafe.Pointer"},
		{`Owned(libxl_st), [CTX]`, "const libxl_st *f(libxl_ctx *ctx)", "Ctx", "unsafe.Pointer"},
		{`Owned(Opaque("libxl_reader"), const = False), [CTX, ("clear", integer)]`, "libxl_reader *f(libxl_ctx *ctx, int clear)", "Ctx, int32", "unsafe.Pointer"},
		{`Given(string), [CTX, ("domid", uint32)]`, "char *f(libxl_ctx *ctx, uint32_t domid)", "Ctx, uint32", "unsafe.Pointer"},
		{`errno, [("cfg", In(Opaque("XLU_Config"))), ("n", string), ("v", Out(Pointer(char, const = True))), ("warn", integer)]`,
			"int f(const XLU_Config *cfg, const char *n, const char **v, int warn)", "unsafe.Pointer, unsafe.Pointer, *unsafe.Pointer, int32", "int32"},
		{`status, [CTX, ("target", int64), ("gfn", ulong), ("pid", pid)]`, "int f(libxl_ctx *ctx, int64_t target, unsigned long gfn, pid_t pid)", "Ctx, int64, uint, int32", "int32"},
		{`Code(doc = "0 to 5"), [("str", string)]`, "int f(const char *str)", "unsafe.Pointer", "int32"},
		{`raw, [("m", InOut(libxl_mac)), ("k", Out(libxl_e))]`, "int f(libxl_mac *m, libxl_e *k)", "unsafe.Pointer, *int32", "int32"},
		{`Number(uint32), [("s", uint32)]`, "uint32_t f(uint32_t s)", "uint32", "uint32"},
		{`replace, [CTX, ("fd", integer), ("esc", In(char, const = False))]`, "int f(libxl_ctx *ctx, int fd, char *esc)", "Ctx, int32, unsafe.Pointer", "int32"},
		{`status, [("specs", In(string)), ("src", In(Pointer(char)))]`, "int f(const char *const *specs, char *const *src)", "unsafe.Pointer, unsafe.Pointer", "int32"},
		{`Number(Typedef("yajl_gen_status", integer)), [("hand", Typedef("yajl_gen", pointer)), ("lvl", Typedef("xentoollog_level", integer))]`,
			"yajl_gen_status f(yajl_gen hand, xentoollog_level lvl)", "unsafe.Pointer, int32", "int32"},
		{`void, []`, "void f(void)", "", ""},
	}
	for _, test := range tests {
		catalog, err := EvalFunctions("f.idl", []byte(functionPrelude+`Function("f", `+test.text+", hand = True)"), functionsSchema(t))
		if err != nil {
			t.Error(err)
			continue
		}
		f := catalog.Functions[0]
		result, _ := f.Returns.goResult()
		params := strings.Join(mapped(f.Args, func(a *Arg) string { return a.Go }), ", ")
		if f.Prototype() != test.c || params != test.params || result != test.result {
			t.Errorf("%s\ngot  %s | %s | %s\nwant %s | %s | %s", test.text, f.Prototype(), params, result, test.c, test.params, test.result)
		}
	}
}

func TestTextsAndOptionsOfFunctions(t *testing.T) {
	c, err := EvalFunctions("f.idl", []byte(functionPrelude+`
Function("f", List(libxl_st, len = "n", free = "g"), [("n", Out(integer)), ("e", string, {"optional": True, "since": "1.1"})],
    doc = """lists
       all.

       And more.
    """)
Function("g", void, [("p", InOut(libxl_st))])
Excluded("h", status = "replaced", reason = "f does it")
`), functionsSchema(t))
	if err != nil {
		t.Fatal(err)
	}
	f, g := c.Functions[0], c.Functions[1]
	if want := "lists all.\n\nAnd more."; f.Doc != want {
		t.Errorf("the text is %q, want %q", f.Doc, want)
	}
	if want := "frees what f returns"; g.Internal != want {
		t.Errorf("the free function is internal: %q, want %q", g.Internal, want)
	}
	if !f.Args[1].Optional || f.Args[0].Optional {
		t.Error("not the second parameter is optional")
	}
	if got, want := f.PrototypeIn(Release{1, 0}), "libxl_st *f(int *n)"; got != want {
		t.Errorf("the oldest prototype is %s, want %s", got, want)
	}
	if got, want := f.Prototype(), "libxl_st *f(int *n, const char *e)"; got != want {
		t.Errorf("the newest prototype is %s, want %s", got, want)
	}
	if x := c.Excluded[0]; x.Name != "h" || x.Status != "replaced" || x.Reason != "f does it" || x.Section != "S" {
		t.Errorf("excluded is %+v", x)
	}
}
