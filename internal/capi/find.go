package capi

import (
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/go-xenlight/xenlight/internal/abi"
)

// The reasons why there is no libxl to talk to. Open's errors wrap exactly one.
var (
	ErrNoXen          = errors.New("no Xen host")
	ErrUnknownRelease = errors.New("unknown Xen release")
	ErrNoLibrary      = errors.New("no usable libxenlight")
	ErrPermission     = errors.New("no permission to manage Xen")
)

// System is where the host's files are looked for; Root is "/" but in tests.
type System struct {
	Root string
	// Unproven lets releases pass that are newer than all that are known.
	Unproven bool
}

func (s System) path(p string) string { return filepath.Join(s.Root, p) }

func (s System) read(p string) string {
	b, err := os.ReadFile(s.path(p))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// Hypervisor returns the release of the running hypervisor. The errors wrap
// ErrNoXen, ErrPermission or ErrUnknownRelease.
func (s System) Hypervisor() (abi.Release, error) {
	if t := s.read("/sys/hypervisor/type"); t != "xen" {
		return 0, fmt.Errorf("%w: /sys/hypervisor/type says %q, so this system does not run under Xen"+
			" (xenbox gives you a Xen host in QEMU)", ErrNoXen, t)
	}
	if err := s.controlDomain(); err != nil {
		return 0, err
	}
	major, err1 := strconv.Atoi(s.read("/sys/hypervisor/version/major"))
	minor, err2 := strconv.Atoi(s.read("/sys/hypervisor/version/minor"))
	if err1 != nil || err2 != nil {
		return 0, fmt.Errorf("%w: /sys/hypervisor/version cannot be read", ErrUnknownRelease)
	}
	if !holds(major, minor) {
		return 0, unknown("this hypervisor", major, minor)
	}
	r := abi.R(major, minor)
	if !abi.Known(r) && (!s.Unproven || r <= newest()) {
		return 0, unknown("this hypervisor", major, minor)
	}
	return r, nil
}

// holds tells whether a Release can be that one.
func holds(major, minor int) bool { return major == 4 && minor >= 0 && minor <= 255 }

// newest is the newest release that is known, as which newer ones are driven by
// those who accept the risk; tests take another.
var newest = func() abi.Release { return abi.Releases[len(abi.Releases)-1] }

// unknown is the error of a release that is not known. Those that WithUnprovenRelease
// would accept come here without it only.
func unknown(what string, major, minor int) error {
	advice := "build the program with a version of xenlight that knows it"
	switch {
	case holds(major, minor) && abi.R(major, minor) > newest():
		advice += ", or accept the risk with WithUnprovenRelease"
	case major <= 4 && minor <= 255:
		advice = "it is too old: install a newer Xen"
	}
	return fmt.Errorf("%w: %s is Xen %d.%d, %s; %s", ErrUnknownRelease, what, major, minor, known(), advice)
}

func known() string { return fmt.Sprintf("known are %s to %s", abi.Releases[0], newest()) }

// controlDomain checks that this is dom0 and that the process may manage it.
func (s System) controlDomain() error {
	const privcmd = "/dev/xen/privcmd"
	// Where xenfs is not mounted, privcmd decides.
	if c, err := os.ReadFile(s.path("/proc/xen/capabilities")); err == nil && !strings.Contains(string(c), "control_d") {
		return fmt.Errorf("%w: this is a guest, not the control domain", ErrNoXen)
	}
	return s.openable(privcmd)
}

func (s System) openable(p string) error {
	f, err := os.OpenFile(s.path(p), os.O_RDWR, 0)
	switch {
	case err == nil:
		return f.Close()
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: %w; run as root", ErrPermission, err)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: %w; load the module xen-privcmd and mount xenfs on /proc/xen", ErrNoXen, err)
	}
	return fmt.Errorf("%w: %w", ErrNoXen, err)
}

// checkSymbols reads from a library's file that it has libxl's functions: the
// loader would crash on a damaged file rather than refuse it.
func checkSymbols(path string) error {
	f, err := elf.Open(path)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoLibrary, err)
	}
	defer f.Close()
	symbols, err := f.DynamicSymbols()
	if err != nil || !slices.ContainsFunc(symbols, func(s elf.Symbol) bool {
		return s.Name == "libxl_ctx_alloc" && s.Section != elf.SHN_UNDEF
	}) {
		return fmt.Errorf("%w: %s defines no libxl_ctx_alloc, so it is damaged or another library; %s: install the library of one of these,"+
			" or name its file with an option or in XENLIGHT_LIBRARY", ErrNoLibrary, path, known())
	}
	return nil
}

