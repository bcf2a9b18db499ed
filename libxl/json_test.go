package libxl_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-xenlight/xenlight/libxl"
)

// listed reads testdata/list.json, which has the form of what "xl list -l"
// prints: an array of domains, each with its configuration.
func listed(t testing.TB) (text []byte, config json.RawMessage) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "list.json"))
	if err != nil {
		t.Fatal(err)
	}
	var domains []struct {
		Domid  libxl.Domid
		Config json.RawMessage
	}
	if err := json.Unmarshal(text, &domains); err != nil {
		t.Fatal(err)
	}
	return text, domains[0].Config
}

func TestListedDomainIsReadAndWrittenAgain(t *testing.T) {
	text, config := listed(t)
	var domains []struct {
		Domid  libxl.Domid        `json:"domid"`
		Config libxl.DomainConfig `json:"config"`
	}
	if err := json.Unmarshal(text, &domains); err != nil {
		t.Fatal(err)
	}
	if len(domains) != 1 || domains[0].Domid != 3 {
		t.Fatalf("got %+v", domains)
	}
	c := &domains[0].Config

	want := libxl.NewDomainConfig()
	uuid, err := libxl.ParseUuid("ac5b4bf4-f6ad-4af7-9a38-8e8d9f4a3a63")
	if err != nil {
		t.Fatal(err)
	}
	mac, err := libxl.ParseMac("00:16:3e:5f:48:e4")
	if err != nil {
		t.Fatal(err)
	}
	want.CInfo.Type = libxl.DomainTypePvh
	want.CInfo.Name = "web \"1\""
	want.CInfo.Uuid = uuid
	want.CInfo.RunHotplugScripts = libxl.DefboolTrue
	want.CInfo.Xsdata = libxl.KeyValueList{"vm-data/role": "web", "vm-data/empty": ""}
	want.BInfo.MaxVcpus = 4
	want.BInfo.AvailVcpus = libxl.BitmapOf(0, 1)
	want.BInfo.MaxMemkb = 1 << 20
	want.BInfo.TargetMemkb = 1 << 19
	want.BInfo.ShadowMemkb = 12288
	want.BInfo.ClaimMode = libxl.DefboolFalse
	want.BInfo.Kernel = "/boot/vmlinuz"
	want.BInfo.BootloaderArgs = libxl.StringList{"-q", "--entry=0"}
	want.BInfo.SchedParams.Sched = libxl.SchedulerCredit2
	want.BInfo.SchedParams.Weight = 256
	want.BInfo.Irqs = []uint32{5}
	want.BInfo.Cpuid = libxl.CpuidPolicyList{"0x7,0x0:ebx=xxxxxxxxxxxxxxxxxxxxxxxxxx0xxxxx"}
	want.BInfo.Type = libxl.DomainTypePvh
	want.BInfo.TypeUnion = &libxl.DomainBuildInfoTypeUnionPvh{Pvshim: libxl.DefboolFalse}
	disk := libxl.NewDeviceDisk()
	disk.PdevPath, disk.Vdev = "/dev/vg/web", "xvda"
	disk.Backend, disk.Format = libxl.DiskBackendPhy, libxl.DiskFormatRaw
	disk.Readwrite = 1
	want.Disks = []libxl.DeviceDisk{*disk}
	nic := libxl.NewDeviceNic()
	nic.Devid, nic.Mac, nic.Bridge, nic.Nictype = 0, mac, "xenbr0", libxl.NicTypeVif
	want.Nics = []libxl.DeviceNic{*nic}
	want.OnReboot = libxl.ActionOnShutdownRestart
	if !c.Equal(want) {
		t.Errorf("got\n%+v\nwant\n%+v", c, want)
	}

	got, err := c.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, config); err != nil {
		t.Fatal(err)
	}
	if string(got) != compact.String() {
		t.Errorf("written again:\n%s\nread:\n%s", got, compact.String())
	}
}

