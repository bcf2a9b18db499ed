package xenlight

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/go-xenlight/xenlight/internal/abi"
	"github.com/go-xenlight/xenlight/internal/capi"
	"github.com/go-xenlight/xenlight/internal/xenstore"
	"github.com/go-xenlight/xenlight/libxl"
)

// ConsoleOption changes how the console's client works.
type ConsoleOption func(*consoleOptions)

type consoleOptions struct {
	notify *os.File
	escape string
}

// NotifyAttached has the client write a byte to a file when it is attached.
func NotifyAttached(f *os.File) ConsoleOption {
	return func(o *consoleOptions) { o.notify = f }
}

// EscapeCharacter is what ends the client, such as "^]" or "]", which both mean
// the default. Since Xen 4.18.
func EscapeCharacter(c string) ConsoleOption {
	return func(o *consoleOptions) { o.escape = c }
}

// ConsoleExec replaces the process by Xen's console client on one of the domain's
// consoles. It returns only if that fails, and may be called only if nothing that
// the process does matters any more. [Host.ConsoleCommand] starts the client beside
// it. It calls libxl_console_exec.
func (h *Host) ConsoleExec(domid libxl.Domid, number int, kind libxl.ConsoleType, opts ...ConsoleOption) error {
	f := h.beginDomain(capi.FnConsoleExec, domid)
	numberArg, kindArg := f.integer("number", number), enum(f, "kind", kind)
	notify, escape := f.consoleArgs(opts)
	return f.call(func(c capi.Ctx) int32 {
		return h.lib.ConsoleExec(c, uint32(domid), numberArg, kindArg, notify, escape)
	})
}

// PrimaryConsoleExec is [Host.ConsoleExec] on the domain's primary console. It
// calls libxl_primary_console_exec.
func (h *Host) PrimaryConsoleExec(domid libxl.Domid, opts ...ConsoleOption) error {
	f := h.beginDomain(capi.FnPrimaryConsoleExec, domid)
	notify, escape := f.consoleArgs(opts)
	return f.call(func(c capi.Ctx) int32 {
		return h.lib.PrimaryConsoleExec(c, uint32(domid), notify, escape)
	})
}

// escapeSince is the release that brought the escape character.
var escapeSince = abi.R(4, 18)

func (f *frame) consoleArgs(opts []ConsoleOption) (notify int32, escape capi.Ptr) {
	o := f.consoleOptions(opts)
	notify = -1
	if o.notify != nil && f.err == nil {
		// Not closed on exec, as the file's own descriptor is.
		fd, err := unix.Dup(int(o.notify.Fd()))
		if f.check(err) {
			notify = int32(fd)
			f.owned = append(f.owned, descriptor(fd))
		}
	}
	return notify, f.optionalStr("EscapeCharacter", o.escape)
}

func (f *frame) consoleOptions(opts []ConsoleOption) (o consoleOptions) {
	for _, set := range opts {
		set(&o)
	}
	if o.escape != "" && f.err == nil && f.h.lib.Release < escapeSince {
		f.check(&FieldError{Path: "EscapeCharacter", Problem: fmt.Sprintf("needs Xen %s", escapeSince), Needs: escapeSince})
	}
	return o
}

// descriptor is a file descriptor that a frame closes.
type descriptor int

func (d descriptor) Free() { unix.Close(int(d)) }

// ConsoleCommand is the command that [Host.ConsoleExec] becomes, Xen's console
// client, to be started with the standard streams that the caller gives it. If
// they are no terminal the client only tells what the guest writes; append
// "--interactive" to the command's Args, and it reads its input as well. It calls
// nothing of libxl; libxl_console_exec runs the same program.
func (h *Host) ConsoleCommand(domid libxl.Domid, number int, kind libxl.ConsoleType, opts ...ConsoleOption) (*exec.Cmd, error) {
	f := h.beginDomain(capi.FnConsoleExec, domid)
	defer f.leave()
	f.op = "ConsoleCommand"
	f.integer("number", number)
	enum(f, "kind", kind)
	o := f.consoleOptions(opts)
	if f.err != nil {
		return nil, f.because(f.err)
	}
	program, err := h.program("xenconsole")
	if err != nil {
		return nil, f.because(err)
	}
	cmd := exec.Command(program, strconv.Itoa(int(domid)), "--num", strconv.Itoa(number), "--type", kind.String())
	if o.notify != nil {
		cmd.ExtraFiles = []*os.File{o.notify}
		cmd.Args = append(cmd.Args, "--start-notify-fd", "3")
	}
	if o.escape != "" {
		cmd.Args = append(cmd.Args, "--escape", o.escape)
	}
	return cmd, nil
}

// PrimaryConsoleCommand is [Host.ConsoleCommand] on the domain's primary console,
// which it finds as libxl_primary_console_exec does: it calls libxl_get_stubdom_id,
// libxl_primary_console_get_tty and libxl_console_get_tty.
func (h *Host) PrimaryConsoleCommand(domid libxl.Domid, opts ...ConsoleOption) (*exec.Cmd, error) {
	stub, err := h.GetStubdomId(domid)
	if err != nil {
		return nil, err
	}
	if stub != 0 {
		const serialOfStub = 3
		return h.ConsoleCommand(stub, serialOfStub, libxl.ConsoleTypePv, opts...)
	}
	primary, err := h.PrimaryConsoleGetTty(domid)
	if err != nil {
		return nil, err
	}
	kind := libxl.ConsoleTypeSerial
	if tty, err := h.ConsoleGetTty(domid, 0, libxl.ConsoleTypePv); err == nil && tty == primary {
		kind = libxl.ConsoleTypePv
	}
	return h.ConsoleCommand(domid, 0, kind, opts...)
}

