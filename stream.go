package xenlight

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/go-xenlight/xenlight/internal/capi"
	"github.com/go-xenlight/xenlight/internal/loop"
	"github.com/go-xenlight/xenlight/libxl"
)

// libxl, in all releases, ends the process if the saving or restoring of a domain
// fails, or is aborted, before its helper process has been started (it calls the
// helper's completion, which is not set yet). So libxl gets a pipe that takes all
// of a stream's head at once, or has it already, and nothing is aborted before
// the helper is there.

// headSize is how much of a stream libxl itself writes or reads before it starts
// its helper: the stream's header, and that of the record which is the helper's.
const headSize = 16 + 8

// streams are those of one operation.
type streams struct {
	ctx    context.Context // of the operation in libxl; only aborted once it can stand that
	cancel context.CancelCauseFunc
	all    []*stream
	// taken is for one of two: who gives the operation to libxl, and who no longer
	// wants it.
	taken   atomic.Bool
	refused bool // libxl was not given it
}

// stream is one end of a pipe, which libxl gets.
type stream struct {
	fd      int // -1 once it is closed
	written bool
	begun   chan struct{} // closed when libxl's helper has it
	// finish waits for what is still on its way after fd is closed, and returns
	// what went wrong there.
	finish func() error
}

// newStreams prepares an operation.
func newStreams() *streams {
	s := &streams{}
	s.ctx, s.cancel = context.WithCancelCause(loop.Background())
	return s
}

// guard has an operation begin only if nobody has cancelled it before.
func (s *streams) guard(start func(capi.Ctx, *capi.AsyncopHow) int32) func(capi.Ctx, *capi.AsyncopHow) int32 {
	return func(c capi.Ctx, how *capi.AsyncopHow) int32 {
		if s.refused = s.taken.Swap(true); s.refused {
			return int32(libxl.ErrorAborted)
		}
		return start(c, how)
	}
}

// hold returns the operation's context, which is over when ctx is, but some time
// after that once libxl has the operation.
func (s *streams) hold(ctx context.Context) context.Context {
	if ctx.Err() != nil {
		return ctx
	}
	go func() {
		select {
		case <-ctx.Done():
			if !s.taken.Swap(true) {
				s.cancel(loop.Reason(ctx))
			}
		case <-s.ctx.Done():
		}
		for _, one := range s.all {
			select {
			case <-one.begun:
			case <-s.ctx.Done():
			}
		}
		s.cancel(loop.Reason(ctx))
	}()
	return s.ctx
}

// drain closes the streams of an operation that has ended, before it is said to
// have: it has failed, too, if not all has reached the user's writer.
func (s *streams) drain(out loop.Outcome) loop.Outcome {
	if s.refused {
		out = loop.Outcome{Err: loop.Reason(s.ctx)}
	}
	for _, one := range s.all {
		if err := one.close(); out.Err == nil && (one.written || out.Code != 0) {
			out.Err = err
		}
	}
	s.cancel(nil)
	return out
}

// streamKind is what a stream has.
type streamKind int

const (
	saved        streamKind = iota // a domain
	checkpointed                   // a domain, again and again, without end
	colo                           // the same, by turns with what comes back
	back                           // what COLO's other side answers
)

// output is the descriptor of what libxl is to write to.
func (f *frame) output(ctx context.Context, name string, w io.Writer, kind streamKind) int32 {
	return f.stream(func(s *streams) (*stream, error) { return s.output(ctx, name, w, kind) })
}

// input is the descriptor of what libxl is to read. It waits for the head of the
// stream.
func (f *frame) input(ctx context.Context, name string, r io.Reader, kind streamKind) int32 {
	return f.stream(func(s *streams) (*stream, error) {
		ctx, release := f.h.loop.Bind(ctx)
		defer release()
		return s.input(ctx, name, r, kind)
	})
}

func (f *frame) stream(open func(*streams) (*stream, error)) int32 {
	if f.err != nil {
		return -1
	}
	if f.streams == nil {
		f.streams = newStreams()
	}
	s, err := open(f.streams)
	if !f.check(err) {
		return -1
	}
	f.streams.all = append(f.streams.all, s)
	f.keep(s, nil, nil)
	return int32(s.fd)
}

