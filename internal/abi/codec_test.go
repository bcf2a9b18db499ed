package abi

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"unsafe"

	"github.com/go-xenlight/xenlight/libxl"
)

func codec(t testing.TB, r Release) *Codec {
	t.Helper()
	c, err := NewCodec(r, AMD64)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// encode makes the C form of a Go value in Go's memory.
func encode(t testing.TB, c *Codec, m *goMemory, s *Struct, v unsafe.Pointer) unsafe.Pointer {
	t.Helper()
	if err := c.Check(s, v); err != nil {
		t.Fatalf("%s on %s: Check: %v", s.Go, c.release, err)
	}
	p, err := m.Alloc(uintptr(c.Layout(s).Size))
	if err != nil {
		t.Fatal(err)
	}
	m.Init(s, p)
	if err := c.Encode(m, s, p, v); err != nil {
		t.Fatalf("%s on %s: Encode: %v", s.Go, c.release, err)
	}
	return p
}

func TestRandomValuesSurviveEncodingInEveryRelease(t *testing.T) {
	for _, release := range Releases {
		c := codec(t, release)
		r := &filler{rand.New(rand.NewPCG(1, uint64(release))), release}
		for s, newValue := range goValues {
			if s.Since > release {
				continue
			}
			for range 50 {
				want := newValue()
				r.fill(s, want.UnsafePointer())
				m := &goMemory{codec: c, left: -1}
				p := encode(t, c, m, s, want.UnsafePointer())
				got := newValue()
				if err := c.Decode(s, got.UnsafePointer(), p); err != nil {
					t.Fatalf("%s on %s: Decode: %v", s.Go, release, err)
				}
				if !reflect.DeepEqual(got.Interface(), want.Interface()) {
					t.Fatalf("%s on %s:%s", s.Go, release, difference(got.Elem(), want.Elem()))
				}
			}
		}
	}
}

func TestEveryFailedAllocationIsReported(t *testing.T) {
	c := codec(t, R(4, 22))
	r := &filler{rand.New(rand.NewPCG(3, 4)), R(4, 22)}
	cfg := libxl.NewDomainConfig()
	r.fill(DomainConfig, unsafe.Pointer(cfg))
	counting := &goMemory{codec: c, left: -1}
	encode(t, c, counting, DomainConfig, unsafe.Pointer(cfg))
	total := len(counting.chunks) - 1
	for n := range total {
		m := &goMemory{codec: c, left: -1}
		p, _ := m.Alloc(uintptr(c.Layout(DomainConfig).Size))
		m.Init(DomainConfig, p)
		m.left = n
		if err := c.Encode(m, DomainConfig, p, unsafe.Pointer(cfg)); err == nil {
			t.Fatalf("allocation %d of %d failed, and Encode says nothing", n, total)
		}
	}
}

func TestDefaultsOfNewValuesAreTheReleasesDefaults(t *testing.T) {
	for _, release := range Releases {
		c := codec(t, release)
		m := &goMemory{codec: c, left: -1}
		size := uintptr(c.Layout(DomainConfig).Size)
		fresh, _ := m.Alloc(size)
		m.Init(DomainConfig, fresh)
		filled := encode(t, c, m, DomainConfig, unsafe.Pointer(libxl.NewDomainConfig()))
		if !slices.Equal(unsafe.Slice((*byte)(fresh), size), unsafe.Slice((*byte)(filled), size)) {
			t.Errorf("%s: encoding NewDomainConfig() changes what _init gives", release)
		}
	}
}

func viridian(c *libxl.DomainConfig, b libxl.Bitmap) {
	hvm := libxl.NewDomainBuildInfoTypeUnionHvm()
	hvm.ViridianEnable = b
	c.BInfo.TypeUnion = hvm
}

func TestCheckNamesTheField(t *testing.T) {
	type config = libxl.DomainConfig
	tests := []struct {
		name    string
		release Release
		change  func(*config)
		want    string // empty: no error
		newer   bool   // the error is ErrUnsupported
	}{
		{"nothing wrong", R(4, 14), func(c *config) {}, "", false},
		{"NUL in a string of an array", R(4, 17), func(c *config) {
			c.Disks = []libxl.DeviceDisk{*libxl.NewDeviceDisk(), *libxl.NewDeviceDisk(), *libxl.NewDeviceDisk()}
			c.Disks[2].PdevPath = "a\x00b"
		}, "Disks[2].PdevPath: contains NUL", false},
		{"NUL in a list", R(4, 17), func(c *config) { c.BInfo.Extra = libxl.StringList{"a", "\x00"} },
			"BInfo.Extra[1]: contains NUL", false},
		{"NUL in a map", R(4, 17), func(c *config) { c.CInfo.Xsdata = libxl.KeyValueList{"key": "\x00"} },
			`CInfo.Xsdata["key"]: contains NUL`, false},
		{"NUL in a union", R(4, 17), func(c *config) {
			c.BInfo.TypeUnion = &libxl.DomainBuildInfoTypeUnionPvh{PvshimPath: "\x00"}
		}, "BInfo.TypeUnion.PvshimPath: contains NUL", false},
		{"too large for an int", R(4, 17), func(c *config) { c.BInfo.MaxVcpus = 1 << 31 },
			"BInfo.MaxVcpus: 2147483648 does not fit a C int", false},
		{"no such enum value", R(4, 17), func(c *config) { c.OnCrash = 77 },
			"OnCrash: 77 is not a value of ActionOnShutdown", false},
		{"no such defbool", R(4, 17), func(c *config) { c.BInfo.Apic = 5 },
			"BInfo.Apic: 5 is not a value of Defbool", false},
		{"CPUID without value", R(4, 17), func(c *config) { c.BInfo.Cpuid = libxl.CpuidPolicyList{"a=1", "=b"} },
			`BInfo.Cpuid[1]: "=b" is not of the form key=value`, false},
		{"nil union", R(4, 17), func(c *config) { c.BInfo.Type = libxl.DomainTypeHvm },
			`BInfo.TypeUnion: nil, but Type is "hvm": want a *DomainBuildInfoTypeUnionHvm`, false},
		{"nil pointer in a union", R(4, 17), func(c *config) { c.BInfo.TypeUnion = (*libxl.DomainBuildInfoTypeUnionPv)(nil) },
			"BInfo.TypeUnion: nil *DomainBuildInfoTypeUnionPv", false},
		{"key and union disagree", R(4, 17), func(c *config) {
			c.BInfo.Type = libxl.DomainTypeHvm
			c.BInfo.TypeUnion = libxl.NewDomainBuildInfoTypeUnionPv()
		}, `BInfo.TypeUnion: *DomainBuildInfoTypeUnionPv, but Type is 1, not "pv"`, false},
		{"no such key", R(4, 17), func(c *config) { c.BInfo.Type = 9 }, "BInfo.Type: 9 is not a value of DomainType", false},
		{"field of a newer release", R(4, 17), func(c *config) { c.BInfo.BootloaderUser = "x" },
			"BInfo.BootloaderUser: the field needs Xen 4.18, this is 4.17", true},
		{"the same in that release", R(4, 18), func(c *config) { c.BInfo.BootloaderUser = "x" }, "", false},
		{"default of a newer field", R(4, 20), func(c *config) { c.BInfo.Altp2MCount = ^uint32(0) }, "", false},
		{"value of a newer field", R(4, 20), func(c *config) { c.BInfo.Altp2MCount = 1 },
			"BInfo.Altp2MCount: the field needs Xen 4.21, this is 4.20", true},
		{"value of a newer enum", R(4, 17), func(c *config) { c.BInfo.Tee = libxl.TeeTypeFfa },
			`BInfo.Tee: TeeType "ffa" needs Xen 4.18, this is 4.17`, true},
		{"bit of a newer enum", R(4, 14), func(c *config) { viridian(c, libxl.BitmapOf(0, int(libxl.ViridianEnlightenmentCpuHotplug))) },
			`BInfo.TypeUnion.ViridianEnable: ViridianEnlightenment "cpu_hotplug" needs Xen 4.15, this is 4.14`, true},
		{"the same in that release", R(4, 15), func(c *config) { viridian(c, libxl.BitmapOf(0, int(libxl.ViridianEnlightenmentCpuHotplug))) }, "", false},
		{"all bits", R(4, 14), func(c *config) { viridian(c, libxl.BitmapFromBytes([]byte("\xff\xff\xff\xff\xff\xff\xff\xff"))) }, "", false},
		{"all bits but one", R(4, 14), func(c *config) { viridian(c, libxl.BitmapFromBytes([]byte("\xff\xfe\xff\xff\xff\xff\xff\xff"))) }, "", false},
		{"bit of no enum value", R(4, 22), func(c *config) { viridian(c, libxl.BitmapOf(0, 63)) },
			"BInfo.TypeUnion.ViridianEnable: 63 is not a value of ViridianEnlightenment", false},
		{"array of a newer release", R(4, 17), func(c *config) { c.Virtios = []libxl.DeviceVirtio{{}} },
			"Virtios: the field needs Xen 4.18, this is 4.17", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cfg := libxl.NewDomainConfig()
			test.change(cfg)
			err := codec(t, test.release).Check(DomainConfig, unsafe.Pointer(cfg))
			got := ""
			if err != nil {
				got = err.Error()
			}
			if got != test.want {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
			if errors.Is(err, ErrUnsupported) != test.newer {
				t.Errorf("errors.Is(err, ErrUnsupported) is %t", !test.newer)
			}
		})
	}
}

func TestUnknownReleasesAndArchitecturesAreRefused(t *testing.T) {
	if _, err := NewCodec(R(4, 13), AMD64); !errors.Is(err, ErrUnsupported) {
		t.Errorf("4.13: %v", err)
	}
	if _, err := NewCodec(R(4, 17), 0); !errors.Is(err, ErrUnsupported) {
		t.Errorf("no architecture: %v", err)
	}
	if _, err := ParseArch("riscv64"); err == nil {
		t.Error("riscv64 is taken")
	}
}

func TestCheckAllocatesNothing(t *testing.T) {
	c := codec(t, R(4, 20))
	cfg := libxl.NewDomainConfig()
	cfg.Disks = make([]libxl.DeviceDisk, 4)
	if n := testing.AllocsPerRun(100, func() {
		if err := c.check(DomainConfig, unsafe.Pointer(cfg)); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("Check allocates %.0f times", n)
	}
}

func BenchmarkEncodeDomainConfig(b *testing.B) {
	c := codec(b, R(4, 20))
	cfg := libxl.NewDomainConfig()
	cfg.Disks = make([]libxl.DeviceDisk, 4)
	m := &goMemory{codec: c, left: -1}
	p, _ := m.Alloc(uintptr(c.Layout(DomainConfig).Size))
	b.ReportAllocs()
	for b.Loop() {
		m.chunks = m.chunks[:0]
		if err := c.Check(DomainConfig, unsafe.Pointer(cfg)); err != nil {
			b.Fatal(err)
		}
		if err := c.Encode(m, DomainConfig, p, unsafe.Pointer(cfg)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeDominfo(b *testing.B) {
	c := codec(b, R(4, 20))
	m := &goMemory{codec: c, left: -1}
	in := libxl.NewDominfo()
	in.SsidLabel = "label"
	p := encode(b, c, m, Dominfo, unsafe.Pointer(in))
	var out libxl.Dominfo
	b.ReportAllocs()
	for b.Loop() {
		if err := c.Decode(Dominfo, unsafe.Pointer(&out), p); err != nil {
			b.Fatal(err)
		}
	}
}
