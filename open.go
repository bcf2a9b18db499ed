// Package xenlight drives Xen through libxl, its toolstack library, without cgo.
//
// Open finds out which Xen release runs, loads that release's libxenlight, and
// returns a Host. Its methods are libxl's functions: libxl_domain_pause is
// [Host.DomainPause]. Package libxl has the types: libxl_domain_config is
// libxl.DomainConfig. One binary serves every Xen release from 4.14 to 4.22.
//
// A Host may be used from any number of goroutines. Methods that take a
// [context.Context] can last; cancelling it aborts the operation inside libxl,
// and the method still returns only when libxl has ended it. What libxl has chosen
// for a device by then, such as its Devid, is copied back all the same. The others
// answer within the time of a few hypercalls and xenstore reads, unless their
// comment says what else they wait for. But while libxl builds a domain, or dumps
// its memory, all calls on that Host wait.
//
// # Errors
//
// What fails is an [*Error]: it says what was to be done with which domain, unwraps
// to libxl's code, so that errors.Is(err, libxl.ErrorInval) works, and carries what
// libxl has logged about it. An argument that cannot be is refused before libxl has
// seen it: the Error wraps a [*FieldError], which names the field. What the loaded
// release does not have, be it a function, a field or a value, is an error that
// wraps [ErrUnsupported], never ignored.
//
// The methods' comments name the codes that tell something. Where they name none it
// is libxl.ErrorFail, which libxl says of nearly all that fails, be it only that
// there is no such domain: [Error.Log] tells more. To list the devices of a domain
// that is not there is libxl.ErrorDomainNotfound.
//
// # What cannot be caught
//
// libxl is C in the program's own process. When it finds no memory, or an assertion
// of its own does not hold, it ends the process; no Go code can prevent that. What
// is known to lead there is refused before. If xenstored dies the process lives on,
// but the Host is broken: all its calls and watches end with [ErrBroken].
//
// # Beside libxl's functions
//
// [Host.Events] and [Host.DomainEvents] tell what happens to domains, and
// [Host.WaitShutdown] waits for the end of one. [Host.PrimaryConsoleAttach] and
// [Host.ConsoleAttach] read and write a console; [Host.PrimaryConsoleCommand],
// [Host.ConsoleCommand] and [Host.VncviewerCommand] are the programs that people
// use. [Host.Release], [Host.Library] and [Host.Calls] tell about the library.
// [Host.Close] ends it all. FUNCTIONS.md in the repository lists each C function
// with what it is in Go.
package xenlight

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"

	"github.com/go-xenlight/xenlight/internal/capi"
	"github.com/go-xenlight/xenlight/internal/loop"
)

// Host is a connection to the Xen host that the program runs on, in its control
// domain. Open makes one; Close it. The zero value is like a closed one.
type Host struct {
	lib     *capi.Lib
	loop    *loop.Loop
	events  *hub
	version sync.Mutex // libxl fills its version info without a lock
}

// Option changes how Open works.
type Option func(*options)

type options struct {
	library string
	logger  *slog.Logger
	step    func(Progress)
	system  capi.System
}

// WithLogger sends what libxl logs to a logger, at the levels that the logger
// has enabled when the Host is opened: libxl does not even write others. The
// records have libxl's source location and the domain as attributes "libxl" and
// "domid", where libxl names them; the lines of libxl's child processes are there
// too. Without a logger errors carry the lines that explain them all the same: see
// [Error.Log]. The logger may use the Host, and even close it.
func WithLogger(l *slog.Logger) Option {
	return func(o *options) {
		if l != nil {
			o.logger = l
		}
	}
}

// Progress is how far libxl has come with something that lasts, as the saving of
// a domain's memory: what it does in its own words, the steps done and to do, and
// the percentage. It does not say for which domain.
type Progress = loop.Progress

// WithProgress has a function called for libxl's messages of progress, which go
// to no logger. It is called from one goroutine, also the logger's, and what does
// not fit its queue is dropped. libxl tells of every step of five per cent or so.
func WithProgress(f func(Progress)) Option {
	return func(o *options) { o.step = f }
}

