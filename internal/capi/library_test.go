package capi

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"github.com/ebitengine/purego"

	"github.com/go-xenlight/xenlight/internal/abi"
	"github.com/go-xenlight/xenlight/internal/abi/abitest"
	"github.com/go-xenlight/xenlight/libxl"
)

// library opens an installed libxenlight. Without one the test is skipped, or
// fails where XENLIGHT_TEST_LIBRARY demands one.
func library(t testing.TB) *Lib {
	t.Helper()
	path := os.Getenv("XENLIGHT_LIBRARY")
	for _, r := range abi.Releases {
		if p, err := (System{Root: "/"}).Find(r); path == "" && err == nil {
			path = p
		}
	}
	if path == "" {
		if os.Getenv("XENLIGHT_TEST_LIBRARY") != "" {
			t.Fatal("no libxenlight is installed")
		}
		t.Skip("no libxenlight is installed (Debian: libxenmisc4.xx): nothing is tested against the real library")
	}
	l, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s, Xen %s", l.Path, l.Release)
	return l
}

func TestProbeRefusesALibraryOfOtherLayouts(t *testing.T) {
	l := library(t)
	if _, err := l.probe(l.Codec); err != nil {
		t.Errorf("the right layouts: %v", err)
	}
	for _, r := range abi.Releases {
		// Every release since changes the size of domain_build_info, but for 4.17.
		if r == l.Release || r == abi.R(4, 16) && l.Release == abi.R(4, 17) {
			continue
		}
		codec, err := abi.NewCodec(r, abi.AMD64)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.probe(codec); !errors.Is(err, ErrNoLibrary) {
			t.Errorf("the layouts of %s: %v", r, err)
		}
	}
}

// TestFunctionsComeWithTheirRelease: the library has the functions of its release
// and before, and none of those that the data says are newer or of the other
// architecture.
func TestFunctionsComeWithTheirRelease(t *testing.T) {
	l := library(t)
	f, err := elf.Open(l.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	symbols, err := f.DynamicSymbols()
	if err != nil {
		t.Fatal(err)
	}
	defined := make(map[string]bool)
	for _, s := range symbols {
		defined[s.Name] = s.Section != elf.SHN_UNDEF
	}
	later := 0
	for i := range fnTable {
		info, want := &fnTable[i], fnTable[i].since <= l.Release && fnTable[i].here()
		if info.library != "libxenlight" {
			continue
		}
		if !want {
			later++
		}
		if defined[info.name] != want {
			t.Errorf("%s (since Xen %s %s): in the library is %t", info.name, info.since, info.arch, defined[info.name])
		}
		if err := l.Missing(Fn(i)); (err == nil) != want || err != nil && !errors.Is(err, abi.ErrUnsupported) {
			t.Errorf("%s (since Xen %s %s): Missing says %v", info.name, info.since, info.arch, err)
		}
	}
	t.Logf("%d functions are not of this library", later)
}

func sameDefaults[T any](t *testing.T, l *Lib, want *T) {
	t.Helper()
	if abi.Of[T]().Since > l.Release {
		return
	}
	v, err := New[T](l)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Free()
	got := new(T)
	if err := v.Get(got); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%T: the library's _init gives\n%+v\nand New\n%+v", want, got, want)
	}
}

func TestNewGivesTheLibrarysDefaults(t *testing.T) {
	l := library(t)
	sameDefaults(t, l, libxl.NewDomainConfig())
	sameDefaults(t, l, libxl.NewDeviceDisk())
	sameDefaults(t, l, libxl.NewDeviceNic())
	sameDefaults(t, l, libxl.NewDeviceVfb())
	sameDefaults(t, l, libxl.NewDeviceUsbctrl())
	sameDefaults(t, l, libxl.NewDeviceChannel())
	sameDefaults(t, l, libxl.NewDeviceP9())
	sameDefaults(t, l, libxl.NewDevicePci())
	sameDefaults(t, l, libxl.NewDomainSchedParams())
	sameDefaults(t, l, libxl.NewDomainRestoreParams())
	sameDefaults(t, l, libxl.NewDominfo())
	sameDefaults(t, l, libxl.NewPhysinfo())
	sameDefaults(t, l, libxl.NewVcpuinfo())
	sameDefaults(t, l, libxl.NewIomemRange())
}