// program finds one of Xen's programs, which are not in PATH. Where they are was
// decided when Xen was built.
func (h *Host) program(name string) (string, error) {
	for _, dir := range []string{"/usr/lib/xen-" + h.Release() + "/bin", "/usr/lib/xen/bin", "/usr/lib64/xen/bin",
		"/usr/libexec/xen/bin", "/usr/local/lib/xen/bin", "/usr/local/libexec/xen/bin"} {
		path := filepath.Join(dir, name)
		if unix.Access(path, unix.X_OK) == nil {
			return path, nil
		}
	}
	return exec.LookPath(name)
}

// Console is an open console of a domain, an [io.ReadWriteCloser]. Its reads and
// writes can have deadlines: those of its File.
type Console struct{ file *os.File }

// ConsoleAttach opens one of the domain's consoles without a client: what is read
// is what the guest writes, byte for byte. Reading ends with io.EOF when the
// domain is gone. A console has one stream of output, which all readers share. It
// opens what [Host.ConsoleGetTty] names, and calls libxl_console_get_tty.
func (h *Host) ConsoleAttach(domid libxl.Domid, number int, kind libxl.ConsoleType) (*Console, error) {
	tty, err := h.ConsoleGetTty(domid, number, kind)
	if err != nil {
		return nil, err
	}
	return openConsole("ConsoleAttach", domid, tty)
}

// PrimaryConsoleAttach is [Host.ConsoleAttach] to the domain's primary console. It
// calls libxl_primary_console_get_tty.
func (h *Host) PrimaryConsoleAttach(domid libxl.Domid) (*Console, error) {
	tty, err := h.PrimaryConsoleGetTty(domid)
	if err != nil {
		return nil, err
	}
	return openConsole("PrimaryConsoleAttach", domid, tty)
}

func openConsole(op string, domid libxl.Domid, tty string) (*Console, error) {
	file, err := os.OpenFile(tty, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, &Error{Op: op, Domid: &domid, Err: err}
	}
	return &Console{file}, nil
}

// Read reads what the guest writes.
func (c *Console) Read(p []byte) (int, error) {
	n, err := c.file.Read(p)
	if errors.Is(err, unix.EIO) { // the other end of the terminal is closed
		err = io.EOF
	}
	return n, err
}

// Write writes what the guest reads.
func (c *Console) Write(p []byte) (int, error) { return c.file.Write(p) }

// File is the terminal itself, for its deadlines and settings.
func (c *Console) File() *os.File { return c.file }

// Close closes the console; the domain does not notice.
func (c *Console) Close() error { return c.file.Close() }

// VncviewerExec replaces the process by the program vncviewer, or the one that the
// environment variable VNCVIEWER names, on the screen of a domain with VNC. With
// autopass the viewer gets the screen's password on its standard input. It
// returns only if that fails; [Host.VncviewerCommand] starts the viewer beside the
// process. It calls libxl_vncviewer_exec.
func (h *Host) VncviewerExec(domid libxl.Domid, autopass bool) error {
	f := h.beginDomain(capi.FnVncviewerExec, domid)
	return f.call(func(c capi.Ctx) int32 { return h.lib.VncviewerExec(c, uint32(domid), autopass) })
}

// VncviewerCommand is the command that [Host.VncviewerExec] becomes. The error
// wraps fs.ErrNotExist if the domain has no VNC. It reads xenstore as
// libxl_vncviewer_exec does, and calls nothing of libxl.
func (h *Host) VncviewerCommand(domid libxl.Domid, autopass bool) (*exec.Cmd, error) {
	f := h.beginDomain(capi.FnVncviewerExec, domid)
	defer f.leave()
	f.op = "VncviewerCommand"
	if f.err != nil {
		return nil, f.because(f.err)
	}
	key := func(name string) (string, error) {
		return xenstore.Read(fmt.Sprintf("/local/domain/%d/console/%s", domid, name))
	}
	text, err := key("vnc-port")
	if err != nil {
		return nil, f.because(err)
	}
	const firstPort = 5900
	port, err := strconv.Atoi(text)
	if err != nil {
		return nil, f.because(err)
	}
	address, err := key("vnc-listen")
	if errors.Is(err, fs.ErrNotExist) {
		address, err = "localhost", nil
	}
	if err != nil {
		return nil, f.because(err)
	}
	program := os.Getenv("VNCVIEWER")
	if program == "" {
		program = "vncviewer"
	}
	cmd := exec.Command(program, fmt.Sprintf("%s:%d", address, port-firstPort))
	if autopass {
		password, err := key("vnc-pass")
		switch {
		case err == nil:
			cmd.Stdin, cmd.Args = strings.NewReader(password), append(cmd.Args, "-autopass")
		case !errors.Is(err, fs.ErrNotExist):
			return nil, f.because(err)
		}
	}
	return cmd, nil
}
