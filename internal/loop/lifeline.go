package loop

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/go-xenlight/xenlight/internal/xenstore"
)

// lifeline is a connection to xenstored that says nothing: it ends when the
// daemon does. libxl's own does not always tell: what reads it is a thread of
// libxenstore, which closes the socket without waking those who wait for a watch,
// so that an operation or a watch would wait for ever.
//
// It is -1, which poll passes over, where xenstored has no socket, or one that
// nobody listens at: in a domain of its own it cannot die alone. It waits for a
// daemon that is busy, whose queue is short, as libxenstore does.
func lifeline() (fd int, err error) {
	path := xenstore.Socket()
	if fd, err = unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return -1, fmt.Errorf("socket: %w", err)
	}
	err = unix.EINTR
	for err == unix.EINTR {
		err = unix.Connect(fd, &unix.SockaddrUnix{Name: path})
	}
	if err == nil {
		return fd, nil
	}
	unix.Close(fd)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ECONNREFUSED) {
		return -1, nil
	}
	return -1, fmt.Errorf("%s: %w", path, err)
}

// hangUp ends the lifeline.
func (l *Loop) hangUp() {
	if l.lifeline >= 0 {
		unix.Close(l.lifeline)
	}
}

// Broken is the error with which everything ends if the loop is broken. It looks at
// the lifeline itself: libxl may fail because xenstored has ended before the pump
// has noticed. The caller has entered the loop.
func (l *Loop) Broken() error {
	fds := []unix.PollFd{{Fd: int32(l.lifeline)}}
	if n, _ := unix.Poll(fds, 0); n > 0 && cut(&fds[0]) {
		l.breakdown(xenstoredEnded)
	}
	if l.isBroken() {
		return l.brokenErr
	}
	return nil
}

const xenstoredEnded = "xenstored has ended"

// cut tells whether the other end of the lifeline is gone.
func cut(fd *unix.PollFd) bool { return fd.Revents&(unix.POLLHUP|unix.POLLERR) != 0 }
