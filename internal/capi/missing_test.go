package capi

import (
	"errors"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/ebitengine/purego"

	"github.com/go-xenlight/xenlight/internal/abi"
)

func TestMissingFunctionsSayWhatTheyNeed(t *testing.T) {
	l := &Lib{Release: abi.R(4, 14)}
	err := l.Missing(FnDeviceDiskSafeRemove)
	if want := "libxl_device_disk_safe_remove needs Xen 4.15, this is 4.14"; !errors.Is(err, abi.ErrUnsupported) || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
	defer func() {
		if err, _ := recover().(error); !errors.Is(err, abi.ErrUnsupported) {
			t.Errorf("to call it ends with %v", err)
		}
		if n := l.Calls()["libxl_device_disk_safe_remove"].Made; n != 0 {
			t.Errorf("it counts as called %d times", n)
		}
	}()
	l.DeviceDiskSafeRemove(0, 0, nil, nil)
}

func TestNoFunctionOfThisReleaseIsMissing(t *testing.T) {
	l := library(t)
	for f := range numFns {
		info := &fnTable[f]
		there := info.since <= l.Release && info.here()
		if err := l.Missing(f); (err == nil) != there {
			t.Errorf("%s, since %s, arch %q: %v", info.name, info.since, info.arch, err)
		}
	}
}

func TestLibraryWithoutASymbolIsRefused(t *testing.T) {
	arch, err := abi.ParseArch(runtime.GOARCH)
	if err != nil {
		t.Fatal(err)
	}
	codec, err := abi.NewCodec(abi.R(4, 17), arch)
	if err != nil {
		t.Fatal(err)
	}
	r := resolver{handle: purego.RTLD_DEFAULT, lib: &Lib{Path: "/some/lib.so", Codec: codec}}
	r.symbol("libxl_no_such_function")
	r.symbol("libxl_nor_this_one")
	if !errors.Is(r.err, ErrNoLibrary) {
		t.Fatalf("got %v", r.err)
	}
	for _, want := range []string{"/some/lib.so", "lacks libxl_no_such_function", "known are 4.14 to 4.22: install"} {
		if !strings.Contains(r.err.Error(), want) {
			t.Errorf("%q does not say %q", r.err, want)
		}
	}
}

func TestErrnoIsThatOfTheCall(t *testing.T) {
	l := library(t)
	closeFn, err := purego.Dlsym(purego.RTLD_DEFAULT, "close")
	if err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		if r, errno := l.withErrno(closeFn, ^uintptr(0)); int32(r) != -1 || errno != syscall.EBADF {
			t.Fatalf("close(-1) is %d, %v; want -1, %v", int32(r), errno, syscall.EBADF)
		}
		runtime.Gosched()
	}
}