func TestValuesInLibxlsForm(t *testing.T) {
	build := func(change func(*libxl.DomainBuildInfo)) *libxl.DomainBuildInfo {
		x := libxl.NewDomainBuildInfo()
		change(x)
		return x
	}
	hvm := libxl.NewDomainBuildInfoTypeUnionHvm()
	hvm.MsVmGenid = libxl.MsVmGenid{1, 255}
	hvm.Apic = libxl.DefboolFalse
	pvh := libxl.NewDomainBuildInfo()
	pvh.TypeUnion = libxl.NewDomainBuildInfoTypeUnionPvh() // says what Type does not
	tests := []struct {
		name string
		x    json.Marshaler
		want string
	}{
		{"defaults", libxl.NewDeviceDisk(), `{}`},
		{"by value", *libxl.NewDeviceDisk(), `{}`},
		{"a devid of 0 is not the default", libxl.DeviceVtpm{}, `{"devid":0}`},
		{"a default other than 0", libxl.DomainSchedParams{Weight: -1, Cap: -1, Period: -1, Slice: -1, Latency: -1, Extratime: -1, Budget: -1}, `{}`},
		{"2^64-1", libxl.VersionInfo{VirtStart: 1<<64 - 1}, `{"virt_start":18446744073709551615}`},
		{"no memory set", libxl.VnodeInfo{Memkb: libxl.MemkbDefault}, `{}`},
		{"no memory", libxl.VnodeInfo{}, `{"memkb":0}`},
		{"escapes", libxl.DeviceDtdev{Path: "/\"\\\b\f\n\r\t\x01\x1f\x7fé<&>\u2028"}, `{"path":"/\"\\\b\f\n\r\t\u0001\u001F` + "\x7fé<&>\u2028" + `"}`},
		{"four of eight words", libxl.Physinfo{HwCap: libxl.Hwcap{1, 2, 1<<32 - 1, 4, 5}}, `"hw_cap":[1,2,4294967295,4]`},
		{"the key of a union without data", libxl.DeviceChannel{Devid: -1, Connection: libxl.ChannelConnectionPty}, `{"connection.pty":{}}`},
		{"a union without its key", pvh, `"type.pvh":{}`},
		{"an empty union", libxl.NewDomainBuildInfo(), `"type.invalid":{}`},
		{"a union's key that is unset", libxl.Event{}, `{}`},
		{"bitmaps in arrays", build(func(x *libxl.DomainBuildInfo) {
			x.VcpuHardAffinity = []libxl.Bitmap{libxl.BitmapOf(0, 9), {}}
		}), `"vcpu_hard_affinity":[[0,9],[]]`},
		{"generation ID", hvm, `"ms_vm_genid":[1,255,0,0,0,0,0,0,0,0,0,0,0,0,0,0]`},
		{"deprecated members", hvm, `"apic":"False"`},
		{"CPUID leaves", build(func(x *libxl.DomainBuildInfo) {
			x.Cpuid = libxl.CpuidPolicyList{"1:ecx=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx0,edx=kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk",
				"0xd,1:eax=00000000000000000000000000000000"}
		}),
			`"cpuid":[{"leaf":1,"ecx":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx0","edx":"kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"},` +
				`{"leaf":13,"subleaf":1,"eax":"00000000000000000000000000000000"}]`},
	}
	for _, test := range tests {
		got, err := test.x.MarshalJSON()
		if err != nil || !strings.Contains(string(got), test.want) || test.want[0] == '{' && string(got) != test.want {
			t.Errorf("%s: got %s, %v, want %s", test.name, got, err, test.want)
		}
	}
}

func TestWhatCannotBeWrittenIsAnError(t *testing.T) {
	type config = libxl.DomainConfig
	tests := []struct {
		change func(*config)
		want   string
	}{
		{func(c *config) { c.Disks = make([]libxl.DeviceDisk, 3); c.Disks[2].PdevPath = "\xff" }, `libxl: disks[2].pdev_path: "\xff" is not valid UTF-8`},
		{func(c *config) { c.CInfo.Name = "a\x00" }, "libxl: c_info.name: contains NUL"},
		{func(c *config) { c.BInfo.MaxVcpus = 1 << 31 }, "libxl: b_info.max_vcpus: 2147483648 does not fit a C int"},
		{func(c *config) { c.OnCrash = 99 }, "libxl: on_crash: ActionOnShutdown(99) is no known value"},
		{func(c *config) { c.BInfo.Extra = libxl.StringList{"a", "\x00"} }, "libxl: b_info.extra[1]: contains NUL"},
		{func(c *config) { c.CInfo.Xsdata = libxl.KeyValueList{"k": "\xfe"} }, `libxl: c_info.xsdata["k"]: "\xfe" is not valid UTF-8`},
		{func(c *config) { c.BInfo.ClaimMode = 7 }, "libxl: b_info.claim_mode: 7 is not a value of Defbool"},
		{func(c *config) { c.BInfo.Cpuid = libxl.CpuidPolicyList{"avx2=0"} },
			`libxl: b_info.cpuid[0]: libxl's JSON has the bits of registers: cannot write "avx2=0", but 0x7,0x0:ebx=xxxx...`},
		{func(c *config) { c.BInfo.Cpuid = libxl.CpuidPolicyList{"1:ebx=01"} }, `libxl: b_info.cpuid[0]: "01" is not 32 of the characters 0, 1, x, k and s`},
		{func(c *config) {
			c.BInfo.TypeUnion = &libxl.DomainBuildInfoTypeUnionPv{Features: "!writable_page_tables"}
		}, "libxl: b_info.type.pv.features: libxl's JSON has no place for it"},
		{func(c *config) { c.BInfo.Type = libxl.DomainTypeHvm },
			`libxl: b_info.type: nil, but the key is "hvm": want a *DomainBuildInfoTypeUnionHvm`},
		{func(c *config) { c.BInfo.TypeUnion = (*libxl.DomainBuildInfoTypeUnionHvm)(nil) },
			"libxl: b_info.type: nil *DomainBuildInfoTypeUnionHvm"},
		{func(c *config) {
			c.BInfo.Type, c.BInfo.TypeUnion = libxl.DomainTypePvh, libxl.NewDomainBuildInfoTypeUnionHvm()
		}, "libxl: b_info.type: pvh, but there is the member hvm of the union u"},
		{func(c *config) { c.BInfo.Type = 42 }, "libxl: b_info.type: DomainType(42), but the union has no such member"},
	}
	for _, test := range tests {
		c := libxl.NewDomainConfig()
		test.change(c)
		got, err := c.MarshalJSON()
		var e *libxl.JSONError
		if !errors.As(err, &e) || err.Error() != test.want || len(got) > 0 {
			t.Errorf("got  %q, %v\nwant %s", got, err, test.want)
		}
	}
}

