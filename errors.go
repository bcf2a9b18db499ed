package xenlight

import (
	"fmt"
	"log/slog"
	"strings"

	"github.com/go-xenlight/xenlight/internal/abi"
	"github.com/go-xenlight/xenlight/internal/capi"
	"github.com/go-xenlight/xenlight/internal/loop"
	"github.com/go-xenlight/xenlight/libxl"
)

// The reasons why Open fails, for errors.Is.
var (
	// ErrNoXen: this system is not the control domain of a Xen host.
	ErrNoXen = capi.ErrNoXen
	// ErrPermission: the process may not manage Xen; dom0's root may.
	ErrPermission = capi.ErrPermission
	// ErrUnknownRelease: the hypervisor, or the library that was asked for, is of
	// a Xen release that this version of the package does not know.
	ErrUnknownRelease = capi.ErrUnknownRelease
	// ErrNoLibrary: no usable libxenlight of the wanted release is installed.
	ErrNoLibrary = capi.ErrNoLibrary
)

var (
	// ErrClosed is the error of every call on a closed Host, and of operations
	// that Close has aborted.
	ErrClosed = loop.ErrClosed
	// ErrBroken is the error of every call on a Host after libxl has reported that
	// it can no longer tell what happens on the host. Close the Host and open
	// another one.
	ErrBroken = loop.ErrBroken
	// ErrUnsupported is what errors wrap that come from a field, a value or a
	// function which the loaded Xen release does not have.
	ErrUnsupported = abi.ErrUnsupported
)

// FieldError says which field of an argument is wrong, before libxl has seen it:
// BInfo.Disks[2].PdevPath: contains NUL.
type FieldError = abi.FieldError

// LogLine is a line that libxl has logged.
type LogLine struct {
	Level  slog.Level
	Source string // libxl's file, line and function, if it names them
	Text   string
}

// String is the source, if the line names one, and the text.
func (l LogLine) String() string {
	if l.Source == "" {
		return l.Text
	}
	return l.Source + ": " + l.Text
}

// Error is the failure of one call. It unwraps to libxl's code, so that
// errors.Is(err, libxl.ErrorInval) tells what is the matter, and to the reason
// for which the call was aborted or never made, if there is one: a context's
// error, ErrClosed, ErrBroken, or a *FieldError.
type Error struct {
	Op    string       // the method: DomainPause
	Domid *libxl.Domid // the domain that it was about, if any
	Name  string       // the name of a domain that was to be created
	Code  libxl.Error  // what libxl has returned; 0 if it was not asked
	// Log has the warnings and errors that libxl logged meanwhile and that do not
	// name another domain. With several calls at once on one Host, lines that name
	// no domain may belong to another call, and libxl itself may mix two lines.
	Log []LogLine
	Err error // the reason other than libxl's code
}

// Error is one sentence: what was to be done, the reason, libxl's code, and the
// first error that libxl has logged.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	switch {
	case e.Name != "":
		fmt.Fprintf(&b, " of domain %q", e.Name)
	case e.Domid != nil:
		fmt.Fprintf(&b, " of domain %d", *e.Domid)
	}
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	if e.Code != 0 {
		fmt.Fprintf(&b, ": %v", e.Code)
	}
	// The first error is the cause; what follows tells how it went up the stack.
	for _, l := range e.Log {
		if l.Level >= slog.LevelError {
			fmt.Fprintf(&b, ": %s", l.Text)
			break
		}
	}
	return b.String()
}

// Unwrap gives libxl's code and the reason.
func (e *Error) Unwrap() []error {
	var errs []error
	if e.Code != 0 {
		errs = append(errs, e.Code)
	}
	if e.Err != nil {
		errs = append(errs, e.Err)
	}
	return errs
}

func logLines(records []loop.Record) []LogLine {
	lines := make([]LogLine, len(records))
	for i, r := range records {
		lines[i] = LogLine{r.Level, r.Source, r.Text}
	}
	return lines
}
