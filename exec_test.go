package xenlight

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/go-xenlight/xenlight/libxl"
)

var _ io.ReadWriteCloser = (*Console)(nil)

// terminal makes a terminal and returns the end that xenconsoled would have, and
// the path of the other.
func terminal(t *testing.T) (*os.File, string) {
	t.Helper()
	end, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { end.Close() })
	fd := int(end.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	return end, fmt.Sprintf("/dev/pts/%d", number)
}

func TestAConsoleIsReadAndWrittenUntilTheDomainIsGone(t *testing.T) {
	end, path := terminal(t)
	c, err := openConsole("ConsoleAttach", 1, path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.File().SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(end, "from the guest\n"); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 64)
	if n, err := c.Read(buf); err != nil || !strings.HasPrefix(string(buf[:n]), "from the guest") {
		t.Errorf("read %q, %v", buf[:n], err)
	}
	if _, err := io.WriteString(c, "to the guest\n"); err != nil {
		t.Error(err)
	}
	end.Close()
	if n, err := c.Read(buf); err != io.EOF {
		t.Errorf("after the domain's end: read %q, %v", buf[:n], err)
	}
	if _, err := openConsole("ConsoleAttach", 7, filepath.Join(t.TempDir(), "none")); err == nil ||
		!errors.Is(err, os.ErrNotExist) || !strings.HasPrefix(err.Error(), "ConsoleAttach of domain 7: ") {
		t.Errorf("a terminal that is not there: %v", err)
	}
}

func TestConsoleCommandIsXensClient(t *testing.T) {
	h := openFake(t)
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	program := filepath.Join(dir, "xenconsole")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd, err := h.ConsoleCommand(7, 2, libxl.ConsoleTypePv, NotifyAttached(os.Stdout))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"7", "--num", "2", "--type", "pv", "--start-notify-fd", "3"}
	if filepath.Base(cmd.Path) != "xenconsole" || !slices.Equal(cmd.Args[1:], want) || !slices.Equal(cmd.ExtraFiles, []*os.File{os.Stdout}) {
		t.Errorf("got %q with %d files", cmd.Args, len(cmd.ExtraFiles))
	}
}

func TestErrorsNameTheMethodAlsoWhereCHasAnotherName(t *testing.T) {
	h := openFake(t)
	for name, test := range map[string]struct {
		err  error
		want string
	}{
		"a type that is none": {second(h.ConsoleCommand(7, 0, 99)), "ConsoleCommand of domain 7: kind: 99 is not a value"},
		"to exec that":        {h.ConsoleExec(7, 0, 99), "ConsoleExec of domain 7: kind: 99 is not a value"},
		"the hypervisor's":    {second(h.XenConsoleRead(false)), "XenConsoleRead: "},
		"a number too large":  {second(h.ConsoleCommand(1<<20, 0, libxl.ConsoleTypePv)), "domid: no domain has this number"},
		"no VNC":              {second(h.VncviewerCommand(7, false)), "VncviewerCommand of domain 7: "},
	} {
		if test.err == nil || !strings.Contains(test.err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", name, test.err, test.want)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestTheEscapeCharacterNeedsItsRelease(t *testing.T) {
	h := openFake(t)
	x := EscapeCharacter("x")
	for name, err := range map[string]error{
		"ConsoleCommand":     second(h.ConsoleCommand(7, 0, libxl.ConsoleTypePv, x)),
		"ConsoleExec":        h.ConsoleExec(7, 0, libxl.ConsoleTypePv, x),
		"PrimaryConsoleExec": h.PrimaryConsoleExec(7, x),
	} {
		if !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "EscapeCharacter: needs Xen 4.18") {
			t.Errorf("%s on Xen %s: %v", name, h.Release(), err)
		}
	}
}

// What replaces the process has failed if it returns.
func TestAnExecThatReturnsHasNotSucceeded(t *testing.T) {
	h := openFake(t)
	calls := func() CallCount { return h.Calls()["libxl_vncviewer_exec"] }
	before := calls()
	if err := h.VncviewerExec(7, false); !errors.Is(err, libxl.ErrorFail) {
		t.Errorf("got %v", err)
	}
	if after := calls(); after.Made != before.Made+1 || after.Succeeded != before.Succeeded {
		t.Errorf("before %+v, after %+v", before, after)
	}
}
