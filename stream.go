package xenlight

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/go-xenlight/xenlight/internal/loop"
)

// stream is a descriptor that libxl may use until close. libxl wants a blocking
// one, and for that it changes the open file itself, which all descriptors of it
// share.
type stream struct {
	fd      int // -1 once it is closed
	flags   int // to be restored; -1 if the open file is ours alone
	written bool
	// finish waits for what is still on its way after fd is closed, and returns
	// what went wrong there.
	finish  func() error
	release func() // of the context that can end it
}

// output is the descriptor of what libxl is to write to until the call ends.
func (f *frame) output(ctx context.Context, name string, w io.Writer) int32 {
	if f.err != nil {
		return -1
	}
	ctx, release := f.h.loop.Bind(ctx)
	s, err := output(ctx, name, w)
	if err != nil {
		release()
		f.check(err)
		return -1
	}
	s.written, s.release = true, release
	f.keep(s, nil, nil)
	return int32(s.fd)
}

// input is the descriptor of what libxl is to read.
func (f *frame) input(name string, r io.Reader) int32 {
	if f.err != nil {
		return -1
	}
	s, err := input(name, r)
	if !f.check(err) {
		return -1
	}
	f.keep(s, nil, nil)
	return int32(s.fd)
}

// drain closes the streams of an operation that has ended, before it is said to
// have: it has failed, too, if not all has reached the user's writer.
func (f *frame) drain(out loop.Outcome) loop.Outcome {
	for _, o := range f.owned {
		if s, ok := o.(*stream); ok {
			if err := s.close(); out.Err == nil && (s.written || out.Code != 0) {
				out.Err = err
			}
		}
	}
	return out
}

// Free closes the stream of an operation that was never begun.
func (s *stream) Free() { s.close() }

// close ends the stream after the operation. Its error is one of the user's
// writer or reader, or says that not all has reached it.
func (s *stream) close() error {
	if s.fd < 0 {
		return nil
	}
	if s.flags >= 0 {
		if now, err := unix.FcntlInt(uintptr(s.fd), unix.F_GETFL, 0); err == nil && now != s.flags {
			unix.FcntlInt(uintptr(s.fd), unix.F_SETFL, s.flags)
		}
	}
	err := unix.Close(s.fd)
	s.fd = -1
	if s.finish != nil {
		err = s.finish()
	}
	if s.release != nil {
		s.release()
	}
	return err
}

// output makes a stream of what libxl is to write to, which is the argument of
// that name. What is stored, a file or block device, libxl writes to itself. To
// anything else a goroutine copies from a pipe: libxl writes with its context
// locked, and a peer that does not read must not stop the whole Host. When ctx is
// over, what still comes is thrown away for the same reason, and close does not
// wait for a Write that lasts.
func output(ctx context.Context, name string, w io.Writer) (*stream, error) {
	switch s, stored, err := duplicate(name, w, unix.O_WRONLY); {
	case err != nil:
		return nil, err
	case stored:
		return s, nil
	case s != nil:
		unix.Close(s.fd)
	}
	r, fd, err := pipeFrom()
	if err != nil {
		return nil, err
	}
	from := struct{ io.Reader }{r}
	stop := context.AfterFunc(ctx, func() { io.Copy(io.Discard, from) })
	copied := make(chan error, 1)
	go func() {
		_, err := io.Copy(struct{ io.Writer }{w}, from)
		r.Close() // libxl's next write fails
		copied <- err
	}()
	return &stream{fd: fd, flags: -1, finish: func() (err error) {
		select {
		case err = <-copied:
		case <-ctx.Done():
		}
		if !stop() {
			err = context.Cause(ctx)
		}
		return because(name, err)
	}}, nil
}

// input makes a stream of what libxl is to read. From a file, pipe or connection
// libxl reads itself, and no byte too many. From any other reader a goroutine
// copies to a pipe; it may read further than libxl does.
func input(name string, r io.Reader) (*stream, error) {
	if s, _, err := duplicate(name, r, unix.O_RDONLY); s != nil || err != nil {
		return s, err
	}
	fd, w, err := pipeTo()
	if err != nil {
		return nil, err
	}
	failed := make(chan error, 1)
	go func() {
		defer w.Close()
		if _, err := io.Copy(struct{ io.Writer }{w}, r); err != nil && !errors.Is(err, unix.EPIPE) && !errors.Is(err, os.ErrClosed) {
			failed <- err
		}
	}()
	return &stream{fd: fd, flags: -1, finish: func() error {
		w.Close() // the goroutine ends when Read does
		select {
		case err := <-failed:
			return because(name, err)
		default:
			return nil
		}
	}}, nil
}

func because(name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", name, err)
}

// duplicate makes a stream of the descriptor that x has; nil if it has none.
// Stored says that it is a file or block device, which never waits for a peer.
func duplicate(name string, x any, access int) (s *stream, stored bool, err error) {
	if x == nil {
		return nil, false, &FieldError{Path: name, Problem: "is nil"}
	}
	conn, ok := x.(syscall.Conn)
	if !ok {
		return nil, false, nil
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, false, &FieldError{Path: name, Problem: err.Error()}
	}
	fd := -1
	var fail error
	err = raw.Control(func(original uintptr) {
		fd, fail = unix.FcntlInt(original, unix.F_DUPFD_CLOEXEC, 0)
	})
	if err = errors.Join(err, fail); err != nil {
		return nil, false, &FieldError{Path: name, Problem: err.Error()}
	}
	var stat unix.Stat_t
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err == nil {
		err = unix.Fstat(fd, &stat)
	}
	if mode := flags & unix.O_ACCMODE; err == nil && mode != access && mode != unix.O_RDWR {
		err = &FieldError{Path: name, Problem: map[int]string{
			unix.O_RDONLY: "is not open for reading", unix.O_WRONLY: "is not open for writing"}[access]}
	}
	if err != nil {
		unix.Close(fd)
		return nil, false, err
	}
	kind := stat.Mode & unix.S_IFMT
	return &stream{fd: fd, flags: flags}, kind == unix.S_IFREG || kind == unix.S_IFBLK, nil
}

// pipeSize lets libxl go on for a while when the other side is slow.
const pipeSize = 1 << 20

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
