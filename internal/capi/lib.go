package capi

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"github.com/ebitengine/purego"

	"github.com/go-xenlight/xenlight/internal/abi"
)

// Lib is an open libxenlight. It is never closed.
type Lib struct {
	Path    string
	Release abi.Release
	Codec   *abi.Codec

	fn        [numFns]uintptr
	calls     [numFns]struct{ made, succeeded atomic.Uint64 }
	structs   []structSyms // by the struct's ID
	templates []template   // too

	malloc, calloc, free, fdopen, fclose uintptr
	buildInfoToJSON                      uintptr
	errnoLocation                        uintptr
	hooks, eventHooks, forkPlan          unsafe.Pointer // in C memory, for ever
}

// structSyms are the helpers that libxl has for a named struct; 0 where it has
// none.
type structSyms struct{ init, dispose, initUnion uintptr }

// loaded is the one library that the process has opened, usable or not.
var loaded struct {
	sync.Mutex
	path string
	lib  *Lib
	err  error
}

// Load opens the libxenlight at path. A process can have one only: a second
// Load must name the same file. The errors wrap ErrNoLibrary or
// ErrUnknownRelease.
func Load(path string) (*Lib, error) { return load(path, false) }

// LoadUnproven is Load, but takes a library that is newer than all that are
// known for one of the newest, if its structs have the sizes and defaults that
// they have there: memory would be corrupted otherwise.
func LoadUnproven(path string) (*Lib, error) { return load(path, true) }

func load(path string, unproven bool) (*Lib, error) {
	// The loader would look elsewhere for a name without a slash.
	name, err := filepath.Abs(path)
	if err == nil {
		name, err = filepath.EvalSymlinks(name)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrNoLibrary, path, err)
	}
	path = name
	loaded.Lock()
	defer loaded.Unlock()
	switch loaded.path {
	case path:
		return loaded.lib, loaded.err
	case "":
	default:
		return nil, fmt.Errorf("%w: this process has loaded %s and cannot load %s too", ErrNoLibrary, loaded.path, path)
	}
	release, err := ReleaseOf(path)
	if unproven && errors.Is(err, ErrUnknownRelease) && release > newest() {
		release, err = newest(), nil
	}
	if err != nil {
		return nil, err
	}
	arch, err := abi.ParseArch(runtime.GOARCH)
	if err != nil {
		return nil, err
	}
	codec, err := abi.NewCodec(release, arch)
	if err != nil {
		return nil, err
	}
	if err := checkSymbols(path); err != nil {
		return nil, err
	}
	handle, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoLibrary, err)
	}
	loaded.path = path
	l := &Lib{Path: path, Release: release, Codec: codec}
	if loaded.err = l.bind(handle); loaded.err == nil {
		loaded.lib = l
	}
	return loaded.lib, loaded.err
}

// bind looks up all functions, and makes sure that the library is what its
// release says.
func (l *Lib) bind(handle uintptr) error {
	r := resolver{handle: handle, lib: l}
	for i := range fnTable {
		f := &fnTable[i]
		if f.since <= l.Release && f.here() {
			l.fn[i] = r.symbol(f.name)
		}
	}
	l.structs = make([]structSyms, len(abi.Structs))
	for id, f := range structFns {
		if f.init == "" || f.since > l.Release {
			continue
		}
		s := &l.structs[id]
		s.init = r.symbol(f.init)
		s.dispose = r.optional(f.dispose)
		s.initUnion = r.optional(f.unionInit)
	}
	l.buildInfoToJSON = r.symbol("libxl_domain_build_info_to_json")
	r.handle = purego.RTLD_DEFAULT
	l.malloc, l.calloc, l.free = r.symbol("malloc"), r.symbol("calloc"), r.symbol("free")
	l.fdopen, l.fclose = r.symbol("fdopen"), r.symbol("fclose")
	l.errnoLocation = r.symbol("__errno_location")
	if r.err != nil {
		return r.err
	}
	templates, err := l.probe(l.Codec)
	if err != nil {
		return err
	}
	l.templates = templates
	return l.makeHooks(handle)
}

// resolver looks symbols up and keeps the first failure.
type resolver struct {
	handle uintptr
	lib    *Lib
	err    error
}

func (r *resolver) symbol(name string) uintptr {
	p, err := purego.Dlsym(r.handle, name)
	if err != nil && r.err == nil {
		r.err = r.lib.unlike(r.lib.Codec, "it lacks "+name)
	}
	return p
}

func (r *resolver) optional(name string) uintptr {
	if name == "" {
		return 0
	}
	return r.symbol(name)
}

// String is the function's name in Go.
func (f Fn) String() string { return fnTable[f].method }

// here says whether this architecture has the function.
func (f *fnInfo) here() bool {
	return f.arch == "" || f.arch == map[string]string{"amd64": "x86", "arm64": "arm"}[runtime.GOARCH]
}

// Missing is nil if the library has the function, and else an error that wraps
// abi.ErrUnsupported and says what is needed.
func (l *Lib) Missing(f Fn) error {
	info := &fnTable[f]
	switch {
	case l.fn[f] != 0:
		return nil
	case !info.here():
		return fmt.Errorf("%s: only %s has it: %w", info.name, info.arch, abi.ErrUnsupported)
	}
	return fmt.Errorf("%s needs Xen %s, this is %s: %w", info.name, info.since, l.Release, abi.ErrUnsupported)
}

// called counts a call of a function. To call one that is missing is a fault of
// the caller's.
func (l *Lib) called(f Fn) {
	if l.fn[f] == 0 {
		panic(l.Missing(f))
	}
	l.calls[f].made.Add(1)
}

// withErrno calls a function that sets errno when it returns -1.
//
//go:uintptrescapes
func (l *Lib) withErrno(fn uintptr, args ...uintptr) (uintptr, syscall.Errno) {
	// Errno is the thread's.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	r, _, _ := purego.SyscallN(fn, args...)
	if int32(r) != -1 {
		return r, 0
	}
	p, _, _ := purego.SyscallN(l.errnoLocation)
	return r, syscall.Errno(*(*int32)(ptr(p)))
}

// Succeeded counts an operation of a function that has ended well; calls that
// answer at once count themselves.
func (l *Lib) Succeeded(f Fn) { l.calls[f].succeeded.Add(1) }

// CallCount tells how often a function of libxl has been called, and how often
// it has done what it is for.
type CallCount struct {
	Section         string // of libxl's function list
	Made, Succeeded uint64
}

// Calls tells how often each function of libxl that the binding knows has been
// called through this library.
func (l *Lib) Calls() map[string]CallCount {
	m := make(map[string]CallCount, numFns)
	for i := range fnTable {
		c := &l.calls[i]
		m[fnTable[i].name] = CallCount{fnTable[i].section, c.made.Load(), c.succeeded.Load()}
	}
	return m
}
