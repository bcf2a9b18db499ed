package capi

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"testing"
	"unsafe"

	"github.com/ebitengine/purego"

	"github.com/go-xenlight/xenlight/internal/abi"
	"github.com/go-xenlight/xenlight/internal/abi/abitest"
	"github.com/go-xenlight/xenlight/libxl"
)

// heapRounds says how often each type is encoded and disposed of;
// XENLIGHT_TEST_ROUNDS overrides it.
const heapRounds = 200

const heapChild = "XENLIGHT_TEST_HEAP"

// The child has testdata/heap.c for a malloc. A libc other than glibc has not
// what that builds on.
func TestEveryBlockIsFreedAndNoneOverrun(t *testing.T) {
	library(t)
	if os.Getenv(heapChild) != "" {
		t.Skip("this is the child")
	}
	if raceEnabled {
		t.Skip("the race detector has a malloc of its own")
	}
	shim := filepath.Join(t.TempDir(), "heap.so")
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("no gcc")
	}
	if out, err := exec.Command(gcc, "-O1", "-shared", "-fPIC", "-fno-builtin", "-o", shim, "testdata/heap.c").CombinedOutput(); err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	child := exec.Command(os.Args[0], "-test.run", "^TestHeapChild$", "-test.v")
	child.Env = append(os.Environ(), heapChild+"=1", "LD_PRELOAD="+shim)
	out, err := child.CombinedOutput()
	t.Logf("%s", out)
	if err != nil || !bytes.Contains(out, []byte("--- PASS: TestHeapChild")) {
		t.Error(err)
	}
}

// heap is testdata/heap.c.
type heap struct{ live, guard, fail uintptr }

func (h heap) blocks() int {
	n, _, _ := purego.SyscallN(h.live)
	return int(n)
}

func TestHeapChild(t *testing.T) {
	if os.Getenv(heapChild) == "" {
		t.Skip("started by TestEveryBlockIsFreedAndNoneOverrun")
	}
	l := library(t)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var h heap
	for name, p := range map[string]*uintptr{"heap_live": &h.live, "heap_guard": &h.guard, "heap_fail": &h.fail} {
		var err error
		if *p, err = purego.Dlsym(purego.RTLD_DEFAULT, name); err != nil {
			t.Fatal(err)
		}
	}
	rounds := heapRounds
	if n, err := strconv.Atoi(os.Getenv("XENLIGHT_TEST_ROUNDS")); err == nil {
		rounds = n
	}
	total := 0
	for _, typ := range abitest.Types {
		if typ.Named && typ.Since <= l.Release {
			total += h.exercise(t, l, typ, rounds)
		}
	}
	t.Logf("%d blocks of C memory for %d rounds of each type: all freed", total, rounds)
	if total < 100*rounds {
		t.Error("that is too few: the test has become blind")
	}
	h.exhausted(t, l)
	h.refused(t, l, rounds)
	h.planted(t, l)
}

// exercise encodes random values of a type, without guards and with, and
// returns how many blocks that took.
func (h heap) exercise(t *testing.T, l *Lib, typ abitest.Type, rounds int) (total int) {
	r := abitest.NewFiller(uint64(typ.ID))
	r.Release, r.Leaves = l.Release, false
	values := make([]abitest.Value, min(rounds, 40))
	for i := range values {
		values[i] = r.Random(typ)
		spoil(values[i], i)
	}
	// A guarded block costs two system calls.
	for mode, rounds := range []int{rounds, len(values)} {
		purego.SyscallN(h.guard, uintptr(mode))
		before := h.blocks()
		for i := range rounds {
			v := values[i%len(values)]
			b, err := l.encode(typ.Struct, abitest.Pointer(v))
			if (err != nil) != spoiled(v, i%len(values)) {
				t.Fatalf("%s, value %d: %v", typ.Go, i%len(values), err)
			}
			if err != nil {
				continue
			}
			total += h.blocks() - before
			if err := b.get(abitest.Pointer(typ.New())); err != nil {
				t.Fatalf("%s: %v", typ.Go, err)
			}
			b.dispose()
		}
		after := h.blocks()
		purego.SyscallN(h.guard, 0)
		if after != before {
			t.Errorf("%s: %d blocks are left after %d rounds", typ.Go, after-before, rounds)
		}
	}
	return total
}

// buildInfo is where the CPUID policy is, which alone can fail half-way.
func buildInfo(v abitest.Value) *libxl.DomainBuildInfo {
	switch v := v.(type) {
	case *libxl.DomainConfig:
		return &v.BInfo
	case *libxl.DomainBuildInfo:
		return v
	}
	return nil
}

// spoil makes every third value fail when much of it is in C memory.
func spoil(v abitest.Value, i int) {
	if b := buildInfo(v); b != nil {
		b.Cpuid = libxl.CpuidPolicyList{"sse4_1=0", "sse4_2=0", "model=7"}
		if spoiled(v, i) {
			b.Cpuid[1] = "no_such_feature=1"
		}
	}
}

func spoiled(v abitest.Value, i int) bool { return buildInfo(v) != nil && i%3 == 2 }

// exhausted lets each malloc of an encoding fail in turn.
func (h heap) exhausted(t *testing.T, l *Lib) {
	c := guestWithDevices()
	c.BInfo.ExtraPv = slices.Repeat([]string{"an argument"}, 2*batchSize)
	c.CInfo.Xsdata = map[string]string{"a": "1", "b": "2"}
	before := h.blocks()
	for n := 0; ; n++ {
		purego.SyscallN(h.fail, uintptr(n))
		v, err := Encode(l, c)
		purego.SyscallN(h.fail, ^uintptr(0))
		v.Free()
		if left := h.blocks() - before; left != 0 {
			t.Fatalf("%d blocks are left when there is no memory after %d", left, n)
		}
		if err == nil {
			t.Logf("each of %d mallocs has failed", n)
			if n < 3*batchSize {
				t.Error("that is too few: the test has become blind")
			}
			return
		}
		if !errors.Is(err, ErrNoMemory) {
			t.Fatalf("no memory after %d blocks: got %v", n, err)
		}
	}
}

