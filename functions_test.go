package xenlight_test

import (
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-xenlight/xenlight/internal/idl"
)

// notYet are the methods that idl/functions.idl promises (hand = True) and that
// are still to be written. What has been written must not be on the list.
var notYet = []string{}

// TestFunctionsAreWhereTheIndexSaysTheyAre sees to it that what FUNCTIONS.md
// says of each C function holds: what users call is there, and there is no
// method of a function that is left out.
func TestFunctionsAreWhereTheIndexSaysTheyAre(t *testing.T) {
	needSources(t)
	i, err := idl.LoadInterface(".")
	if err != nil {
		t.Fatal(err)
	}
	d := make(declarations)
	var missing []string
	for _, e := range i.Entries() {
		method := "Host." + e.Method()
		switch there, err := d.has(e.Go); {
		case err != nil:
			t.Errorf("%s is %s in Go: %v", e.Name, e.Go, err)
		case !there && e.Status == idl.StatusBound:
			missing = append(missing, e.Go)
		case !there && e.Go != "":
			t.Errorf("%s is replaced by %s, which is not there", e.Name, e.Go)
		}
		if there, err := d.has(method); err != nil || there && e.Go != method {
			t.Errorf("%s is %s, but there is %s: %v", e.Name, e.Status, method, err)
		}
	}
	for _, name := range missing {
		if !slices.Contains(notYet, name) {
			t.Errorf("%s is promised in idl/functions.idl and not there: write it, or put it on the list notYet", name)
		}
	}
	for _, name := range notYet {
		if !slices.Contains(missing, name) {
			t.Errorf("%s is there, or nobody promises it: take it off the list notYet", name)
		}
	}
	t.Logf("%d functions, of which %d are still to be written", len(i.Entries()), len(missing))
}

func TestDeclarationsAreFound(t *testing.T) {
	needSources(t)
	d := make(declarations)
	for name, want := range map[string]bool{
		"Host.DomainPause": true, "Host.Domainpause": false, "Host.enter": false, "Host": true, "Open": true,
		"Host.DomainPause.X": false, "Error.Code": true, "libxl.Bitmap": true, "libxl.Bitmap.Set": true, "libxl.ParseMac": true,
		"libxl.Bitmap.bits": false, "libxl.NewDomainConfig": true, "libxl.Nope": false, "libxl.ErrorInval": true,
		"io.ReadFull": true, "io.Readfull": false, "syscall.SetNonblock": true, "os.File.Write": true, "": false,
	} {
		switch got, err := d.has(name); {
		case err != nil:
			t.Errorf("%s: %v", name, err)
		case got != want:
			t.Errorf("%s is there: %t, want %t", name, got, want)
		}
	}
	if _, err := d.has("nosuch.Package"); err == nil {
		t.Error("a package that does not exist is no error")
	}
}

// declarations are the exported names of packages as users write them, by the
// package's folder. Methods and fields follow their type.
type declarations map[string]map[string]bool

// has tells whether something like Host.DomainPause, libxl.Bitmap.Set or
// io.ReadFull is declared.
func (d declarations) has(name string) (bool, error) {
	first, rest, _ := strings.Cut(name, ".")
	switch {
	case first == "libxl":
		names, err := d.of("libxl", "libxl")
		return names[rest], err
	case first == "" || ast.IsExported(first):
		names, err := d.of(".", "xenlight")
		return names[name], err
	}
	if tool, _ := exec.LookPath("go"); tool == "" {
		return true, nil // Go's own library is not here to be looked at
	}
	p, err := build.Import(first, "", build.FindOnly)
	if err != nil {
		return false, err
	}
	names, err := d.of(p.Dir, first)
	return names[rest], err
}

func (d declarations) of(dir, pkg string) (map[string]bool, error) {
	if d[dir] != nil {
		return d[dir], nil
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err == nil && len(files) == 0 {
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, err
	}
	names := make(map[string]bool)
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		if file.Name.Name != pkg {
			continue
		}
		for _, decl := range file.Decls {
			declared(names, decl)
		}
	}
	maps.DeleteFunc(names, func(name string, _ bool) bool {
		return slices.ContainsFunc(strings.Split(name, "."), func(part string) bool { return !ast.IsExported(part) })
	})
	d[dir] = names
	return names, nil
}

// declared adds the names that a declaration declares.
func declared(names map[string]bool, decl ast.Decl) {
	switch decl := decl.(type) {
	case *ast.FuncDecl:
		name := decl.Name.Name
		if decl.Recv != nil {
			typ := decl.Recv.List[0].Type
			if star, ok := typ.(*ast.StarExpr); ok {
				typ = star.X
			}
			receiver, ok := typ.(*ast.Ident)
			if !ok {
				return // of a generic type
			}
			name = receiver.Name + "." + name
		}
		names[name] = true
	case *ast.GenDecl:
		for _, spec := range decl.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				names[spec.Name.Name] = true
				if st, ok := spec.Type.(*ast.StructType); ok {
					for _, field := range st.Fields.List {
						for _, n := range field.Names {
							names[spec.Name.Name+"."+n.Name] = true
						}
					}
				}
			case *ast.ValueSpec:
				for _, n := range spec.Names {
					names[n.Name] = true
				}
			}
		}
	}
}