// Free closes the stream of an operation that was never begun.
func (s *stream) Free() { s.close() }

// close ends the stream after the operation. Its error is one of the user's
// writer or reader, or says that not all has reached it.
func (s *stream) close() error {
	if s.fd < 0 {
		return nil
	}
	unix.Close(s.fd)
	s.fd = -1
	return s.finish()
}

// output makes a stream that goes to w, which is the argument of that name. When
// the operation is aborted or w fails, what still comes is thrown away, for libxl
// must not wait for a peer that does not read, and close does not wait for a
// Write that lasts.
func (s *streams) output(ctx context.Context, name string, w io.Writer, kind streamKind) (*stream, error) {
	if err := checkOpen(name, w, unix.O_WRONLY); err != nil {
		return nil, err
	}
	r, fd, err := pipeFrom()
	if err != nil {
		return nil, err
	}
	from, to := fromLibxl{r}, toUser{w, name, []context.Context{ctx, s.ctx}}
	stop := context.AfterFunc(s.ctx, func() { io.Copy(io.Discard, from) })
	begun, copied := make(chan struct{}), make(chan error, 1)
	go func() {
		defer r.Close()
		var head []byte
		if kind != back {
			head = make([]byte, headSize+1) // the last one is the helper's
		}
		n, err := io.ReadFull(from, head)
		if err == nil {
			close(begun)
		}
		err = nil // so little can be all there is
		if n > 0 {
			_, err = to.Write(head[:n])
		}
		if err == nil {
			_, err = io.Copy(to, from)
		}
		copied <- err
		if err != nil {
			s.cancel(err)
			io.Copy(io.Discard, from)
		}
	}()
	return &stream{fd: fd, written: true, begun: begun, finish: func() (err error) {
		r.SetReadDeadline(time.Now()) // nothing more will come
		select {
		case err = <-copied:
		case <-s.ctx.Done():
		}
		if !stop() { // some of it may have been thrown away
			return loop.Reason(s.ctx)
		}
		return err
	}}, nil
}

// toUser is the user's writer, to which nothing is written once one of the
// contexts is over.
type toUser struct {
	w    io.Writer
	name string
	ctxs []context.Context
}

func (t toUser) Write(b []byte) (int, error) {
	for _, ctx := range t.ctxs {
		if ctx.Err() != nil {
			return 0, loop.Reason(ctx)
		}
	}
	n, err := t.w.Write(b)
	return n, because(t.name, err)
}

// input makes a stream of what is read from r, of a saved domain up to its end and
// no byte more.
func (s *streams) input(ctx context.Context, name string, r io.Reader, kind streamKind) (*stream, error) {
	if err := checkOpen(name, r, unix.O_RDONLY); err != nil {
		return nil, err
	}
	var head []byte
	if kind != back {
		var err error
		if head, err = readHead(ctx, r); err != nil {
			return nil, because(name, err)
		}
		if !bytes.Equal(head, savedHead) {
			return nil, &FieldError{Path: name, Problem: "is no saved domain"}
		}
	}
	fd, w, err := pipeTo()
	if err != nil {
		return nil, err
	}
	begun, failed := make(chan struct{}), make(chan error, 1)
	go func() {
		defer w.Close()
		if _, err := w.Write(head); err != nil {
			return
		}
		for {
			n, err := unread(w)
			if err != nil {
				return // closed: libxl did not want the head
			}
			if n == 0 {
				break
			}
			time.Sleep(time.Millisecond)
		}
		close(begun)
		closed := func() error { _, err := unread(w); return err }
		if err := copyStream(w, fromUser{r, closed}, kind); err != nil && !errors.Is(err, unix.EPIPE) && !errors.Is(err, os.ErrClosed) {
			failed <- err
		}
	}()
	return &stream{fd: fd, begun: begun, finish: func() error {
		w.Close() // the goroutine ends when Read does
		select {
		case err := <-failed:
			return because(name, err)
		default:
			return nil
		}
	}}, nil
}

