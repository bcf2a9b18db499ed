//go:build linux

package xenbox

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"
)

// guardCommand is the hidden command that runs a tool which has children of
// its own. Pdeathsig reaches the tool only: the guard ends the whole family
// when xenbox, which holds the other end of the guard's stdin, is gone.
const guardCommand = "guard"

// guarded makes a command that runs under a guard. end tells the guard to
// end it; it must be called in any case.
func guarded(tool string, args ...string) (cmd *exec.Cmd, end func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	cmd = exec.Command(self, append([]string{guardCommand, tool}, args...)...)
	cmd.Stdin = r
	return cmd, func() { w.Close(); r.Close() }, nil
}

// guardMain is the guard.
func guardMain(args []string) int {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	p, err := startProcess(cmd)
	signal.Ignore(endSignals...) // not before: the tool would inherit it
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return ExitFailure
	}
	go func() {
		io.Copy(io.Discard, os.Stdin)
		p.stop(syscall.SIGTERM, 10*time.Second)
	}()
	var ee *exec.ExitError
	switch err := p.wait(); {
	case err == nil:
		return 0
	case errors.As(err, &ee) && ee.Exited():
		return ee.ExitCode()
	}
	p.stop(syscall.SIGKILL, 0)
	return ExitFailure
}