func TestWhatCannotBeReadIsAnError(t *testing.T) {
	tests := []struct{ text, want string }{
		{`{"disks": [{}, {}, {"pdev_path": 7}]}`, "libxl: disks[2].pdev_path: want a string, got 7"},
		{`{"disks": {}}`, "libxl: disks: want an array, got an object"},
		{`{"disks": [[]]}`, "libxl: disks[0]: want an object, got an array"},
		{`{"disks": null}`, "libxl: disks: want an array, got null"},
		{`{"disk": []}`, "libxl: disk: unknown key"},
		{`{"b_info": {"type.pvh": {"firmware": ""}}}`, "libxl: b_info.type.pvh.firmware: unknown key"},
		{`{"b_info": {"type.pvh": {}, "type.pv": {}}}`, "libxl: b_info.type.pv: is there twice"},
		{`{"b_info": {"type": "pvh"}}`, "libxl: b_info.type: unknown key"},
		{`{"b_info": {"max_vcpus": "4"}}`, `libxl: b_info.max_vcpus: want a number, got "4"`},
		{`{"b_info": {"max_vcpus": 4.0}}`, "libxl: b_info.max_vcpus: want a whole number, got 4.0"},
		{`{"b_info": {"max_vcpus": 4e2}}`, "libxl: b_info.max_vcpus: want a whole number, got 4e2"},
		{`{"b_info": {"max_vcpus": 04}}`, "libxl: b_info.max_vcpus: want a number, got 04"},
		{`{"b_info": {"max_vcpus": 2147483648}}`, "libxl: b_info.max_vcpus: want a number from -2147483648 to 2147483647, got 2147483648"},
		{`{"b_info": {"max_memkb": 18446744073709551616}}`, "libxl: b_info.max_memkb: want a number from 0 to 18446744073709551615, got 18446744073709551616"},
		{`{"b_info": {"max_memkb": -1}}`, "libxl: b_info.max_memkb: want a number from 0 to 18446744073709551615, got -1"},
		{`{"b_info": {"claim_mode": true}}`, "libxl: b_info.claim_mode: want a string, got true"},
		{`{"b_info": {"claim_mode": "true"}}`, `libxl: b_info.claim_mode: want "True", "False" or "<default>", got "true"`},
		{`{"b_info": {"avail_vcpus": [0, 1e9]}}`, "libxl: b_info.avail_vcpus[1]: want a whole number, got 1e9"},
		{`{"b_info": {"avail_vcpus": [4000000000]}}`, "libxl: b_info.avail_vcpus[0]: want a number from 0 to 1048575, got 4000000000"},
		{`{"b_info": {"extra": [null]}}`, "libxl: b_info.extra[0]: want a string, got null"},
		{`{"b_info": {"cpuid": {"msr": [{"index": 1}]}}}`, "libxl: b_info.cpuid.msr[0]: policies of MSRs cannot be told in Go"},
		{`{"b_info": {"cpuid": [{"leaf": 1}]}}`, "libxl: b_info.cpuid[0]: has no register"},
		{`{"b_info": {"type.hvm": {"ms_vm_genid": [1, 2]}}}`, "libxl: b_info.type.hvm.ms_vm_genid: want an array of 16 numbers, got 2"},
		{`{"b_info": {"type.hvm": {"ms_vm_genid": [256]}}}`, "libxl: b_info.type.hvm.ms_vm_genid[0]: want a number from 0 to 255, got 256"},
		{`{"c_info": {"type": "vm"}}`, `libxl: c_info.type: "vm" is no DomainType`},
		{`{"c_info": {"type": null}}`, "libxl: c_info.type: want a string, got null"},
		{`{"c_info": {"uuid": "1"}}`, `libxl: c_info.uuid: "1" is no UUID`},
		{`{"c_info": {"name": "\u0000"}}`, "libxl: c_info.name: contains NUL"},
		{`{"c_info": {"name": "\ud800"}}`, `libxl: c_info.name: bad escape \u in a string`},
		{`{"c_info": {"name": "a", "name": "b"}}`, "libxl: c_info.name: is there twice"},
		{`{"c_info": {"xsdata": {"a": "", "a": ""}}}`, "libxl: c_info.xsdata.a: is there twice"},
		{"{\"c_info\": {\"name\": \"\xff\"}}", `libxl: c_info.name: "\xff" is not valid UTF-8`},
		{`{"c_info": {"name": "a` + "\n" + `"}}`, "libxl: c_info.name: byte 0x0a in a string"},
		{`{"c_info": {"name": "a`, "libxl: c_info.name: want a string, got the end of the text"},
		{`{"c_info": {"name" "a"}}`, `libxl: c_info: want a colon at byte 19, got "\"a\"}}"`},
		{`{"c_info": {} "b_info": {}}`, `libxl: JSON: want a comma or } at byte 14, got "\"b_info\": {}}"`},
		{`{"c_info": {},}`, `libxl: JSON: want a key at byte 14, got "}"`},
		{`{} {}`, `libxl: JSON: want the end at byte 3, got "{}"`},
		{"{}\x00", `libxl: JSON: want the end at byte 2, got "\x00"`},
		{``, "libxl: JSON: want an object, got the end of the text"},
		{`null`, "libxl: JSON: want an object, got null"},
	}
	for _, test := range tests {
		c := libxl.NewDomainConfig()
		c.CInfo.Name = "before"
		err := c.UnmarshalJSON([]byte(test.text))
		var e *libxl.JSONError
		if !errors.As(err, &e) || err.Error() != test.want {
			t.Errorf("%s\ngot  %v\nwant %s", test.text, err, test.want)
		}
		if c.CInfo.Name != "before" || c.BInfo.MaxVcpus != 0 {
			t.Errorf("%s: something was read in spite of the error", test.text)
		}
	}
}

