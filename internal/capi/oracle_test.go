package capi

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/ebitengine/purego"
	"golang.org/x/sys/unix"

	"github.com/go-xenlight/xenlight/internal/abi"
	"github.com/go-xenlight/xenlight/internal/abi/abitest"
	"github.com/go-xenlight/xenlight/libxl"
)

// The library's own generated helpers are the oracle for ours. They want a
// context, which the shim makes possible without Xen; as it must be preloaded,
// the test runs itself once more with it.
//
// Where the library does other than its IDL says, seen in 4.17 and read in 4.14
// to 4.20:
//
//   - Numbers above 2^63-1 are written but not read back: its parser classes
//     them as another kind of number, of which the reader of uint64 fields,
//     looking for an integer, does not hear. The field keeps its default.
//   - libxl_event.for_user is printed as a signed number.
//   - Of libxl_hwcap four of the eight words are written and read; it has no
//     default, so it is always written.
//   - Unknown keys and values of wrong types are passed over; ours refuses them.
//   - A CPUID policy is an array until 4.17 and an object with two arrays since,
//     but read in both forms.
const maxReadUint64 = 1<<63 - 1

// shimmed says that the shim is preloaded.
const shimmed = "XENLIGHT_SHIMMED"

func TestOracle(t *testing.T) {
	l := library(t)
	if os.Getenv(shimmed) == "" {
		preloaded(t, nil, []string{t.Name()})
		return
	}
	o := newOracle(t, l)
	t.Run("structs", o.structs)
	t.Run("enums", o.enums)
	t.Run("defaults", o.defaults)
	t.Run("config", o.config)
	t.Run("cpuid", o.cpuid)
	t.Run("policy", o.policy)
	t.Run("quirks", o.quirks)
}

type oracle struct {
	l      *Lib
	ctx    Ctx
	handle uintptr
}

