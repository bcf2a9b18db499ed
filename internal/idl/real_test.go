package idl

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// idlDir is the folder with libxl_types.idl of the nine releases, named
// 4.14.idl to 4.22.idl. They are Xen's and not in this repository.
func idlDir(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("XEN_IDL_DIR")
	if dir == "" {
		t.Skip("XEN_IDL_DIR does not name the folder with Xen's .idl files")
	}
	return dir
}

func TestImportReproducesTheSchema(t *testing.T) {
	s, err := Import(idlDir(t))
	if err != nil {
		t.Fatal(err)
	}
	got, err := Encode(s)
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("../../idl/libxl.json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("idl/libxl.json is not what xlidl import makes:\n%s", firstDifference(got, want))
	}
}

func realSchema(t *testing.T) *Schema {
	t.Helper()
	s, err := Load("../../idl/libxl.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func realFunctions(t *testing.T) []*Function {
	t.Helper()
	return realCatalog(t).Functions
}

func realCatalog(t *testing.T) *Catalog {
	t.Helper()
	catalog, err := EvalFunctionsFile("../../idl/functions.idl", realSchema(t))
	if err != nil {
		t.Fatal(err)
	}
	return catalog
}

func TestSchemaKnowsWhatIsKnownOfLibxl(t *testing.T) {
	s := realSchema(t)
	since := make(map[string]string)
	inits := make(map[string]string)
	for _, typ := range s.Types {
		since[typ.Name] = s.since(typ.Since).String()
		for _, v := range typ.Values {
			since[typ.constant(v)] = s.since(v.Since).String()
		}
		walk(typ.Fields, typ.Name+".", func(path string, f *Field) {
			since[path] = s.since(f.Since).String()
			for _, i := range f.Init {
				inits[path] += fmt.Sprintf("%s=%s ", s.since(i.Since), i.Value)
			}
		})
	}
	for name, want := range map[string]string{
		"domain_config": "4.14", "domain_build_info.vpmu": "4.16", "device_disk.trusted": "4.17",
		"device_virtio": "4.18", "LIBXL_TEE_TYPE_FFA": "4.18", "LIBXL_SVE_TYPE_128": "4.18",
		"domain_build_info.u.hvm.pirq": "4.19", "domain_build_info.arch_arm.nr_spis": "4.19",
		"domain_build_info.llc_colors": "4.20", "arm_sci": "4.21", "domain_build_info.xenstore_quota": "4.22",
		"LIBXL_VIRIDIAN_ENLIGHTENMENT_CPU_HOTPLUG": "4.15", "ERROR_FAIL": "4.14",
	} {
		if since[name] != want {
			t.Errorf("%s is there since %q, want %s", name, since[name], want)
		}
	}
	for name, want := range map[string]string{
		"domain_build_info.arch_arm.nr_spis":      "4.21=4294967295 ",
		"domain_build_info.altp2m_count":          "4.21=4294967295 ",
		"domain_build_info.xenstore_feature_mask": "4.21=4294967295 ",
		"domain_build_info.max_grant_version":     "4.16=-1 ",
		"domain_build_info.max_grant_frames":      "4.14=4294967295 ",
		"domain_restore_params.stream_version":    "4.14=1 ",
		"iomem_range.gfn":                         "4.14=18446744073709551615 ",
	} {
		if inits[name] != want {
			t.Errorf("default of %s is %q, want %q", name, inits[name], want)
		}
	}
}

// listed reads the list of libxl's prototypes that lies beside the .idl files.
func listed(t *testing.T) map[string]map[string]string {
	t.Helper()
	name := filepath.Join(filepath.Dir(filepath.Clean(idlDir(t))), "functions.csv")
	f, err := os.Open(name)
	if err != nil {
		t.Skipf("no list of prototypes beside the .idl files: %v", err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	list := make(map[string]map[string]string)
	for _, row := range rows[1:] {
		m := make(map[string]string)
		for i, column := range rows[0] {
			m[column] = row[i]
		}
		list[m["name"]] = m
	}
	return list
}

var (
	blanks    = regexp.MustCompile(`\s+`)
	paramName = regexp.MustCompile(`^(.*[\s*])\w+$`)
)

// signature reduces a prototype to its types: "int(libxl_ctx*,uint32_t)".
func signature(prototype string) string {
	result, params, _ := strings.Cut(strings.TrimSuffix(strings.TrimSpace(prototype), ")"), "(")
	out := cType(result) + "("
	for i, p := range strings.Split(params, ",") {
		if i > 0 {
			out += ","
		}
		out += cType(p)
	}
	return out + ")"
}

func cType(decl string) string {
	decl = strings.TrimSpace(blanks.ReplaceAllString(decl, " "))
	words := strings.Fields(strings.ReplaceAll(decl, "*", " * "))
	last := words[len(words)-1]
	typeWords := []string{"int", "unsigned", "long", "char", "void", "libxl_ev_user", "libxl_ctx"}
	if m := paramName.FindStringSubmatch(decl); m != nil && !slices.Contains(typeWords, last) {
		decl = m[1]
	}
	decl = strings.Join(strings.Fields(strings.ReplaceAll(decl, "*", " * ")), " ")
	decl = strings.ReplaceAll(strings.ReplaceAll(decl, "* *", "**"), " *", "*")
	decl = strings.ReplaceAll(decl, " *", "*")
	if decl == "unsigned" {
		return "unsigned int"
	}
	return strings.ReplaceAll(decl, "_Bool", "bool")
}

func TestFunctionsAreThoseOfTheHeaders(t *testing.T) {
	list := listed(t)
	releases := realSchema(t).Releases
	for _, f := range realFunctions(t) {
		if row := list[f.Name]; row != nil {
			if got, want := signature(f.Prototype()), signature(row["signature"]); got != want {
				t.Errorf("%s: %s is\n     %s\nwant %s", f.pos, f.Name, got, want)
			}
		}
	}
	known := make(map[string]bool)
	for _, e := range realCatalog(t).Entries() {
		known[e.Name] = true
		row := list[e.Name]
		if row == nil {
			t.Errorf("%s is not in libxl's headers", e.Name)
			continue
		}
		i := slices.IndexFunc(releases, func(r Release) bool { return row[r.String()] == "y" })
		ao := map[bool]string{false: "n", true: "y"}[e.Async]
		got := []string{e.Header, e.Since.String(), cmp.Or(e.Arch, "all"), ao}
		want := []string{row["header"], releases[i].String(), row["arch"], row["ao_how"]}
		if !slices.Equal(got, want) {
			t.Errorf("%s: header, since, arch and ao_how are %q, want %q", e.Name, got, want)
		}
	}
	for name := range list {
		if !known[name] {
			t.Errorf("%s is neither described nor excluded", name)
		}
	}
}
