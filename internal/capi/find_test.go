package capi

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/go-xenlight/xenlight/internal/abi"
)

// fakeHost makes a root folder with some files of a Xen host.
func fakeHost(t *testing.T, files map[string]string) System {
	t.Helper()
	root, err := os.MkdirTemp("", "xenlight")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	// Other users may look, so that what they may not do is up to the files.
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		p := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return System{Root: root}
}

func dom0(minor string) map[string]string {
	return map[string]string{
		"/sys/hypervisor/type":          "xen\n",
		"/sys/hypervisor/version/major": "4\n",
		"/sys/hypervisor/version/minor": minor + "\n",
		"/proc/xen/capabilities":        "control_d\n",
		"/dev/xen/privcmd":              "",
	}
}

func with(m map[string]string, name, content string) map[string]string {
	if content == "-" {
		delete(m, name)
	} else {
		m[name] = content
	}
	return m
}

func TestHypervisor(t *testing.T) {
	tests := []struct {
		name  string
		files map[string]string
		want  abi.Release
		err   error
		says  string
	}{
		{"dom0 of the oldest release", dom0("14"), abi.R(4, 14), nil, ""},
		{"dom0 of the newest release", dom0("22"), abi.R(4, 22), nil, ""},
		{"no hypervisor", nil, 0, ErrNoXen, "does not run under Xen"},
		{"another hypervisor", with(dom0("17"), "/sys/hypervisor/type", "kvm"), 0, ErrNoXen, `"kvm"`},
		{"a guest", with(dom0("17"), "/proc/xen/capabilities", "\n"), 0, ErrNoXen, "a guest, not the control domain"},
		{"no privcmd", with(dom0("17"), "/dev/xen/privcmd", "-"), 0, ErrNoXen, "xen-privcmd"},
		{"too old", dom0("13"), 0, ErrUnknownRelease, "Xen 4.13, known are 4.14 to 4.22; it is too old: install a newer Xen"},
		{"of the last generation", with(dom0("4"), "/sys/hypervisor/version/major", "3"), 0, ErrUnknownRelease, "Xen 3.4, known are 4.14 to 4.22; it is too old"},
		{"too new", dom0("23"), 0, ErrUnknownRelease, "Xen 4.23, known are 4.14 to 4.22; build the program with a version of xenlight that knows it, or accept the risk with WithUnprovenRelease"},
		{"of the next generation", with(dom0("0"), "/sys/hypervisor/version/major", "5"), 0, ErrUnknownRelease, "Xen 5.0, known are 4.14 to 4.22; build the program with a version of xenlight that knows it"},
		{"a version that is no number", dom0("x"), 0, ErrUnknownRelease, "cannot be read"},
		{"a huge version", dom0("99999"), 0, ErrUnknownRelease, "Xen 4.99999"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := fakeHost(t, test.files).Hypervisor()
			if got != test.want || !errors.Is(err, test.err) {
				t.Errorf("got %v, %v", got, err)
			}
			if err != nil && !strings.Contains(err.Error(), test.says) {
				t.Errorf("%q does not say %q", err, test.says)
			}
			// The option is named to those only whom it would help.
			if s := fakeHost(t, test.files); err != nil {
				s.Unproven = true
				_, still := s.Hypervisor()
				if strings.Contains(err.Error(), "WithUnprovenRelease") != (still == nil) {
					t.Errorf("%q, and with the option: %v", err, still)
				}
			}
		})
	}
}

func TestPermissionOfPrivcmd(t *testing.T) {
	s := fakeHost(t, dom0("17"))
	if err := os.Chmod(s.path("/dev/xen/privcmd"), 0); err != nil {
		t.Fatal(err)
	}
	err := asNobody(func() error {
		_, err := s.Hypervisor()
		return err
	})
	if !errors.Is(err, ErrPermission) || !strings.Contains(err.Error(), "run as root") {
		t.Errorf("got %v", err)
	}
}

// asNobody calls f on a thread that has no rights, and that is never used again.
func asNobody(f func() error) error {
	const nobody = 65534
	result := make(chan error)
	go func() {
		runtime.LockOSThread()
		if os.Getuid() == 0 {
			// Unlike the functions of package syscall, this is for the one thread.
			const keep = ^uintptr(0)
			if _, _, e := unix.RawSyscall(unix.SYS_SETRESUID, nobody, nobody, keep); e != 0 {
				result <- e
				return
			}
		}
		result <- f()
	}()
	return <-result
}

