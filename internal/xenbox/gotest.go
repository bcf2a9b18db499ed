//go:build linux

package xenbox

import (
	"path"
	"path/filepath"
	"strings"
	"time"
)

// testOutputs says what the value of a test binary's flag names.
var testOutputs = map[string]struct {
	folder  bool // a folder, which must exist
	inPlace bool // not subject to -test.outputdir
}{
	"testlogfile":  {inPlace: true},
	"gocoverdir":   {inPlace: true, folder: true},
	"coverprofile": {},
	"cpuprofile":   {},
	"memprofile":   {},
	"blockprofile": {},
	"mutexprofile": {},
	"trace":        {},
}

// testEnv are the variables that steer the Go runtime and xenlight's tests;
// they go along with a test binary.
var testEnv = []string{"GODEBUG", "GOTRACEBACK", "GOMAXPROCS", "GOGC", "GOMEMLIMIT", "GORACE"}

// testEnvPrefix begins the names of xenlight's own variables.
const testEnvPrefix = "XENLIGHT_"

// A testPlan is what a test binary's command line asks of the two sides.
type testPlan struct {
	mkdirs  []string
	fetches []transfer
	timeout time.Duration // of the whole binary, 0 if none
}

// planTest reads the arguments that go test gives to a test binary. Paths in
// them are the host's: the same paths are made in dom0, and what the binary
// writes there is fetched. dir is the working folder on both sides.
func planTest(args []string, dir string) testPlan {
	values := testFlags(args)
	var p testPlan
	out := dir
	if d := values["outputdir"]; d != "" {
		out = absIn(dir, d)
		p.mkdirs = append(p.mkdirs, out)
	}
	for name, kind := range testOutputs {
		v := values[name]
		if v == "" {
			continue
		}
		base := out
		if kind.inPlace {
			base = dir
		}
		file := absIn(base, v)
		if kind.folder {
			p.mkdirs = append(p.mkdirs, file)
		} else {
			p.mkdirs = append(p.mkdirs, path.Dir(file))
		}
		p.fetches = append(p.fetches, transfer{Host: file, Guest: file, Optional: true})
	}
	if v, ok := values["artifacts"]; ok && v != "false" {
		a := path.Join(out, "_artifacts")
		p.fetches = append(p.fetches, transfer{Host: a, Guest: a, Optional: true})
	}
	if d, err := time.ParseDuration(values["timeout"]); err == nil {
		p.timeout = d
	}
	return p
}

// testFlags collects -test.name=value and -test.name value pairs.
func testFlags(args []string) map[string]string {
	values := make(map[string]string)
	for i := 0; i < len(args); i++ {
		a := args[i]
		if a == "--" || a == "-args" || a == "--args" {
			break
		}
		name, ok := strings.CutPrefix(strings.TrimPrefix(a, "-"), "-test.")
		if !ok {
			if name, ok = strings.CutPrefix(a, "-test."); !ok {
				continue
			}
		}
		name, value, hasValue := strings.Cut(name, "=")
		if _, takes := testOutputs[name]; !hasValue && (takes || name == "outputdir" || name == "timeout") && i+1 < len(args) {
			i++
			value = args[i]
		}
		values[name] = value
	}
	return values
}

func absIn(dir, p string) string {
	if filepath.IsAbs(p) {
		return filepath.Clean(p)
	}
	return filepath.Join(dir, p)
}
