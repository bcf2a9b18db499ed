package loop

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestABusyXenstoredIsWaitedFor(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "socket")
	t.Setenv("XENSTORED_PATH", socket)
	if fd, err := lifeline(); fd != -1 || err != nil {
		t.Errorf("no daemon: %d, %v", fd, err)
	}
	// As xenstored listens: two may wait.
	listener, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(unix.Bind(listener, &unix.SockaddrUnix{Name: socket}), unix.Listen(listener, 1)); err != nil {
		t.Fatal(err)
	}
	fds := make(chan int)
	const n = 6
	for range n {
		go func() {
			fd, err := lifeline()
			if fd < 0 || err != nil {
				t.Errorf("%d, %v", fd, err)
			}
			fds <- fd
		}()
	}
	time.Sleep(20 * time.Millisecond)
	for range n {
		daemon, _, err := unix.Accept(listener)
		if err != nil {
			t.Fatal(err)
		}
		unix.Close(daemon)
	}
	for range n {
		unix.Close(<-fds)
	}
	unix.Close(listener)
	if fd, err := lifeline(); fd != -1 || err != nil {
		t.Errorf("nobody listens: %d, %v", fd, err)
	}
	t.Setenv("XENSTORED_PATH", t.TempDir()+"/"+strings.Repeat("x", 200))
	if fd, err := lifeline(); fd != -1 || err == nil {
		t.Errorf("no such name can be: %d, %v", fd, err)
	}
}
