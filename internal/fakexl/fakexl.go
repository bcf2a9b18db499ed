// Package fakexl makes a small libxenlight for tests: it needs no Xen, keeps
// libxl's rules and aborts if they are broken, and its operations last, fork,
// block, log and fail as they are told. See testdata/fake.c.
package fakexl

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/go-xenlight/xenlight/internal/abi"
	"github.com/go-xenlight/xenlight/internal/capi"
	"github.com/go-xenlight/xenlight/libxl"
)

// Release is the release that the library says it is of.
var Release = abi.R(4, 17)

// Kind is how an operation goes.
type Kind uint32

// The kinds, as in testdata/fake.c.
const (
	Inline     Kind = iota // ends well before the call returns
	InlineFail             // ends badly before the call returns
	Refused                // the call itself fails
	Wait                   // ends well later; can be aborted
	Stubborn               // the same, but aborting it does nothing
	Forever                // ends only if it is aborted
	Child                  // a child that logs does it; aborting kills it
	Block                  // the call itself lasts, with the context locked; tells of progress before
	HalfWay                // logs an error, and ends badly later
	FD                     // ends well when a descriptor says so; can be aborted
	Finish                 // aborting it makes it end well at once
	Disaster               // libxl breaks down
	ChildFail              // like Child, but it fails
	Memory                 // leaves two megabytes behind, which the next one frees
	Thread                 // leaves a thread behind, for as long as it is to last; 0 is for ever
	AbortFail              // ends well later; aborting it makes it end badly
)

// MaxLasts is how long an operation can last.
const MaxLasts = 0x7fe * time.Millisecond

// Pause is the domain that DomainPause must be told of for an operation.
func Pause(k Kind, lasts time.Duration) libxl.Domid {
	return libxl.Domid(Create(k, min(lasts, MaxLasts)))
}

// Saved is how many bytes DomainSuspend writes, to whose domain Pause applies too.
const Saved = 4096

// Create is what the configuration's CInfo.Ssidref must be for a creation.
func Create(k Kind, lasts time.Duration) uint32 {
	return uint32(k) | uint32(lasts/time.Millisecond)<<4
}

// Ends makes a domain that Create describes shut down as soon as it runs.
func Ends(script uint32, reason libxl.ShutdownReason) uint32 { return script | uint32(reason+1)<<16 }

//go:embed testdata
var sources embed.FS

// ErrNoCompiler says that there is no C compiler to make the library with.
var ErrNoCompiler = errors.New("no gcc")

// Build makes the library in a folder and returns its path.
func Build(dir string) (string, error) {
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		return "", ErrNoCompiler
	}
	files := map[string][]byte{}
	for _, name := range []string{"fake.c", "context.h"} {
		if files[name], err = sources.ReadFile("testdata/" + name); err != nil {
			return "", err
		}
	}
	if files["layout.h"], files["stubs.c"], err = generate(); err != nil {
		return "", err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return "", err
		}
	}
	soname := capi.Soname(Release)
	path := filepath.Join(dir, soname)
	cmd := exec.Command(gcc, "-O1", "-g", "-Wall", "-Werror", "-shared", "-fPIC", "-pthread",
		"-Wl,-soname,"+soname, "-o", path, "fake.c", "stubs.c")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("gcc: %w\n%s", err, out)
	}
	return path, nil
}

// generate writes what depends on the layouts: where the members are that the
// fake uses, the struct's _init functions, and something for each function that
// it has not.
func generate() (header, stubs []byte, err error) {
	arch, err := abi.ParseArch(runtime.GOARCH)
	if err != nil {
		return nil, nil, err
	}
	types, err := abi.Describe(Release, arch)
	if err != nil {
		return nil, nil, err
	}
	var h, c bytes.Buffer
	sizes := map[string]uint32{}
	for _, t := range types {
		sizes[t.Name+"_init"] = t.Size
		fmt.Fprintf(&h, "#define SIZE_%s %d\n", t.Name, t.Size)
		for _, m := range t.Members {
			fmt.Fprintf(&h, "#define OFF_%s_%s %d\n", t.Name, strings.ReplaceAll(m.Path, ".", "_"), m.Off)
		}
	}
	fmt.Fprintf(&c, "#include <string.h>\n")
	symbols := capi.Symbols(Release)
	slices.Sort(symbols)
	for _, name := range slices.Compact(symbols) {
		if size, ok := sizes[name]; ok {
			fmt.Fprintf(&h, "void %s(void *);\n", name)
			fmt.Fprintf(&c, "void %s(void *p) { memset(p, 0, %d); }\n", name, size)
		} else {
			fmt.Fprintf(&c, "__attribute__((weak)) long %s(void) { return %d; }\n", name, libxl.ErrorFail)
		}
	}
	return h.Bytes(), c.Bytes(), nil
}
