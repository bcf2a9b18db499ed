package capi

import (
	"bytes"
	"debug/elf"
	"fmt"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"github.com/ebitengine/purego"
)

// libxl forks children that go on without exec: that of a destruction, for one,
// makes hypercalls. Only the thread that forks lives on in a child, but the locks
// that other threads have at that moment stay taken there. libxl sees to its own
// ones, and libc to its; but libxencall has one for the memory of all hypercalls,
// libxentoolcore one for all open handles, and libxenctrl one for the texts of
// errors. A child that needs one of them, while some thread was inside a
// hypercall, waited for ever, and so did the operation.
//
// So libxl forks through forkChild<>, which in the child sets the static variables
// of these libraries back to zero, as they were when the process began: an
// unlocked mutex is all zeros. There is nothing else in them that a child needs,
// for it opens a handle of its own.

// forkPlan is what libxl passes to forkChild<>, in C memory.
type forkPlan struct {
	fork   uintptr // libc's
	zeroed [3]struct{ addr, size uintptr }
}

// lockHolders are the libraries, by a function of each.
var lockHolders = [...]string{"xencall_open", "xentoolcore__register_active_handle", "xc_interface_open"}

// maxStatics bounds what is set to zero: these libraries have some 100 bytes. One
// that has much more is not what we know.
const maxStatics = 1024

// forkChild is the address of a pid_t (*)(void *), a libxl_childproc_hooks'
// fork_replacement, written in assembly: no Go can run in the child.
var forkChild uintptr

// planFork finds what a child has to set to zero.
func (l *Lib) planFork(handle uintptr) (unsafe.Pointer, error) {
	fork, err := purego.Dlsym(handle, "fork")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoLibrary, err)
	}
	p, err := l.Alloc(unsafe.Sizeof(forkPlan{}))
	if err != nil {
		return nil, err
	}
	plan := (*forkPlan)(p)
	plan.fork = fork
	for i, name := range lockHolders {
		symbol, err := purego.Dlsym(handle, name)
		if err != nil {
			continue // it is not a library of its own here
		}
		statics := &plan.zeroed[i]
		if statics.addr, statics.size, err = bss(name, symbol); err != nil || statics.size > maxStatics {
			statics.size = 0
		}
	}
	return p, nil
}

// bss finds the variables without an initial value of the library that has a
// function.
func bss(name string, symbol uintptr) (addr, size uintptr, err error) {
	path, base, err := mapped(symbol)
	if err != nil {
		return 0, 0, err
	}
	f, err := elf.Open(path)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	symbols, err := f.DynamicSymbols()
	if err != nil {
		return 0, 0, err
	}
	for _, s := range symbols {
		if s.Name == name && base+uintptr(s.Value) != symbol {
			return 0, 0, fmt.Errorf("%s is not where %s has it", name, path)
		}
	}
	section := f.Section(".bss")
	if section == nil {
		return 0, 0, fmt.Errorf("%s has no variables", path)
	}
	return base + uintptr(section.Addr), uintptr(section.Size), nil
}

// mapped finds the file that an address is of, and where its beginning is.
func mapped(addr uintptr) (path string, base uintptr, err error) {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return "", 0, err
	}
	for line := range bytes.Lines(maps) {
		f := strings.Fields(string(line))
		if len(f) < 6 {
			continue
		}
		from, to, _ := strings.Cut(f[0], "-")
		begin, err1 := strconv.ParseUint(from, 16, 64)
		end, err2 := strconv.ParseUint(to, 16, 64)
		offset, err3 := strconv.ParseUint(f[2], 16, 64)
		if err1 != nil || err2 != nil || err3 != nil {
			continue
		}
		if offset == 0 {
			path, base = f[5], uintptr(begin)
		}
		if addr >= uintptr(begin) && addr < uintptr(end) && path == f[5] {
			return path, base, nil
		}
	}
	return "", 0, fmt.Errorf("no file is mapped at %#x", addr)
}