// Soname is the name of libxenlight of a release.
func Soname(r abi.Release) string { return "libxenlight.so." + r.String() }

// Find returns the path of a release's libxenlight, or an error that wraps
// ErrNoLibrary.
func (s System) Find(r abi.Release) (string, error) {
	dirs := s.libraryDirs()
	for _, d := range dirs {
		p := filepath.Join(s.path(d), Soname(r))
		if _, err := os.Stat(p); err == nil {
			return p, nil
		}
	}
	return "", fmt.Errorf("%w: Xen %s wants %s, which is in none of %s; install it (Debian: libxenmisc%s)"+
		" or name its file with an option or in XENLIGHT_LIBRARY", ErrNoLibrary, r, Soname(r), strings.Join(dirs, ", "), r)
}

// libraryDirs lists the folders that the dynamic loader would search.
func (s System) libraryDirs() []string {
	var dirs []string
	dirs = append(dirs, filepath.SplitList(os.Getenv("LD_LIBRARY_PATH"))...)
	dirs = append(dirs, s.ldSoConf("/etc/ld.so.conf", 0)...)
	triplet := map[string]string{"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}[runtime.GOARCH]
	for _, d := range []string{"/usr/local/lib", "/usr/lib", "/lib"} {
		dirs = append(dirs, filepath.Join(d, triplet), d+"64", d)
	}
	var out []string
	for _, d := range dirs {
		if d != "" && !slices.Contains(out, d) {
			out = append(out, d)
		}
	}
	return out
}

func (s System) ldSoConf(file string, depth int) []string {
	var dirs []string
	for line := range strings.Lines(s.read(file)) {
		line, _, _ = strings.Cut(line, "#")
		line = strings.TrimSpace(line)
		pattern, include := strings.CutPrefix(line, "include ")
		switch {
		case !include:
			dirs = append(dirs, line)
		case depth < 4:
			files, _ := filepath.Glob(s.path(strings.TrimSpace(pattern)))
			for _, f := range files {
				rel, err := filepath.Rel(s.path("/"), f)
				if err == nil {
					dirs = append(dirs, s.ldSoConf("/"+rel, depth+1)...)
				}
			}
		}
	}
	return dirs
}

var sonamePattern = regexp.MustCompile(`^libxenlight\.so\.(\d{1,5})\.(\d{1,5})$`)

// ReleaseOf reads the release of a libxenlight from its ELF file. The errors
// wrap ErrNoLibrary or ErrUnknownRelease; with the latter the release is there
// if a Release can hold it.
func ReleaseOf(path string) (abi.Release, error) {
	f, err := elf.Open(path)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrNoLibrary, err)
	}
	defer f.Close()
	if want := machine(); f.Machine != want || f.Class != elf.ELFCLASS64 {
		return 0, fmt.Errorf("%w: %s is for %v, this program for %v", ErrNoLibrary, path, f.Machine, want)
	}
	names, err := f.DynString(elf.DT_SONAME)
	if err != nil || len(names) != 1 {
		return 0, fmt.Errorf("%w: %s is not a shared library with a soname", ErrNoLibrary, path)
	}
	m := sonamePattern.FindStringSubmatch(names[0])
	if m == nil {
		return 0, fmt.Errorf("%w: %s is %s, not a libxenlight.so.4.xx", ErrNoLibrary, path, names[0])
	}
	major, _ := strconv.Atoi(m[1])
	minor, _ := strconv.Atoi(m[2])
	if !holds(major, minor) {
		return 0, unknown(path, major, minor)
	}
	r := abi.R(major, minor)
	if !abi.Known(r) {
		return r, unknown(path, major, minor)
	}
	return r, nil
}

func machine() elf.Machine {
	switch runtime.GOARCH {
	case "amd64":
		return elf.EM_X86_64
	case "arm64":
		return elf.EM_AARCH64
	}
	return elf.EM_NONE
}