// richConfig has something of everything in it.
func richConfig() *libxl.DomainConfig {
	c := libxl.NewDomainConfig()
	c.CInfo.Type = libxl.DomainTypeHvm
	c.CInfo.Name = "rich"
	c.CInfo.Uuid = libxl.NewUuid()
	c.CInfo.Xsdata = libxl.KeyValueList{"vm-data/a": "1", "vm-data/b": ""}
	c.BInfo.Type = libxl.DomainTypeHvm
	hvm := libxl.NewDomainBuildInfoTypeUnionHvm()
	hvm.Firmware = "seabios"
	hvm.Vnc.Enable = libxl.DefboolTrue
	hvm.Vnc.Listen = "127.0.0.1"
	hvm.SerialList = libxl.StringList{"pty", "null"}
	hvm.ViridianEnable = libxl.BitmapOf(1, 5)
	c.BInfo.TypeUnion = hvm
	c.BInfo.AvailVcpus = libxl.BitmapOf(0, 1, 9)
	c.BInfo.VcpuHardAffinity = []libxl.Bitmap{libxl.BitmapOf(0), libxl.BitmapOf(1)}
	c.BInfo.Extra = libxl.StringList{"-a", "-b"}
	c.BInfo.Irqs = []uint32{5, 7}
	c.BInfo.Ioports = []libxl.IoportRange{{First: 0x2f8, Number: 8}}
	c.BInfo.VnumaNodes = []libxl.VnodeInfo{{Memkb: 4096, Distances: []uint32{10, 20}, Vcpus: libxl.BitmapOf(0)}}
	for _, vdev := range []string{"xvda", "xvdb", "xvdc", "xvdd"} {
		d := libxl.NewDeviceDisk()
		d.Vdev, d.PdevPath, d.Format = vdev, "/dev/"+vdev, libxl.DiskFormatRaw
		c.Disks = append(c.Disks, *d)
	}
	for range 4 {
		n := libxl.NewDeviceNic()
		n.Mac, n.Bridge = libxl.NewMac(), "xenbr0"
		c.Nics = append(c.Nics, *n)
	}
	ch := libxl.NewDeviceChannel()
	ch.Name, ch.ConnectionUnion = "c", &libxl.DeviceChannelConnectionUnionSocket{Path: "/run/c"}
	pty := libxl.NewDeviceChannel()
	pty.Connection = libxl.ChannelConnectionPty
	c.Channels = []libxl.DeviceChannel{*ch, *pty}
	c.OnCrash = libxl.ActionOnShutdownPreserve
	return c
}

func TestConfigSurvivesTheLibrarysMemory(t *testing.T) {
	l := library(t)
	want := richConfig()
	v, err := Encode(l, want)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Free()
	got := new(libxl.DomainConfig)
	if err := v.Get(got); err != nil {
		t.Fatal(err)
	}
	want.Channels[0].Connection = libxl.ChannelConnectionSocket // the union said so
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
}

func TestEncodingNeedsNoLibraryForBadInput(t *testing.T) {
	l := library(t)
	c := richConfig()
	c.Nics[3].Script = "a\x00"
	_, err := Encode(l, c)
	var field *abi.FieldError
	if !errors.As(err, &field) || field.Path != "Nics[3].Script" {
		t.Errorf("got %v", err)
	}
	if _, err := Encode[libxl.DomainConfig](l, nil); !errors.As(err, &field) {
		t.Errorf("nil: got %v", err)
	}
}

func TestTypesOfANewerReleaseAreRefused(t *testing.T) {
	l := library(t)
	n := 0
	for _, typ := range abitest.Types {
		if !typ.Named || typ.Since <= l.Release {
			continue
		}
		n++
		want := fmt.Sprintf("%s needs Xen %s, this is %s", typ.Go, typ.Since, l.Release)
		if _, err := l.newBlock(typ.Struct); !errors.Is(err, abi.ErrUnsupported) || !strings.Contains(err.Error(), want) {
			t.Errorf("new: got %v, want %s", err, want)
		}
		if _, err := l.encode(typ.Struct, abitest.Pointer(typ.New())); !errors.Is(err, abi.ErrUnsupported) || !strings.Contains(err.Error(), want) {
			t.Errorf("encode: got %v, want %s", err, want)
		}
	}
	t.Logf("%d types", n)
}

