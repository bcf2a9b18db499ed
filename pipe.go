package xenlight

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// pipeSize lets libxl go on for a while when the other side is slow.
const pipeSize = 1 << 20

// unread is how many bytes of a pipe nobody has read yet. Its error is
// os.ErrClosed if our end is closed.
func unread(pipe *os.File) (n int, err error) {
	return control(pipe, func(fd int) (int, error) { return unix.IoctlGetInt(fd, unix.TIOCINQ) })
}

// control calls f with the descriptor, which is not closed meanwhile, and does not
// wait.
func control(pipe *os.File, f func(fd int) (int, error)) (n int, err error) {
	raw, err := pipe.SyscallConn()
	if err != nil {
		return 0, err
	}
	if raw.Control(func(fd uintptr) { n, err = f(int(fd)) }) != nil {
		return 0, os.ErrClosed
	}
	return n, err
}

// fromLibxl is what an operation writes to a pipe. The pipe itself may not end with
// it: each child that libxl forks meanwhile for something else has a copy of the
// other end. A deadline says that the operation has ended, and its helper with it:
// then all is in the pipe, and the end is where that is empty.
type fromLibxl struct{ pipe *os.File }

func (f fromLibxl) Read(b []byte) (int, error) {
	n, err := f.pipe.Read(b)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return n, err
	}
	n, err = control(f.pipe, func(fd int) (int, error) { return unix.Read(fd, b) })
	switch {
	case err == nil && n > 0:
		return n, nil
	case err == nil, errors.Is(err, unix.EAGAIN):
		return 0, io.EOF
	}
	return 0, err
}

// pipeFrom makes a pipe of which we read, pipeTo one to which we write. libxl's
// end blocks; ours waits in Go's poller.
func pipeFrom() (r *os.File, fd int, err error) {
	fds, err := pipe(0)
	if err != nil {
		return nil, -1, err
	}
	return os.NewFile(uintptr(fds[0]), "pipe from libxl"), fds[1], nil
}

func pipeTo() (fd int, w *os.File, err error) {
	fds, err := pipe(1)
	if err != nil {
		return -1, nil, err
	}
	return fds[0], os.NewFile(uintptr(fds[1]), "pipe to libxl"), nil
}

func pipe(ours int) (fds [2]int, err error) {
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return fds, fmt.Errorf("pipe: %w", err)
	}
	unix.FcntlInt(uintptr(fds[0]), unix.F_SETPIPE_SZ, pipeSize) // a smaller one does too
	if err := unix.SetNonblock(fds[ours], true); err != nil {
		unix.Close(fds[0])
		unix.Close(fds[1])
		return fds, fmt.Errorf("pipe: %w", err)
	}
	return fds, nil
}