func newOracle(t *testing.T, l *Lib) *oracle {
	fd, err := unix.Open(os.DevNull, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	lg, closeLogger, err := l.NewLogger(fd, LevelCritical)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(closeLogger)
	ctx, free, rc := l.OpenContext(lg, func(text string) { panic(text) })
	if rc != 0 {
		t.Fatalf("no context: %d", rc)
	}
	t.Cleanup(free)
	handle, err := purego.Dlopen(l.Path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		t.Fatal(err)
	}
	return &oracle{l, ctx, handle}
}

// call calls a function of the library's.
func (o *oracle) call(t *testing.T, name string, args ...uintptr) uintptr {
	t.Helper()
	f, err := purego.Dlsym(o.handle, "libxl_"+name)
	if err != nil {
		t.Fatal(err)
	}
	r, _, _ := purego.SyscallN(f, args...)
	return r
}

// toJSON is the library's JSON of a struct, without white space.
func (o *oracle) toJSON(t *testing.T, s *abi.Struct, p unsafe.Pointer) string {
	t.Helper()
	text := o.l.TakeString(ptr(o.call(t, s.Name+"_to_json", uintptr(o.ctx), uintptr(p))))
	var b bytes.Buffer
	if err := json.Compact(&b, []byte(text)); err != nil {
		t.Fatalf("%s: the library's JSON: %v\n%s", s.Name, err, text)
	}
	return b.String()
}

// fromJSON lets the library read JSON into a new struct and decodes that.
func (o *oracle) fromJSON(t *testing.T, typ abitest.Type, text string) abitest.Value {
	t.Helper()
	b, err := o.l.newBlock(typ.Struct)
	if err != nil {
		t.Fatal(err)
	}
	defer b.dispose()
	o.readJSON(t, typ.Struct, b.p, text)
	v := typ.New()
	if err := b.get(abitest.Pointer(v)); err != nil {
		t.Fatalf("%s: %v", typ.Name, err)
	}
	return v
}

// readJSON lets the library read JSON into the struct at p.
func (o *oracle) readJSON(t *testing.T, s *abi.Struct, p unsafe.Pointer, text string) {
	t.Helper()
	c, err := o.l.CString(text)
	if err != nil {
		t.Fatal(err)
	}
	defer o.l.Free(c)
	if rc := int32(o.call(t, s.Name+"_from_json", uintptr(o.ctx), uintptr(p), uintptr(c))); rc != 0 {
		t.Fatalf("%s: the library refuses (%d) our JSON\n%s", s.Name, rc, text)
	}
}

// named calls f for each struct that the library has functions for.
func (o *oracle) named(f func(typ abitest.Type)) {
	for _, typ := range abitest.Types {
		if typ.Named && typ.Since <= o.l.Release {
			f(typ)
		}
	}
}

// compare holds both directions against the library's.
func (o *oracle) compare(t *testing.T, typ abitest.Type, v abitest.Value, readBack bool) {
	t.Helper()
	ours, err := v.MarshalJSON()
	if err != nil {
		t.Fatalf("%s: %v", typ.Name, err)
	}
	if theirs := o.prune(o.written(t, typ, v)); theirs != o.prune(string(ours)) {
		t.Fatalf("%s: %s\nthe library's %s\nours          %s", typ.Name, firstDifferent(theirs, string(ours)), theirs, ours)
	}
	if !readBack {
		return
	}
	if got := o.fromJSON(t, typ, string(ours)); !typ.Equal(got, v) {
		again, _ := got.MarshalJSON()
		t.Fatalf("%s: the library reads our JSON as another value\ngot  %s\nwant %s", typ.Name, again, ours)
	}
	again := typ.New()
	if err := again.UnmarshalJSON(ours); err != nil || !typ.Equal(again, v) {
		t.Fatalf("%s: we do not read the library's JSON: %v\n%s", typ.Name, err, ours)
	}
}

// prune removes the empty structs that the library lacks, and those that ours
// leaves out.
func (o *oracle) prune(text string) string {
	for _, s := range abi.Structs {
		for _, f := range s.Fields {
			if f.Kind == abi.KindStruct && (f.Since > o.l.Release || f.Since > abi.R(4, 20)) {
				empty := `"` + f.Name + `":{}`
				text = strings.ReplaceAll(text, ","+empty, "")
				text = strings.ReplaceAll(text, empty+",", "")
				text = strings.ReplaceAll(text, empty, "")
			}
		}
	}
	return text
}

func firstDifferent(a, b string) string {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return "they differ after " + a[max(0, n-40):n]
}

func (o *oracle) structs(t *testing.T) {
	rounds := 1000
	if testing.Short() {
		rounds = 100
	}
	n := 0
	r := abitest.NewFiller(1)
	r.Release, r.Leaves = o.l.Release, false
	o.named(func(typ abitest.Type) {
		o.compare(t, typ, typ.New(), true)
		for round := range rounds {
			readBack := round%4 > 0
			r.MaxUint64 = 1<<64 - 1
			if readBack || typ.Go == "Event" {
				r.MaxUint64 = maxReadUint64
			}
			o.compare(t, typ, r.Random(typ), readBack)
		}
		n++
	})
	t.Logf("Xen %s: %d structs, %d random values of each, equal", o.l.Release, n, rounds)
}

func (o *oracle) enums(t *testing.T) {
	n := 0
	p, err := o.l.Alloc(4)
	if err != nil {
		t.Fatal(err)
	}
	defer o.l.Free(p)
	for _, e := range abi.Enums {
		if e.Since > o.l.Release {
			continue
		}
		for _, v := range e.Values {
			name := abi.GoString(ptr(o.call(t, e.Name+"_to_string", uintptr(v.Value))))
			if v.Since > o.l.Release {
				if name != "" {
					t.Errorf("%s %d: the library knows it as %q, which is said to be newer", e.Name, v.Value, name)
				}
				continue
			}
			if name != v.Name {
				t.Errorf("%s %d: the library says %q, we %q", e.Name, v.Value, name, v.Name)
			}
			text := o.l.TakeString(ptr(o.call(t, e.Name+"_to_json", uintptr(o.ctx), uintptr(v.Value))))
			if strings.TrimSpace(text) != `"`+v.Name+`"` {
				t.Errorf("%s %d: JSON %s", e.Name, v.Value, text)
			}
			for _, spelling := range []string{v.Name, strings.ToUpper(v.Name)} {
				s, err := o.l.CString(spelling)
				if err != nil {
					t.Fatal(err)
				}
				*(*int32)(p) = -12345
				if rc := int32(o.call(t, e.Name+"_from_string", uintptr(s), uintptr(p))); rc != 0 || *(*int32)(p) != v.Value {
					t.Errorf("%s: the library reads %q as %d (%d), want %d", e.Name, spelling, *(*int32)(p), rc, v.Value)
				}
				o.l.Free(s)
			}
			n++
		}
	}
	t.Logf("%d values of enumerations", n)
}

// config compares a configuration as programs make it.
func (o *oracle) config(t *testing.T) {
	c := richConfig()
	c.Channels[0].Connection = libxl.ChannelConnectionSocket // the union says so
	o.compare(t, typeNamed("domain_config"), c, true)
}

func typeNamed(name string) abitest.Type {
	for _, typ := range abitest.Types {
		if typ.Name == name {
			return typ
		}
	}
	panic(name)
}

// cpuid compares CPUID policies. They are opaque in C: what the library has read
// is seen in what it writes.
func (o *oracle) cpuid(t *testing.T) {
	cpuid(t)
	typ := typeNamed("domain_build_info")
	r := abitest.NewFiller(2)
	r.Release, r.MaxUint64 = o.l.Release, maxReadUint64
	const leaf = `{"leaf":1,"ecx":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx0"},{"leaf":2147483648,"subleaf":0,"eax":"0000000011111111kkkkkkkkssssssss","edx":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}`
	compare := func(v abitest.Value) string {
		ours, err := v.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		b, err := o.l.newBlock(typ.Struct)
		if err != nil {
			t.Fatal(err)
		}
		defer b.dispose()
		o.readJSON(t, typ.Struct, b.p, string(ours))
		wants := o.prune(string(ours))
		for from, text := range map[string]string{"Go": o.written(t, typ, v), "JSON": o.toJSON(t, typ.Struct, b.p)} {
			// The form since 4.18.
			if before, policy, ok := strings.Cut(text, `"cpuid":{"cpuid":`); ok {
				text = before + `"cpuid":` + strings.Replace(policy, `,"msr":[]}`, "", 1)
			}
			if text = o.prune(text); text != wants {
				t.Fatalf("from %s: %s\nthe library's %s\nours          %s", from, firstDifferent(text, wants), text, wants)
			}
		}
		return string(ours)
	}
	n := 0
	for range 200 {
		if strings.Contains(compare(r.Random(typ)), `"cpuid":[{`) {
			n++
		}
	}
	x := libxl.NewDomainBuildInfo()
	if err := x.UnmarshalJSON([]byte(`{"cpuid":[` + leaf + `]}`)); err != nil {
		t.Fatal(err)
	}
	if text := compare(x); !strings.Contains(text, leaf) {
		t.Error(text)
	}
	t.Logf("%d random policies and %q", n, []string(x.Cpuid))
}

// policy holds CPUIDPolicy against the library's JSON.
func (o *oracle) policy(t *testing.T) {
	cpuid(t)
	told := func(policy ...string) (libxl.CpuidPolicyList, string) {
		c := libxl.NewDomainConfig()
		c.BInfo.Cpuid = policy
		v, err := Encode(o.l, c)
		if err != nil {
			t.Fatal(err)
		}
		defer v.Free()
		list, err := o.l.CPUIDPolicy(o.ctx, v)
		if err != nil {
			t.Fatal(err)
		}
		return list, o.toJSON(t, abi.DomainConfig, v.Ptr())
	}
	list, text := told("sse4_1=0", "0x7,0x0:ebx=xxxxxxxxxxxxxxxxxxxxxxxxxx0xxxxx")
	if len(list) != 2 {
		t.Errorf("got %q, want two leaves", list)
	}
	if again, same := told(list...); !slices.Equal(again, list) || same != text {
		t.Errorf("%q is %s\nand encoded again %q, %s", list, text, again, same)
	}
	if list, _ := told(); list != nil {
		t.Errorf("no policy is %q", list)
	}
}

// quirks makes sure that what the comparison leaves out is the library's doing.
func (o *oracle) quirks(t *testing.T) {
	version := libxl.NewVersionInfo()
	version.VirtStart = maxReadUint64 + 1
	o.compare(t, typeNamed("version_info"), version, false)
	text, err := version.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	if got := o.fromJSON(t, typeNamed("version_info"), string(text)).(*libxl.VersionInfo); got.VirtStart != 0 {
		t.Errorf("the library has read %#x", got.VirtStart)
	}

	event := libxl.NewEvent()
	event.ForUser = 1<<64 - 1
	if theirs := o.written(t, typeNamed("event"), event); !strings.Contains(theirs, `"for_user":-1`) {
		t.Errorf("the library has written %s", theirs)
	}

	info := libxl.NewPhysinfo()
	info.HwCap = libxl.Hwcap{1, 2, 3, 4, 5, 6, 7, 8}
	if theirs := o.written(t, typeNamed("physinfo"), info); !strings.Contains(theirs, `"hw_cap":[1,2,3,4]`) {
		t.Errorf("the library has written %s", theirs)
	}

	disk := o.fromJSON(t, typeNamed("device_disk"), `{"no_such_key": 1, "pdev_path": 7, "vdev": "xvda"}`)
	want := libxl.NewDeviceDisk()
	want.Vdev = "xvda"
	if !want.Equal(disk.(*libxl.DeviceDisk)) {
		t.Errorf("the library has read %+v", disk)
	}
}

// written is the library's JSON of a value.
func (o *oracle) written(t *testing.T, typ abitest.Type, v abitest.Value) string {
	t.Helper()
	b, err := o.l.encode(typ.Struct, abitest.Pointer(v))
	if err != nil {
		t.Fatal(err)
	}
	defer b.dispose()
	return o.toJSON(t, typ.Struct, b.p)
}
