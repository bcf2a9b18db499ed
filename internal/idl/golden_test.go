package idl

import (
	"bytes"
	"flag"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// smallModule makes a module's folder with the data of testdata/small.
func smallModule(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	s, err := Import("testdata/small/1.0.idl", "testdata/small/1.1.idl")
	if err != nil {
		t.Fatal(err)
	}
	schema, err := Encode(s)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "idl"), 0o755); err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{"libxl.json": schema}
	for _, name := range []string{"functions.idl", "docs.json"} {
		if files[name], err = os.ReadFile(filepath.Join("testdata", "small", name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, "idl", name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestSmallSchemaGivesGoldenFiles(t *testing.T) {
	dir := smallModule(t)
	files, err := Generate(dir)
	if err != nil {
		t.Fatal(err)
	}
	if files["idl/libxl.json"], err = os.ReadFile(filepath.Join(dir, "idl", "libxl.json")); err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		golden := filepath.Join("testdata", "small", filepath.Base(name)+".golden")
		if *update {
			if err := os.WriteFile(golden, files[name], 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(files[name], want) {
			t.Errorf("%s differs from %s: look at the change, then run go test -update\n%s", name, golden, firstDifference(files[name], want))
		}
	}
}

func firstDifference(got, want []byte) string {
	g, w := bytes.Split(got, []byte("\n")), bytes.Split(want, []byte("\n"))
	for i := range min(len(g), len(w)) {
		if !bytes.Equal(g[i], w[i]) {
			return "got  " + string(g[i]) + "\nwant " + string(w[i])
		}
	}
	return "one is longer"
}

// stubs is what generated files find in their packages and imports, as far as
// the small schema needs it.
var stubs = map[string]string{
	"libxl": "package libxl\ntype Devid int32\nconst MemkbDefault uint64 = 1<<64 - 1",
	"abi":   "package abi\nvar ErrUnsupported error",
	"capi": `package capi
		type Lib struct{ fn [numFns]uintptr }
		type Ctx uintptr
		type Timeval struct{ Sec, Usec int64 }
		type AsyncopHow struct{}
		func (l *Lib) called(Fn) {}
		func (l *Lib) Succeeded(Fn) {}
		func (l *Lib) withErrno(fn uintptr, args ...uintptr) (uintptr, syscall.Errno) { return 0, 0 }
		func ptr(r uintptr) unsafe.Pointer { return nil }`,
}

// checker type-checks generated packages against stubs; it is the importer for
// what they import.
type checker struct {
	fset *token.FileSet
	std  types.Importer
	done map[string]*types.Package
}

func (c *checker) Import(path string) (*types.Package, error) {
	if p := c.done[filepath.Base(path)]; p != nil {
		return p, nil
	}
	return c.std.Import(path)
}

func (c *checker) check(t *testing.T, name string, sources ...string) {
	t.Helper()
	var files []*ast.File
	for _, src := range sources {
		f, err := parser.ParseFile(c.fset, name, src, 0)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	cfg := types.Config{Importer: c, Error: func(err error) { t.Error(err) }}
	c.done[name], _ = cfg.Check(name, c.fset, files, nil)
}

func TestGeneratedCodeOfSmallSchemaTypeChecks(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("the type checker reads the standard library, and there is no Go here")
	}
	if testing.Short() {
		t.Skip("type-checks fmt from source")
	}
	files, err := Generate(smallModule(t))
	if err != nil {
		t.Fatal(err)
	}
	desc, err := os.ReadFile("../abi/desc.go")
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	c := &checker{fset, importer.ForCompiler(fset, "source", nil), make(map[string]*types.Package)}
	c.check(t, "purego", "package purego\nfunc SyscallN(fn uintptr, args ...uintptr) (a, b, c uintptr) { return }")
	sources := []string{stubs["libxl"]}
	for _, name := range []string{"bitmap", "defbool", "enum", "json", "json_cpuid", "json_read", "json_scan", "json_write", "lists", "mac", "uuid"} {
		text, err := os.ReadFile("../../libxl/" + name + ".go")
		if err != nil {
			t.Fatal(err)
		}
		sources = append(sources, string(text))
	}
	for name, text := range files {
		if filepath.Dir(name) == "libxl" {
			sources = append(sources, string(text))
		}
	}
	c.check(t, "libxl", sources...)
	c.check(t, "abi", stubs["abi"], string(desc), string(files["internal/abi/tables_gen.go"]))
	c.check(t, "capi", "package capi\nimport (\n\"syscall\"\n\"unsafe\"\n)\n"+stubs["capi"][len("package capi\n"):],
		string(files["internal/capi/calls_gen.go"]))
}

func TestGenerateWritesAndFindsStaleFiles(t *testing.T) {
	dir := smallModule(t)
	stale, err := Stale(dir)
	if err != nil || len(stale) != 11 {
		t.Errorf("before generate: stale %q, %v", stale, err)
	}
	if err := WriteAll(dir); err != nil {
		t.Fatal(err)
	}
	if stale, err = Stale(dir); err != nil || len(stale) != 0 {
		t.Errorf("after generate: stale %q, %v", stale, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "libxl", "new_gen.go"), []byte("package libxl\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if stale, err = Stale(dir); err != nil || !slices.Equal(stale, []string{"libxl/new_gen.go"}) {
		t.Errorf("after an edit: stale %q, %v", stale, err)
	}
}

func TestGeneratedFilesOfThisModuleAreFresh(t *testing.T) {
	stale, err := Stale("../..")
	if err != nil {
		t.Fatal(err)
	}
	if len(stale) > 0 {
		t.Errorf("stale: %q; run xlidl generate", stale)
	}
}