func TestFindSearchesWhereTheLoaderDoes(t *testing.T) {
	t.Setenv("LD_LIBRARY_PATH", "/opt/first")
	s := fakeHost(t, map[string]string{
		"/etc/ld.so.conf":                  "include /etc/ld.so.conf.d/*.conf\n",
		"/etc/ld.so.conf.d/xen.conf":       "# Xen's own\n/opt/xen/lib  # here\n",
		"/opt/first/libxenlight.so.4.20":   "",
		"/opt/xen/lib/libxenlight.so.4.18": "",
		"/opt/xen/lib/libxenlight.so.4.20": "",
		"/usr/lib/libxenlight.so.4.17":     "",
	})
	for release, want := range map[abi.Release]string{
		abi.R(4, 20): "/opt/first/libxenlight.so.4.20",
		abi.R(4, 18): "/opt/xen/lib/libxenlight.so.4.18",
		abi.R(4, 17): "/usr/lib/libxenlight.so.4.17",
	} {
		got, err := s.Find(release)
		if err != nil || got != s.path(want) {
			t.Errorf("%s: got %s, %v", release, got, err)
		}
	}
	_, err := s.Find(abi.R(4, 19))
	if !errors.Is(err, ErrNoLibrary) || !strings.Contains(err.Error(), "libxenmisc4.19") || !strings.Contains(err.Error(), "/opt/xen/lib") {
		t.Errorf("missing library: %v", err)
	}
}

// sharedLibrary makes a minimal ELF file with a soname.
func sharedLibrary(t *testing.T, soname string, machine uint16) string {
	t.Helper()
	const header, programHeaders, dynamic, strings = 64, 56 * 2, 16 * 4, 64
	dynAt, strAt := uint64(header+programHeaders), uint64(header+programHeaders+dynamic)
	var b bytes.Buffer
	put := func(v any) { binary.Write(&b, binary.LittleEndian, v) }
	put([]byte{0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	put([]uint16{3, machine})
	put(uint32(1))
	put([]uint64{0, header, strAt + strings})
	put(uint32(0))
	put([]uint16{64, 56, 2, 64, 3, 0})
	for _, ph := range []struct {
		kind uint32
		at   uint64
		size uint64
	}{{1, 0, strAt + strings}, {2, dynAt, dynamic}} {
		put([]uint32{ph.kind, 4})
		put([]uint64{ph.at, ph.at, ph.at, ph.size, ph.size, 8})
	}
	put([]uint64{14, 1, 5, strAt, 10, strings, 0, 0}) // DT_SONAME, DT_STRTAB, DT_STRSZ
	table := make([]byte, strings)
	copy(table[1:], soname)
	put(table)
	for _, sh := range []struct {
		kind     uint32
		at, size uint64
		link     uint32
	}{{0, 0, 0, 0}, {3, strAt, strings, 0}, {6, dynAt, dynamic, 1}} {
		put([]uint32{0, sh.kind})
		put([]uint64{0, sh.at, sh.at, sh.size})
		put([]uint32{sh.link, 0})
		put([]uint64{8, 16})
	}
	p := filepath.Join(t.TempDir(), "lib.so")
	if err := os.WriteFile(p, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestReleaseOfReadsTheSoname(t *testing.T) {
	here := uint16(machine())
	other := uint16(0xb7)
	if here == other {
		other = 0x3e
	}
	tests := []struct {
		soname  string
		machine uint16
		want    abi.Release
		err     error
	}{
		{"libxenlight.so.4.17", here, abi.R(4, 17), nil},
		{"libxenlight.so.4.22", here, abi.R(4, 22), nil},
		{"libxenlight.so.4.13", here, abi.R(4, 13), ErrUnknownRelease},
		{"libxenlight.so.4.99", here, abi.R(4, 99), ErrUnknownRelease},
		{"libxenlight.so.4.270", here, 0, ErrUnknownRelease},
		{"libxenlight.so.5.0", here, 0, ErrUnknownRelease},
		{"libc.so.6", here, 0, ErrNoLibrary},
		{"libxenlight.so.4.17", other, 0, ErrNoLibrary},
	}
	for _, test := range tests {
		got, err := ReleaseOf(sharedLibrary(t, test.soname, test.machine))
		if got != test.want || !errors.Is(err, test.err) {
			t.Errorf("%s for machine %#x: got %v, %v", test.soname, test.machine, got, err)
		}
		// LoadUnproven takes what is newer and has a number.
		if err != nil && strings.Contains(err.Error(), "WithUnprovenRelease") != (got > newest()) {
			t.Errorf("%s: %v", test.soname, err)
		}
	}
	if _, err := ReleaseOf(filepath.Join(t.TempDir(), "none")); !errors.Is(err, ErrNoLibrary) {
		t.Errorf("no file: %v", err)
	}
	text := filepath.Join(t.TempDir(), "text")
	os.WriteFile(text, []byte("no library"), 0o644)
	if _, err := ReleaseOf(text); !errors.Is(err, ErrNoLibrary) {
		t.Errorf("no ELF file: %v", err)
	}
}

func TestLoadRefusesWhatIsNoLibrary(t *testing.T) {
	empty := sharedLibrary(t, "libxenlight.so.4.17", uint16(machine()))
	for name, path := range map[string]string{
		"no file":             filepath.Join(t.TempDir(), "none"),
		"only the right name": empty,
	} {
		if _, err := Load(path); !errors.Is(err, ErrNoLibrary) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	// Load may have another reason: the process has a library.
	err := checkSymbols(empty)
	if !errors.Is(err, ErrNoLibrary) || !strings.Contains(err.Error(), "defines no libxl_ctx_alloc") || !strings.Contains(err.Error(), "known are 4.14 to 4.22: install") {
		t.Errorf("only the right name: the error does not say what is known and what to do: %v", err)
	}
}