// fromUser is the user's reader, of which nothing is read once over says why.
type fromUser struct {
	r    io.Reader
	over func() error
}

func (f fromUser) Read(b []byte) (int, error) {
	if err := f.over(); err != nil {
		return 0, err
	}
	return f.r.Read(b)
}

// savedHead is the head of a stream of version 2: libxl's name and version, no
// options, and the record that says that libxc's part follows.
var savedHead = []byte("LibxlFmt\x00\x00\x00\x02\x00\x00\x00\x00" + "\x01\x00\x00\x00\x00\x00\x00\x00")

func readHead(ctx context.Context, r io.Reader) ([]byte, error) {
	head, read := make([]byte, headSize), make(chan error, 1)
	over := func() error { return loop.Reason(ctx) }
	go func() {
		_, err := io.ReadFull(fromUser{r, over}, head)
		read <- err
	}()
	select {
	case err := <-read:
		return head, err
	case <-ctx.Done():
		return nil, loop.Reason(ctx)
	}
}

// The records in a stream that end a part of it. Libxc's parts end with one of
// the first two, libxl's, which follow each of these, with one of the others.
const (
	libxcEnd           = 0
	libxcCheckpoint    = 0xe
	libxlEnd           = 0
	libxlCheckpointEnd = 4
)

// copyStream copies what follows the head: libxc's headers and records, and
// libxl's records. Whether it makes sense is for libxl to say, but libxl, in all
// releases, takes a stream that breaks off in its own records for complete, and of
// a checkpoint it reads the end of the stream for ever. So these records follow
// only when they are all there, together with libxc's last one before them:
// without that libxc notices.
func copyStream(w io.Writer, r io.Reader, kind streamKind) error {
	if kind == back || kind == colo { // which wait for each other in between
		_, err := io.Copy(w, r)
		return err
	}
	const headers = 24 + 16
	_, err := io.CopyN(w, r, headers)
	for end := uint32(libxlCheckpointEnd); err == nil && end != libxlEnd; {
		var whole bytes.Buffer
		if _, err = copyRecords(w, &whole, r, libxcEnd, libxcCheckpoint); err == nil {
			if end, err = copyRecords(&whole, &whole, r, libxlEnd, libxlCheckpointEnd); err == nil {
				_, err = whole.WriteTo(w)
			}
		}
	}
	if kind == checkpointed && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)) {
		return nil // that is how it ends
	}
	return err
}

// copyRecords copies records, whose bodies are padded to 8 bytes, to w, up to one
// of these kinds, which goes to last.
func copyRecords(w, last io.Writer, r io.Reader, until ...uint32) (kind uint32, err error) {
	for {
		var header [8]byte
		if _, err := io.ReadFull(r, header[:]); err != nil {
			return 0, err
		}
		kind = binary.LittleEndian.Uint32(header[:])
		length := int64(binary.LittleEndian.Uint32(header[4:]))
		is := slices.Contains(until, kind)
		if is {
			w = last
		}
		if _, err := w.Write(header[:]); err != nil {
			return 0, err
		}
		if _, err := io.CopyN(w, r, (length+7)&^7); err != nil || is {
			return kind, err
		}
	}
}

func because(name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", name, err)
}

// checkOpen refuses what cannot be written to, or read from.
func checkOpen(name string, x any, access int) error {
	if x == nil {
		return &FieldError{Path: name, Problem: "is nil"}
	}
	conn, ok := x.(syscall.Conn)
	if !ok {
		return nil
	}
	var flags int
	var fail error
	raw, err := conn.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { flags, fail = unix.FcntlInt(fd, unix.F_GETFL, 0) })
	}
	if err = errors.Join(err, fail); err != nil {
		return &FieldError{Path: name, Problem: err.Error()}
	}
	if mode := flags & unix.O_ACCMODE; mode != access && mode != unix.O_RDWR {
		return &FieldError{Path: name, Problem: map[int]string{
			unix.O_RDONLY: "is not open for reading", unix.O_WRONLY: "is not open for writing"}[access]}
	}
	return nil
}
