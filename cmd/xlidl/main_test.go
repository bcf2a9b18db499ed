package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func xlidl(args ...string) (status int, stdout, stderr string) {
	var out, errs bytes.Buffer
	status = run(args, &out, &errs)
	return status, out.String(), errs.String()
}

func TestCommandsSayWhatTheyAreAskedFor(t *testing.T) {
	for _, test := range []struct{ args, want string }{
		{"help", "xlidl layout"},
		{"show libxl_tee_type", "LIBXL_TEE_TYPE_FFA    2      TeeTypeFfa    4.18"},
		{"show domain_build_info", "u.hvm.firmware "},
		{"functions", "\nlibxl_domain_pause "},
		{"functions -format csv", "name,header,section,go,since,ao,status,reason\nlibxl_ctx_alloc,libxl.h,"},
		{"functions -format csv", "\nlibxl_domain_pause,libxl.h,Primary domain operations,Host.DomainPause,4.14,y,bound,\n"},
		{"functions -format csv", "\nlibxl_event_free,libxl_event.h,Contexts and events,,4.14,n,internal,"},
		{"diff 4.17 4.18", "libxl_domain_build_info.arch_arm.sve_vl: libxl_sve_type"},
		{"diff 4.17 4.18", "960, was 920 bytes"},
		{"layout -release 4.18 -arch amd64 -format csv", "type,field,offset,size\nlibxl_defbool,,0,4\n"},
		{"layout -release 4.18 -arch arm64 -format csv", "\nlibxl_domain_build_info,,0,960\n"},
		{"layout -release 4.18 -format csv", "\nlibxl_domain_build_info,arch_arm.gic_version,"},
		{"layout -release 4.18 -format csv", "\nlibxl_domain_build_info,u.hvm.num_smbios,624,4\n"},
		{"layout -format csv", "\nlibxl_uuid,,0,16\nlibxl_mac,,0,6\nlibxl_bitmap,,0,16\n"},
		{"layout -format json uuid", `{"type":"libxl_uuid","field":"","offset":0,"size":16}`},
		{"layout -format table libxl_vnc_info", "findunused"},
		{"layout -format c tee_type", "VALUE(LIBXL_TEE_TYPE_FFA, 2);"},
	} {
		start := time.Now()
		status, stdout, stderr := xlidl(strings.Fields(test.args)...)
		if status != 0 || stderr != "" || !strings.Contains(stdout, test.want) {
			t.Errorf("xlidl %s: status %d, no %q in:\n%s%s", test.args, status, test.want, stdout, stderr)
		}
		t.Logf("xlidl %s: %s", test.args, time.Since(start).Round(time.Millisecond))
	}
}

func TestMistakesAreExplained(t *testing.T) {
	empty := t.TempDir()
	for _, test := range []struct {
		args   string
		status int
		want   string
	}{
		{"", 2, "usage:"},
		{"explode", 2, `there is no command "explode"`},
		{"layout -colour red", 2, "flag provided but not defined"},
		{"show", 2, "usage: xlidl show"},
		{"diff 4.17", 2, "usage: xlidl diff"},
		{"import", 2, "usage: xlidl import"},
		{"generate now", 2, "usage: xlidl generate"},
		{"functions all", 2, "usage: xlidl functions"},
		{"functions -format xml", 1, `format "xml": expected csv or table`},
		{"show domain_build", 1, "there is no type domain_build, but"},
		{"diff 4.18 4.17", 1, "expected the older release first"},
		{"diff 4.18 five", 1, `"five" is not a release such as 4.17`},
		{"layout -release 4.13", 1, "layouts of Xen 4.13 are not known, only 4.14 to"},
		{"layout -arch riscv64", 1, `architecture "riscv64": libxl layouts are known for amd64 and arm64`},
		{"layout -format xml", 1, `format "xml": expected one of`},
		{"layout vnc", 1, "there is no type vnc in this release"},
		{"show -C " + empty + " uuid", 1, "has idl/libxl.json"},
		{"import " + empty, 1, "expected .idl files or a clone of Xen's repository"},
	} {
		status, _, stderr := xlidl(strings.Fields(test.args)...)
		if status != test.status || !strings.Contains(stderr, test.want) {
			t.Errorf("xlidl %s: status %d, want %d and %q:\n%s", test.args, status, test.status, test.want, stderr)
		}
	}
}

func TestImportWritesTheSchemaOfTheModule(t *testing.T) {
	dir := t.TempDir()
	schema := filepath.Join(dir, "idl", "libxl.json")
	if err := os.Mkdir(filepath.Dir(schema), 0o755); err != nil {
		t.Fatal(err)
	}
	const fixtures = "../../internal/idl/testdata/small/"
	if status, _, stderr := xlidl("import", "-o", schema, fixtures+"1.0.idl"); status != 0 {
		t.Fatal(stderr)
	}
	if status, _, stderr := xlidl("import", "-C", dir, schema, fixtures+"1.1.idl"); status != 0 {
		t.Fatal(stderr)
	}
	got, err := os.ReadFile(schema)
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(fixtures + "libxl.json.golden")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("taken in one after the other they give another schema:\n%s", got)
	}
}

// Else a fault in a generated file would be in the way of writing it anew.
func TestBootstrapNeedsNoGeneratedFile(t *testing.T) {
	list := exec.Command("go", "list", "-deps", "-tags", "bootstrap", ".")
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	const module = "github.com/go-xenlight/xenlight/"
	var ours []string
	for name := range strings.FieldsSeq(string(out)) {
		if rest, ok := strings.CutPrefix(name, module); ok {
			ours = append(ours, rest)
		}
	}
	if want := []string{"internal/idl", "cmd/xlidl"}; !slices.Equal(ours, want) {
		t.Errorf("xlidl is built from %q, want %q", ours, want)
	}
}
