package xenlight

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// asLibxl does with a descriptor what libxl does: it makes it block, and works.
// It does not set it back, as when an operation fails early.
func asLibxl(t *testing.T, s *stream, work func(*os.File)) {
	t.Helper()
	fd, err := unix.Dup(s.fd)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "libxl")
	defer f.Close()
	work(f)
}

func write(t *testing.T, s *stream, text string) {
	t.Helper()
	asLibxl(t, s, func(f *os.File) {
		if _, err := f.WriteString(text); err != nil {
			t.Error(err)
		}
	})
}

func readN(t *testing.T, s *stream, n int) string {
	t.Helper()
	buf := make([]byte, n)
	asLibxl(t, s, func(f *os.File) {
		if _, err := io.ReadFull(f, buf); err != nil {
			t.Error(err)
		}
	})
	return string(buf)
}

func mayBlock(t *testing.T, c syscall.Conn) bool {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var flags int
	raw.Control(func(fd uintptr) { flags, err = unix.FcntlInt(fd, unix.F_GETFL, 0) })
	if err != nil {
		t.Fatal(err)
	}
	return flags&unix.O_NONBLOCK == 0
}

// connections are two ends of each kind of thing that has a descriptor.
func connections(t *testing.T) map[string][2]io.ReadWriteCloser {
	t.Helper()
	pairs := map[string][2]io.ReadWriteCloser{}
	for network, address := range map[string]string{"tcp": "127.0.0.1:0", "unix": filepath.Join(t.TempDir(), "socket")} {
		l, err := net.Listen(network, address)
		if err != nil {
			t.Fatal(err)
		}
		a, err := net.Dial(network, l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		b, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		pairs[network] = [2]io.ReadWriteCloser{a, b}
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	pairs["pipe"] = [2]io.ReadWriteCloser{w, r}
	t.Cleanup(func() {
		for _, p := range pairs {
			p[0].Close()
			p[1].Close()
		}
	})
	return pairs
}

func TestLibxlWritesToAnything(t *testing.T) {
	const text = "a saved domain"
	check := func(name string, w io.Writer, got func() string) {
		s, err := output(t.Context(), "w", w)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		write(t, s, text)
		if err := s.close(); err != nil {
			t.Errorf("%s: close: %v", name, err)
		}
		if got := got(); got != text {
			t.Errorf("%s: got %q", name, got)
		}
		if c, ok := w.(*net.TCPConn); ok && mayBlock(t, c) {
			t.Errorf("%s: it blocks afterwards", name)
		}
	}
	var b bytes.Buffer
	check("buffer", &b, b.String)
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	check("file", f, func() string { b, _ := os.ReadFile(f.Name()); return string(b) })
	for name, pair := range connections(t) {
		check(name, pair[0], func() string {
			buf := make([]byte, len(text))
			io.ReadFull(pair[1], buf)
			return string(buf)
		})
	}
}

func TestLibxlReadsFromAnythingAndNoByteTooMany(t *testing.T) {
	const text, rest = "a saved domain", "what follows"
	for name, pair := range connections(t) {
		io.WriteString(pair[0], text+rest)
		s, err := input("r", pair[1])
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := readN(t, s, len(text)); got != text {
			t.Errorf("%s: got %q", name, got)
		}
		if err := s.close(); err != nil {
			t.Errorf("%s: close: %v", name, err)
		}
		if mayBlock(t, pair[1].(syscall.Conn)) {
			t.Errorf("%s: it blocks afterwards", name)
		}
		buf := make([]byte, len(rest))
		if io.ReadFull(pair[1], buf); string(buf) != rest {
			t.Errorf("%s: then %q", name, buf)
		}
	}
	s, err := input("r", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if got := readN(t, s, len(text)); got != text {
		t.Errorf("reader: got %q", got)
	}
	if err := s.close(); err != nil {
		t.Error(err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error)  { return 0, f.err }
func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestStreamsTellWhatTheUsersSideSays(t *testing.T) {
	mine := errors.New("mine")
	s, err := input("r", failing{mine})
	if err != nil {
		t.Fatal(err)
	}
	asLibxl(t, s, func(f *os.File) {
		if b, err := io.ReadAll(f); err != nil || len(b) != 0 {
			t.Errorf("got %q, %v", b, err)
		}
	})
	if err := s.close(); !errors.Is(err, mine) {
		t.Errorf("close: %v", err)
	}
	if s, err = output(t.Context(), "w", failing{mine}); err != nil {
		t.Fatal(err)
	}
	write(t, s, "x")
	if err := s.close(); !errors.Is(err, mine) {
		t.Errorf("close: %v", err)
	}
}

// stalled is a writer whose peer does not read.
type stalled chan struct{}

func (s stalled) Write(b []byte) (int, error) { <-s; return len(b), nil }

func TestAStalledWriterDoesNotHoldLibxlAfterCancellation(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	w := make(stalled)
	defer close(w)
	s, err := output(ctx, "w", w)
	if err != nil {
		t.Fatal(err)
	}
	asLibxl(t, s, func(f *os.File) {
		f.Write(make([]byte, pipeSize/2))
		cancel()
		// More than the pipe holds: it would block if nobody read.
		if _, err := f.Write(make([]byte, 4*pipeSize)); err != nil {
			t.Error(err)
		}
	})
	if err := s.close(); !errors.Is(err, context.Canceled) {
		t.Errorf("close: %v", err)
	}
}

func TestBadStreamsAreFieldErrors(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	_, err1 := output(t.Context(), "w", r)
	_, err2 := input("w", w)
	r.Close()
	w.Close()
	_, err3 := output(t.Context(), "w", w)
	_, err4 := input("w", nil)
	_, err5 := output(t.Context(), "w", nil)
	_, err6 := output(t.Context(), "w", (*os.File)(nil))
	for i, err := range []error{err1, err2, err3, err4, err5, err6} {
		var field *FieldError
		if !errors.As(err, &field) || field.Path != "w" {
			t.Errorf("%d: got %v", i+1, err)
		}
	}
}