// cpuid skips a test where libxl knows no CPUID.
func cpuid(t *testing.T) {
	t.Helper()
	if runtime.GOARCH != "amd64" {
		t.Skip("libxl takes and ignores CPUID policies on all but x86")
	}
}

func TestCPUIDPoliciesAreParsedOneAtATime(t *testing.T) {
	cpuid(t)
	l := library(t)
	c := richConfig()
	c.BInfo.Cpuid = libxl.CpuidPolicyList{"sse4_1=0", "sse4_2=0"}
	v, err := Encode(l, c)
	if err != nil {
		t.Fatal(err)
	}
	got := libxl.NewDomainConfig()
	got.BInfo.Cpuid = c.BInfo.Cpuid
	if err := v.Get(got); err != nil || len(got.BInfo.Cpuid) != 2 {
		t.Errorf("got %v, %v: the policy should have stayed", got.BInfo.Cpuid, err)
	}
	v.Free()
	c.BInfo.Cpuid = libxl.CpuidPolicyList{"sse4_2=0", "no_such_feature=1"}
	if _, err := Encode(l, c); err == nil || !strings.HasPrefix(err.Error(), `BInfo.Cpuid[1]: libxl does not understand "no_such_feature=1"`) {
		t.Errorf("unknown feature: got %v", err)
	}
}

// inUse is how many bytes the program has from malloc.
func inUse(t *testing.T) uint64 {
	t.Helper()
	if runtime.GOARCH != "amd64" {
		t.Skip("mallinfo2 returns a struct in memory, which SyscallN can take on amd64 only")
	}
	mallinfo, err := purego.Dlsym(purego.RTLD_DEFAULT, "mallinfo2")
	if err != nil {
		t.Skip("this libc has no mallinfo2")
	}
	var info [10]uint64
	purego.SyscallN(mallinfo, uintptr(unsafe.Pointer(&info)))
	const arenaBytes, mmapBytes = 7, 4
	return info[arenaBytes] + info[mmapBytes]
}

func TestNothingLeaks(t *testing.T) {
	cpuid(t)
	l := library(t)
	good, bad := richConfig(), richConfig()
	good.BInfo.Cpuid = libxl.CpuidPolicyList{"sse4_2=0"}
	bad.BInfo.Cpuid = libxl.CpuidPolicyList{"sse4_2=0", "no_such_feature=1"}
	pv := libxl.NewDomainBuildInfo()
	pv.TypeUnion = &libxl.DomainBuildInfoTypeUnionPv{Features: "const char * in C, so that libxl frees it not"}
	round := func() {
		v, err := Encode(l, good)
		if err != nil {
			t.Fatal(err)
		}
		v.Free()
		w, err := Encode(l, pv)
		if err != nil {
			t.Fatal(err)
		}
		w.Free()
		if _, err := Encode(l, bad); err == nil {
			t.Fatal("a bad CPUID policy is taken")
		}
	}
	// Each thread keeps freed memory of its own, which counts as in use.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for range 10 {
		round()
	}
	before := inUse(t)
	const rounds = 4000
	for range rounds {
		round()
	}
	// Other threads come and go and take a few kB in all, but the smallest leak
	// is 32 bytes in each round.
	if after := inUse(t); after > before+rounds*16 {
		t.Errorf("%d bytes were in use before %d rounds, %d after", before, rounds, after)
	}
}

func TestEncodingFromManyGoroutines(t *testing.T) {
	l := library(t)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 100 {
				v, err := Encode(l, richConfig())
				if err != nil {
					t.Error(err)
					return
				}
				v.Free()
			}
		})
	}
	group.Wait()
}

func TestOneLibraryPerProcess(t *testing.T) {
	l := library(t)
	again, err := Load(l.Path)
	if err != nil || again != l {
		t.Errorf("loading it again: %p, %v", again, err)
	}
	if _, err := Load(sharedLibrary(t, "libxenlight.so.4.17", uint16(machine()))); !errors.Is(err, ErrNoLibrary) {
		t.Errorf("loading another one: %v", err)
	}
}
