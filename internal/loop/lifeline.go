package loop

import (
	"os"

	"golang.org/x/sys/unix"
)

// lifeline is a connection to xenstored that says nothing: it ends when the
// daemon does. libxl's own does not always tell: what reads it is a thread of
// libxenstore, which closes the socket without waking those who wait for a watch,
// so that an operation or a watch would wait for ever.
//
// It is -1, which poll passes over, where xenstored has no socket: in a domain of
// its own it cannot die alone.
func lifeline() int {
	path := os.Getenv("XENSTORED_PATH") // libxenstore's
	if path == "" {
		path = "/run/xenstored/socket"
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1
	}
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		unix.Close(fd)
		return -1
	}
	return fd
}

// cut tells whether the other end of the lifeline is gone.
func cut(fd *unix.PollFd) bool { return fd.Revents&(unix.POLLHUP|unix.POLLERR) != 0 }