// WithLibrary names the file of the libxenlight to use. The release is read from
// the file. Without it, the environment variable XENLIGHT_LIBRARY names the
// file; and without that, it is the installed library of the hypervisor's
// release. That a library that is named fits the hypervisor is not checked.
func WithLibrary(path string) Option {
	return func(o *options) { o.library = path }
}

// WithUnprovenRelease accepts a hypervisor and a library that are newer than all
// releases that this version of xenlight knows, and drives them as the newest of
// those; [Host.Release] then says that one. A library whose structs differ in
// size from it is refused all the same, since memory would be corrupted, but a
// change of a field's meaning, or of a function's arguments, goes unnoticed: what
// works is for you to find out.
func WithUnprovenRelease() Option {
	return func(o *options) { o.system.Unproven = true }
}

// Open connects to the Xen host. It needs to run as root in the control domain.
// The errors wrap ErrNoXen, ErrPermission, ErrUnknownRelease or ErrNoLibrary and
// say what to do; an *Error says why libxl itself could not start.
//
// A process can load one libxenlight: all its Hosts use the same file. libxl's
// children are reaped when SIGCHLD arrives: a program that opens a Host must not
// ignore or reset that signal, nor wait for children that are not its own.
func Open(opts ...Option) (*Host, error) {
	o := options{
		library: os.Getenv("XENLIGHT_LIBRARY"),
		logger:  slog.New(slog.DiscardHandler),
		system:  capi.System{Root: "/"},
	}
	for _, f := range opts {
		f(&o)
	}
	lib, err := o.load()
	if err != nil {
		return nil, fmt.Errorf("xenlight: %w", err)
	}
	l, err := loop.New(lib, o.logger, o.step)
	var start *loop.StartError
	if errors.As(err, &start) {
		return nil, &Error{Op: "Open", Code: start.Code, Log: logLines(start.Log)}
	}
	if err != nil {
		return nil, fmt.Errorf("xenlight: %w", err)
	}
	// On Arm libxl asks for it in the midst of other calls, without a lock, and keeps
	// it half-filled meanwhile.
	_, _ = l.Call(l.Life(), func(c capi.Ctx) int32 { lib.GetVersionInfo(c); return 0 })
	h := &Host{lib: lib, loop: l}
	h.events = newHub(h.ListDomain, h.armEjects)
	hubs.Store(h.events, nil)
	context.AfterFunc(l.Life(), func() { hubs.Delete(h.events) })
	go h.events.run(l.Life(), l.Released())
	return h, nil
}

func (o *options) load() (*capi.Lib, error) {
	load := capi.Load
	if o.system.Unproven {
		load = capi.LoadUnproven
	}
	release, err := o.system.Hypervisor()
	if err != nil {
		return nil, err
	}
	if o.library != "" {
		return load(o.library)
	}
	path, err := o.system.Find(release)
	if err != nil {
		return nil, err
	}
	return load(path)
}

// Release is the Xen release of the loaded library, for example "4.17".
func (h *Host) Release() string { return h.lib.Release.String() }

// Library is the path of the loaded library.
func (h *Host) Library() string { return h.lib.Path }

// CallCount tells how often a function of libxl has been called, and how often it
// has succeeded.
type CallCount = capi.CallCount

// Calls tells how often each libxl function has been called in this process,
// by its C name, counted where C is entered. Functions that the binding knows but
// has not called are there with 0.
func (h *Host) Calls() map[string]CallCount { return h.lib.Calls() }

// Close aborts the operations that run, ends the watches, waits for them, and
// frees what the Host holds. Calls after it return ErrClosed; further Closes wait
// for the first and return what it did. A Host that is broken cannot be freed
// safely: Close then returns ErrBroken and leaves its memory and descriptors as
// they are.
func (h *Host) Close() error { return h.CloseContext(context.Background()) }

// CloseContext is Close with a deadline. If ctx is over first, the error says
// which operations have not ended. The Host is closed all the same: nothing new
// can begin, the operations remain aborted, and what the Host holds is freed when
// they end, for which another Close waits.
func (h *Host) CloseContext(ctx context.Context) error {
	if h == nil || h.loop == nil {
		return nil
	}
	err := h.loop.Close(ctx)
	if open := (*loop.OpenError)(nil); errors.As(err, &open) {
		return &Error{Op: "Close", Err: err}
	}
	<-h.events.done
	return err
}
