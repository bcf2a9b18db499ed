package capi

import (
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/ebitengine/purego"
)

// forkTests compiles testdata/fork.c and loads it.
func forkTests(t *testing.T) uintptr {
	t.Helper()
	// Under qemu-user the first gcc is one of the machine's own.
	compilers := map[string]string{"amd64": "x86_64-linux-gnu-gcc", "arm64": "aarch64-linux-gnu-gcc"}
	gcc, err := exec.LookPath(compilers[runtime.GOARCH])
	if err != nil {
		gcc, err = exec.LookPath("gcc")
	}
	if err != nil {
		t.Skip("no gcc")
	}
	so := filepath.Join(t.TempDir(), "fork.so")
	if out, err := exec.Command(gcc, "-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-nostdlib", "-o", so, "testdata/fork.c").CombinedOutput(); err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	handle, err := purego.Dlopen(so, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		t.Fatal(err)
	}
	return handle
}

// cfunc is the address of a C function.
func cfunc(t *testing.T, handle uintptr, name string) uintptr {
	t.Helper()
	p, err := purego.Dlsym(handle, name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// libraryHandle is the loaded library, for cfunc.
func libraryHandle(t *testing.T, l *Lib) uintptr {
	t.Helper()
	handle, err := purego.Dlopen(l.Path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		t.Fatal(err)
	}
	return handle
}

func TestTheLocksOfLibxlsLibrariesAreFound(t *testing.T) {
	l := library(t)
	plan := (*forkPlan)(l.forkPlan)
	for i, name := range lockHolders {
		// A mutex has 40 bytes, or 48 on Arm.
		if statics := plan.zeroed[i]; statics.addr == 0 || statics.size < 40 {
			t.Errorf("%s: the variables of its library are %d bytes at %#x", name, statics.size, statics.addr)
		}
	}
	if _, _, err := mapped(1); err == nil {
		t.Error("a file is mapped at 1")
	}
	if _, _, err := bss("xc_interface_open", cfunc(t, libraryHandle(t, l), "xencall_open")); err != nil {
		t.Errorf("a function of another library: %v", err)
	}
	if _, _, err := bss("xencall_close", cfunc(t, libraryHandle(t, l), "xencall_open")); err == nil {
		t.Error("xencall_close is where xencall_open is")
	}
}

func TestAForkedChildFindsTheVariablesOfItsLocksZeroed(t *testing.T) {
	l := library(t)
	fork := cfunc(t, forkTests(t), "fork_zeroes")
	if status, _, _ := purego.SyscallN(fork, forkChild, uintptr(l.forkPlan)); int32(status) != 0 {
		t.Errorf("the child's status: %#x", int32(status))
	}
}

func TestAForkedChildDoesNotWaitForThreadsThatItHasNot(t *testing.T) {
	l := library(t)
	handle := libraryHandle(t, l)
	locked := cfunc(t, forkTests(t), "fork_locked")
	register, deregister := cfunc(t, handle, "xentoolcore__register_active_handle"), cfunc(t, handle, "xentoolcore__deregister_active_handle")
	restrictAll := cfunc(t, handle, "xentoolcore_restrict_all")
	status := func(replacement, patience uintptr) int32 {
		r, _, _ := purego.SyscallN(locked, replacement, uintptr(l.forkPlan), register, deregister, restrictAll, patience)
		return int32(r)
	}
	if s := status(forkChild, 60); s != 0 {
		t.Errorf("the child's status: %#x", s)
	}
	const sigalrm = 14 // by which a child ends that waits
	if s := status(0, 2); s != sigalrm {
		t.Errorf("after fork itself the child's status is %#x: the test tests nothing", s)
	}
}

func TestALibraryWithoutThoseLocksIsLeftAlone(t *testing.T) {
	l := library(t)
	libc := cfunc(t, purego.RTLD_DEFAULT, "fork")
	handle, err := purego.Dlopen("libm.so.6", purego.RTLD_NOW)
	if err != nil {
		t.Skip(err)
	}
	p, err := l.planFork(handle)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Free(p)
	plan := (*forkPlan)(p)
	if plan.fork != libc || plan.zeroed[0].size+plan.zeroed[1].size+plan.zeroed[2].size != 0 {
		t.Errorf("the plan is %+v", plan)
	}
}
