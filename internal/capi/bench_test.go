package capi

import (
	"fmt"
	"testing"
	"time"
	"unsafe"

	"github.com/ebitengine/purego"

	"github.com/go-xenlight/xenlight/internal/abi"
	"github.com/go-xenlight/xenlight/libxl"
)

// guestConfig is a small PVH guest without devices. Xen's own cgo binding makes 3
// allocations to encode it and 8 for the round trip.
func guestConfig() *libxl.DomainConfig {
	c := libxl.NewDomainConfig()
	c.CInfo.Type = libxl.DomainTypePvh
	c.CInfo.Name = "guest"
	c.BInfo.Type = libxl.DomainTypePvh
	c.BInfo.TypeUnion = libxl.NewDomainBuildInfoTypeUnionPvh()
	c.BInfo.MaxVcpus = 2
	c.BInfo.MaxMemkb, c.BInfo.TargetMemkb = 131072, 131072
	c.BInfo.Kernel, c.BInfo.Ramdisk, c.BInfo.Cmdline = "/boot/vmlinuz", "/boot/initrd", "console=hvc0"
	return c
}

// guestWithDevices adds 4 disks and 4 NICs.
func guestWithDevices() *libxl.DomainConfig {
	c := guestConfig()
	for i := range 4 {
		d := libxl.NewDeviceDisk()
		d.Format, d.Readwrite = libxl.DiskFormatRaw, 1
		d.Vdev, d.PdevPath = fmt.Sprintf("xvd%c", 'a'+i), fmt.Sprintf("/dev/vg/guest-%d", i)
		c.Disks = append(c.Disks, *d)
		n := libxl.NewDeviceNic()
		n.Mac, n.Bridge = libxl.Mac{0, 0x16, 0x3e, 0, 0, byte(i)}, "xenbr0"
		c.Nics = append(c.Nics, *n)
	}
	return c
}

func BenchmarkConfig(b *testing.B) {
	l := library(b)
	for _, config := range []struct {
		name  string
		value *libxl.DomainConfig
	}{{"no devices", guestConfig()}, {"4 disks and 4 NICs", guestWithDevices()}} {
		b.Run("encode/"+config.name, func(b *testing.B) { benchmarkConfig(b, l, config.value, false) })
		b.Run("round trip/"+config.name, func(b *testing.B) { benchmarkConfig(b, l, config.value, true) })
	}
}

// benchmarkConfig reports the C functions called, how often C was entered for
// them, and the time in units of one plain call too, which makes machines
// comparable.
func benchmarkConfig(b *testing.B, l *Lib, c *libxl.DomainConfig, decode bool) {
	var calls, crossings int
	op := func() {
		v, err := Encode(l, c)
		if err != nil {
			b.Fatal(err)
		}
		if decode {
			var got libxl.DomainConfig
			if err := v.Get(&got); err != nil {
				b.Fatal(err)
			}
		}
		v.Free()
		calls, crossings = v.b.calls, v.b.crossings
	}
	b.ReportAllocs()
	for b.Loop() {
		op()
	}
	b.ReportMetric(float64(calls), "C-calls/op")
	b.ReportMetric(float64(crossings), "crossings/op")
	best, plain := bestTimes(op, func() { plainCall(l) })
	b.ReportMetric(best, "best-ns/op")
	b.ReportMetric(best/plain, "plain-calls/op")
}

// bestTimes gives the times in ns that f and g take when nothing else disturbs
// them: each is run by turns, and the fastest turn counts.
func bestTimes(f, g func()) (float64, float64) {
	const turns, runs = 300, 100
	best := [2]time.Duration{time.Hour, time.Hour}
	for range turns {
		for i, h := range []func(){f, g} {
			start := time.Now()
			for range runs {
				h()
			}
			best[i] = min(best[i], time.Since(start))
		}
	}
	return float64(best[0].Nanoseconds()) / runs, float64(best[1].Nanoseconds()) / runs
}

// plainCall does the least that a call can do: free(NULL).
func plainCall(l *Lib) { purego.SyscallN(l.free, 0) }

func BenchmarkSyscallN(b *testing.B) {
	l := library(b)
	b.ReportAllocs()
	for b.Loop() {
		plainCall(l)
	}
}

func BenchmarkGeneratedCall(b *testing.B) {
	l := library(b)
	b.ReportAllocs()
	for b.Loop() {
		l.GetRequiredShadowMemory(128<<10, 2)
	}
}

func BenchmarkProbe(b *testing.B) {
	l := library(b)
	for b.Loop() {
		if _, err := l.probe(l.Codec); err != nil {
			b.Fatal(err)
		}
	}
}

// dominfos is an array of n dominfo as libxl_list_domain gives it.
func dominfos(t testing.TB, l *Lib, n int) (p unsafe.Pointer, free func()) {
	size := int(l.Codec.Layout(abi.Dominfo).Size)
	p, err := l.Alloc(uintptr(n * size))
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		l.init(abi.Dominfo, unsafe.Add(p, i*size))
	}
	return p, func() { l.Free(p) }
}

func BenchmarkDecode1000Dominfo(b *testing.B) {
	l := library(b)
	const n = 1000
	p, free := dominfos(b, l, n)
	defer free()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeList[libxl.Dominfo](l, p, n); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/dominfo")
}

func TestAllocationsAreThoseOfTheValues(t *testing.T) {
	l := library(t)
	p, free := dominfos(t, l, 1000)
	defer free()
	c := guestConfig()
	tests := []struct {
		what string
		most float64
		f    func() error
	}{
		{"a list of 1000 dominfo: the slice", 1, func() error {
			_, err := DecodeList[libxl.Dominfo](l, p, 1000)
			return err
		}},
		{"encoding a config: the handle", 1, func() error {
			v, err := Encode(l, c)
			v.Free()
			return err
		}},
		{"the round trip: the handle, the config, its union, 4 strings", 7, func() error {
			v, err := Encode(l, c)
			if err != nil {
				return err
			}
			defer v.Free()
			return v.Get(new(libxl.DomainConfig))
		}},
	}
	for _, test := range tests {
		var err error
		n := testing.AllocsPerRun(100, func() { err = test.f() })
		if err != nil {
			t.Errorf("%s: %v", test.what, err)
		}
		// The race detector lets sync.Pool, and so purego, allocate at random.
		if n > test.most && !raceEnabled {
			t.Errorf("%s: %.0f allocations, want %.0f", test.what, n, test.most)
		}
	}
}