// defects are what Check finds when it has seen much of a configuration.
var defects = map[string]func(c *libxl.DomainConfig){
	"BInfo.ExtraPv[9]":  func(c *libxl.DomainConfig) { c.BInfo.ExtraPv[9] = "a\x00b" },
	`CInfo.Xsdata["b"]`: func(c *libxl.DomainConfig) { c.CInfo.Xsdata["b"] = "\x00" },
	"BInfo.TypeUnion":   func(c *libxl.DomainConfig) { c.BInfo.TypeUnion = libxl.NewDomainBuildInfoTypeUnionHvm() },
	"BInfo.TypeUnion.PvshimPath": func(c *libxl.DomainConfig) {
		c.BInfo.TypeUnion = &libxl.DomainBuildInfoTypeUnionPvh{PvshimPath: "\x00"}
	},
	"Disks[3].Removable": func(c *libxl.DomainConfig) { c.Disks[3].Removable = 1 << 31 },
	"Nics[3].Script":     func(c *libxl.DomainConfig) { c.Nics[3].Script = "\x00" },
	"Channels[1].ConnectionUnion": func(c *libxl.DomainConfig) {
		c.Channels[1].ConnectionUnion = (*libxl.DeviceChannelConnectionUnionSocket)(nil)
	},
}

// refused encodes what is wrong deep inside: the error names the place, and
// nothing is left. No malloc may be tried before.
func (h heap) refused(t *testing.T, l *Lib, rounds int) {
	for path, spoil := range defects {
		c := guestWithDevices()
		c.BInfo.ExtraPv = slices.Repeat([]string{"an argument"}, 10)
		c.CInfo.Xsdata = map[string]string{"a": "1", "b": "2"}
		c.Channels = make([]libxl.DeviceChannel, 2)
		v, err := Encode(l, c)
		if err != nil {
			t.Fatal(err)
		}
		v.Free()
		spoil(c)
		before := h.blocks()
		for range rounds {
			purego.SyscallN(h.fail, 0)
			_, err := Encode(l, c)
			purego.SyscallN(h.fail, ^uintptr(0))
			var field *abi.FieldError
			if !errors.As(err, &field) || field.Path != path {
				t.Fatalf("got %v, want an error of %s", err, path)
			}
		}
		if left := h.blocks() - before; left != 0 {
			t.Errorf("%s: %d blocks are left after %d refusals", path, left, rounds)
		}
	}
}

// planted makes sure that a leak and an overrun would be seen.
func (h heap) planted(t *testing.T, l *Lib) {
	before := h.blocks()
	b, err := l.encode(abi.DeviceDisk, unsafe.Pointer(&libxl.DeviceDisk{Vdev: "xvda"}))
	if err != nil {
		t.Fatal(err)
	}
	if n := h.blocks() - before; n != 2 {
		t.Errorf("a disk with a name has %d blocks, want 2", n)
	}
	b.dispose()
	purego.SyscallN(h.guard, 1)
	b, err = l.newBlock(abi.DeviceDisk)
	purego.SyscallN(h.guard, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer b.dispose()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if recover() == nil {
			t.Error("a byte beyond a block can be written")
		}
	}()
	*(*byte)(unsafe.Add(b.p, l.Codec.Layout(abi.DeviceDisk).Size)) = 1
}

func TestTemplatesAreWhatInitWrites(t *testing.T) {
	l := library(t)
	structs, arms := 0, 0
	for _, s := range abi.Structs {
		if !s.Named || s.Since > l.Release {
			continue
		}
		structs++
		size := int(l.Codec.Layout(s).Size)
		fresh, templated := l.painted(t, size, 0x3c), l.painted(t, size, 0xc3)
		b := &block{lib: l, typ: s}
		l.init(s, fresh)
		b.Init(s, templated)
		same(t, s.Name, fresh, templated, size)
		for i := range s.Fields {
			u := s.Fields[i].Union
			if u == nil {
				continue
			}
			for _, v := range u.Variants {
				if v.Value == u.KeyInit || v.Since > l.Release {
					continue
				}
				arms++
				l.init(s, fresh)
				b.Init(s, templated)
				purego.SyscallN(l.structs[s.ID].initUnion, uintptr(fresh), uintptr(v.Value))
				b.InitUnion(s, i, templated, v.Value)
				same(t, fmt.Sprintf("%s.%s", s.Name, v.Name), fresh, templated, size)
			}
		}
		l.Free(fresh)
		l.Free(templated)
	}
	t.Logf("%d structs and %d union members", structs, arms)
	if structs < 50 || arms < 10 {
		t.Error("that is too few: the test has become blind")
	}
}

func (l *Lib) painted(t *testing.T, size int, paint byte) unsafe.Pointer {
	t.Helper()
	p, err := l.Alloc(uintptr(size))
	if err != nil {
		t.Fatal(err)
	}
	for i := range size {
		*(*byte)(unsafe.Add(p, i)) = paint
	}
	return p
}

func same(t *testing.T, name string, p, q unsafe.Pointer, size int) {
	t.Helper()
	if !bytes.Equal(unsafe.Slice((*byte)(p), size), unsafe.Slice((*byte)(q), size)) {
		t.Errorf("%s: the template is not what the library's _init writes", name)
	}
}
