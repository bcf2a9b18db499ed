//go:build linux

package xenbox

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Exit statuses of xenbox that are not the program's own.
const (
	ExitFailure  = 125 // xenbox itself failed; the message on stderr says how
	ExitCannot   = 126 // the program exists in dom0 but can't be run
	ExitNotFound = 127 // there is no such program in dom0
	exitSignal   = 128 // plus the number of the signal that ended the program
)

// A UsageError is a wrong command line.
type UsageError struct{ Msg string }

func (e *UsageError) Error() string { return e.Msg }

func usageErrorf(format string, args ...any) error {
	return &UsageError{Msg: fmt.Sprintf(format, args...)}
}

// A MissingToolError says that programs of the host are missing.
type MissingToolError struct {
	Tools    []string // the programs
	Packages []string // the Debian packages that carry them
}

func (e *MissingToolError) Error() string {
	return fmt.Sprintf("missing on this machine: %s; on Debian or Ubuntu install them with: apt-get install %s",
		strings.Join(e.Tools, ", "), strings.Join(e.Packages, " "))
}

// A BuildError says that the image could not be built.
type BuildError struct {
	Step string // what was being done
	Log  string // the end of the tool's own output, if any
	Err  error
}

func (e *BuildError) Error() string {
	s := fmt.Sprintf("building the image: %s: %v", e.Step, e.Err)
	if e.Log != "" {
		s += "\n" + e.Log
	}
	return s
}

func (e *BuildError) Unwrap() error { return e.Err }

// A PanicError says that the hypervisor or dom0's kernel panicked.
type PanicError struct {
	Hypervisor bool   // Xen itself, else dom0's kernel
	Line       string // the line of the console that says so
}

func (e *PanicError) Error() string {
	if e.Hypervisor {
		return fmt.Sprintf("the hypervisor panicked (%q): see the console; if this came while booting, try another -accel or -suite", e.Line)
	}
	return fmt.Sprintf("dom0's kernel panicked (%q): see the console; if this came while booting, rebuild the image with: xenbox build -force", e.Line)
}

// A QEMUExitError says that QEMU ended before the program did.
type QEMUExitError struct {
	State  string // how it ended
	Stderr string // the end of what it wrote
}

func (e *QEMUExitError) Error() string {
	s := fmt.Sprintf("QEMU ended early (%s)", e.State)
	if t := strings.TrimSpace(e.Stderr); t != "" {
		s += ": " + t
	} else {
		s += ": the machine was powered off or reset from inside, or QEMU was killed; see the console"
	}
	return s
}

// A HangError says that a deadline passed.
type HangError struct {
	Phase string        // what was waited for
	After time.Duration // how long
	Hint  string        // what to do
}

func (e *HangError) Error() string {
	return fmt.Sprintf("%s within %v: %s", e.Phase, e.After, e.Hint)
}

// An InterruptError says that a signal to xenbox ended the run.
type InterruptError struct{ Signal int }

func (e *InterruptError) Error() string { return fmt.Sprintf("interrupted by signal %d", e.Signal) }

// exitStatus is the status that xenbox exits with after err.
func exitStatus(err error) int {
	var ie *InterruptError
	if errors.As(err, &ie) {
		return exitSignal + ie.Signal
	}
	return ExitFailure
}
