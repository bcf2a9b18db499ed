package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
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
		status, stdout, stderr := xlidl(strings.Fields(test.args)...)
		if status != 0 || stderr != "" || !strings.Contains(stdout, test.want) {
			t.Errorf("xlidl %s: status %d, no %q in:\n%s%s", test.args, status, test.want, stdout, stderr)
		}
	}
}

// The fastest of some runs counts, for the machine may be busy.
func TestNothingTakesASecond(t *testing.T) {
	out := filepath.Join(t.TempDir(), "libxl.json")
	commands := []string{
		"generate -check", "show domain_config domain_build_info", "functions -format csv", "diff 4.14 4.22",
		"layout -release 4.18 -arch amd64 -format csv", "layout -format json", "layout -format table", "layout -format c",
		"import -o " + out + " ../../internal/idl/testdata/small/1.0.idl ../../internal/idl/testdata/small/1.1.idl",
	}
	if dir := os.Getenv("XEN_IDL_DIR"); dir != "" {
		commands = append(commands, "import -o "+out+" "+dir)
	} else {
		t.Log("XEN_IDL_DIR does not name the folder with Xen's .idl files: their import is not timed")
	}
	for _, args := range commands {
		fastest := time.Hour
		for n := 0; n < 5 && fastest > time.Second; n++ {
			start := time.Now()
			if status, _, stderr := xlidl(strings.Fields(args)...); status != 0 {
				t.Fatalf("xlidl %s: status %d\n%s", args, status, stderr)
			}
			fastest = min(fastest, time.Since(start))
		}
		if fastest > time.Second {
			t.Errorf("xlidl %s takes %s", args, fastest)
		}
		t.Logf("xlidl %s: %s", args, fastest.Round(time.Millisecond))
	}
}

func TestCoverageCountsWhatReportsSay(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return file
	}
	first := write("1.json", `{"functions": [{"name": "libxl_domain_pause", "called": 2, "succeeded": 1}, {"name": "libxl_list_vm", "called": 1}]}`)
	second := write("2.json", `{"functions": [{"name": "libxl_list_vm", "called": 3}, {"name": "libxl_list_domain"}]}`)
	names := write("names", "section,function\n\"a, b\",libxl_domain_pause\n,libxl_list_vm\n,libxl_list_vm\n,libxl_list_domain\n,libxl_cpuid_set\n")
	status, stdout, stderr := xlidl("coverage", "-names", names, first, second)
	_, stdout, _ = strings.Cut(stdout, "functions of "+names+": 4\n")
	want := [][]string{
		{"called", "2", "50%"}, {"succeeded", "1", "25%"}, {"only", "seen", "failing", "1", "25%", "libxl_list_vm"},
		{"replaced", "by", "Go", "1", "25%", "libxl_cpuid_set"}, {"never", "called", "1", "25%", "libxl_list_domain"},
	}
	var got [][]string
	for line := range strings.Lines(stdout) {
		got = append(got, strings.Fields(line))
	}
	if status != 0 || stderr != "" || !reflect.DeepEqual(got, want) {
		t.Errorf("status %d, %q, want %q\n%s", status, got, want, stderr)
	}
	for _, args := range [][]string{{}, {"no such file"}, {names}, {write("empty.json", "{}")}, {"-names", first, first}} {
		if status, _, stderr := xlidl(append([]string{"coverage"}, args...)...); status == 0 || stderr == "" {
			t.Errorf("xlidl coverage %q: status %d, %q", args, status, stderr)
		}
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
