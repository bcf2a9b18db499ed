package xenlight

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-xenlight/xenlight/internal/capi"
	"github.com/go-xenlight/xenlight/libxl"
)

// system makes a folder that looks like the root of a host.
func system(t *testing.T, files map[string]string) Option {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		p := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return func(o *options) { o.system = capi.System{Root: root} }
}

func dom0(minor string) map[string]string {
	return map[string]string{
		"/sys/hypervisor/type":          "xen\n",
		"/sys/hypervisor/version/major": "4\n",
		"/sys/hypervisor/version/minor": minor + "\n",
		"/dev/xen/privcmd":              "",
	}
}

func TestOpenTellsFourReasonsApart(t *testing.T) {
	reasons := map[string]error{"ErrNoXen": ErrNoXen, "ErrPermission": ErrPermission,
		"ErrUnknownRelease": ErrUnknownRelease, "ErrNoLibrary": ErrNoLibrary}
	tests := []struct {
		name string
		opts []Option
		want string
		says string
	}{
		{"no hypervisor", []Option{system(t, nil)}, "ErrNoXen", "does not run under Xen"},
		{"a release of the future", []Option{system(t, dom0("77"))}, "ErrUnknownRelease", "Xen 4.77"},
		{"no library", []Option{system(t, dom0("16"))}, "ErrNoLibrary", "libxenlight.so.4.16"},
		{"a release of the future with a library of another", []Option{system(t, dom0("77")), WithLibrary("/nonexistent/lib.so")}, "ErrUnknownRelease", "Xen 4.77"},
		{"a library that is not there", []Option{system(t, dom0("17")), WithLibrary("/nonexistent/lib.so")}, "ErrNoLibrary", "/nonexistent/lib.so"},
		{"no hypervisor, but a library", []Option{system(t, nil), WithLibrary("/nonexistent/lib.so")}, "ErrNoXen", ""},
	}
	t.Setenv("XENLIGHT_LIBRARY", "")
	t.Setenv("LD_LIBRARY_PATH", "")
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := Open(test.opts...)
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Fatalf("got %v, want an error that says %q", err, test.says)
			}
			for name, reason := range reasons {
				if errors.Is(err, reason) != (name == test.want) {
					t.Errorf("%v: errors.Is(err, %s) is %t", err, name, name != test.want)
				}
			}
		})
	}
	// The fourth needs a user without rights: internal/capi's tests and xltest.
}

func TestLibraryIsNamedByOptionThenByEnvironment(t *testing.T) {
	t.Setenv("XENLIGHT_LIBRARY", "/from/environment")
	_, err := Open(system(t, dom0("17")))
	if err == nil || !strings.Contains(err.Error(), "/from/environment") {
		t.Errorf("got %v", err)
	}
	_, err = Open(system(t, dom0("17")), WithLibrary("/from/option"))
	if err == nil || !strings.Contains(err.Error(), "/from/option") {
		t.Errorf("got %v", err)
	}
}

func TestErrorReadsAsOneSentence(t *testing.T) {
	seven := libxl.Domid(7)
	log := []LogLine{
		{slog.LevelWarn, "", "odd"},
		{slog.LevelError, "a.c:1:f", "no such file"},
		{slog.LevelError, "b.c:2:g", "creation failed"},
	}
	code := libxl.ErrorFail
	tests := []struct {
		err  *Error
		want string
	}{
		{&Error{Op: "DomainPause", Domid: &seven, Code: code}, "DomainPause of domain 7: " + code.Error()},
		{&Error{Op: "DomainCreateNew", Name: "web", Domid: &seven, Code: code, Log: log},
			`DomainCreateNew of domain "web": ` + code.Error() + ": no such file"},
		{&Error{Op: "DomainDestroy", Domid: &seven, Err: context.Canceled, Code: libxl.ErrorAborted},
			"DomainDestroy of domain 7: context canceled: " + libxl.ErrorAborted.Error()},
		{&Error{Op: "GetPhysinfo", Err: ErrClosed}, "GetPhysinfo: host is closed"},
		{&Error{Op: "DomainCreateNew", Err: &FieldError{Path: "Disks[2].PdevPath", Problem: "contains NUL"}},
			"DomainCreateNew: Disks[2].PdevPath: contains NUL"},
	}
	for _, test := range tests {
		if got := test.err.Error(); got != test.want {
			t.Errorf("got  %q\nwant %q", got, test.want)
		}
	}
	if err := error(tests[2].err); !errors.Is(err, context.Canceled) || !errors.Is(err, libxl.ErrorAborted) || errors.Is(err, libxl.ErrorFail) {
		t.Errorf("%v does not unwrap to its reasons", err)
	}
	var field *FieldError
	if err := error(tests[4].err); !errors.As(err, &field) || field.Path != "Disks[2].PdevPath" {
		t.Errorf("%v does not unwrap to its FieldError", err)
	}
}

func TestCreationNeedsATypeThatItsUnionShares(t *testing.T) {
	for name, change := range map[string]func(*libxl.DomainConfig){
		"CInfo.Type: not set: want hvm, pv or pvh":             func(*libxl.DomainConfig) {},
		"BInfo.TypeUnion: says invalid, but CInfo.Type is pvh": func(c *libxl.DomainConfig) { c.CInfo.Type = libxl.DomainTypePvh },
		"BInfo.TypeUnion: says pv, but CInfo.Type is pvh": func(c *libxl.DomainConfig) {
			c.CInfo.Type = libxl.DomainTypePvh
			c.BInfo.TypeUnion = libxl.NewDomainBuildInfoTypeUnionPv()
		},
	} {
		c := libxl.NewDomainConfig()
		change(c)
		if err := checkCreate(c, "amd64"); err == nil || err.Error() != name {
			t.Errorf("got %v, want %s", err, name)
		}
	}
}

func TestZeroHostIsClosed(t *testing.T) {
	var h Host
	ctx := context.Background()
	_, version := h.GetVersionInfo()
	_, physinfo := h.GetPhysinfo()
	_, list := h.ListDomain()
	_, create := h.DomainCreateNew(ctx, libxl.NewDomainConfig())
	_, tty := h.PrimaryConsoleGetTty(1)
	for _, err := range []error{version, physinfo, list, create, tty, h.DomainPause(ctx, 1)} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("got %v", err)
		}
	}
	if err := h.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}