func TestOtherWritersAreUnderstood(t *testing.T) {
	tests := []struct{ name, text, same string }{
		{"capitals in enumerations", `{"on_crash": "PRESERVE"}`, `{"on_crash": "preserve"}`},
		{"null for a string", `{"c_info": {"name": null}}`, `{}`},
		{"null for the value of a key", `{"c_info": {"xsdata": {"a": null}}}`, `{"c_info": {"xsdata": {"a": ""}}}`},
		{"defaults written out", `{"b_info": {"claim_mode": "<default>", "max_memkb": 18446744073709551615}}`, `{}`},
		{"CPUID policy since Xen 4.18", `{"b_info": {"cpuid": {"cpuid": [{"leaf": 1, "eax": "00000000000000000000000000000000"}], "msr": []}}}`,
			`{"b_info": {"cpuid": [{"leaf": 1, "eax": "00000000000000000000000000000000"}]}}`},
		{"escapes of json-c", `{"c_info": {"name": "\/\u00e9\ud83d\ude00"}}`, `{"c_info": {"name": "/é😀"}}`},
		{"bits in any order", `{"b_info": {"avail_vcpus": [3, 0]}}`, `{"b_info": {"avail_vcpus": [0, 3]}}`},
		{"-0", `{"b_info": {"max_vcpus": -0}}`, `{}`},
		{"what Xen 4.22 has", `{"b_info": {"xenstore_quota": {}, "arch_arm": {"arm_sci": {}}}}`, `{}`},
	}
	for _, test := range tests {
		var got, same libxl.DomainConfig
		if err := got.UnmarshalJSON([]byte(test.text)); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		if err := same.UnmarshalJSON([]byte(test.same)); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		if !got.Equal(&same) {
			t.Errorf("%s: got %+v\nwant %+v", test.name, got, same)
		}
	}
}

func BenchmarkDomainConfigJSON(b *testing.B) {
	_, config := listed(b)
	var c libxl.DomainConfig
	b.Run("write", func(b *testing.B) {
		if err := c.UnmarshalJSON(config); err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		var buf []byte
		for b.Loop() {
			buf, _ = c.AppendJSON(buf[:0])
		}
	})
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := c.UnmarshalJSON(config); err != nil {
				b.Fatal(err)
			}
		}
	})
}
