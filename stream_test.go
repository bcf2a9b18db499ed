package xenlight

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/go-xenlight/xenlight/internal/capi"
	"github.com/go-xenlight/xenlight/internal/loop"
)

func record(kind uint32, body []byte) []byte {
	r := binary.LittleEndian.AppendUint32(nil, kind)
	r = binary.LittleEndian.AppendUint32(r, uint32(len(body)))
	r = append(r, body...)
	return append(r, make([]byte, -len(body)&7)...)
}

// savedDomain is a stream of a domain with so many bytes of memory, as libxl's
// and libxc's documents have it.
func savedDomain(memory int) []byte {
	return slices.Concat(savedHead, bytes.Repeat([]byte{0xff}, 24+16),
		record(1, bytes.Repeat([]byte("memory"), memory/6)), record(0x10, []byte("odd")), record(0, nil),
		record(3, []byte("device model")), record(0, nil))
}

// save does what libxl does: it and its helper write to a descriptor.
func save(t *testing.T, s *stream, text []byte) {
	t.Helper()
	f := dup(t, s)
	defer f.Close()
	if _, err := f.Write(text); err != nil {
		t.Error(err)
	}
}

func dup(t *testing.T, s *stream) *os.File {
	t.Helper()
	fd, err := unix.Dup(s.fd)
	if err != nil {
		t.Fatal(err)
	}
	return os.NewFile(uintptr(fd), "libxl")
}

func begun(s *stream) bool {
	select {
	case <-s.begun:
		return true
	case <-time.After(10 * time.Second):
		return false
	}
}

func TestWhatLibxlWritesReachesAnything(t *testing.T) {
	for _, text := range [][]byte{savedDomain(10), savedDomain(3 * pipeSize), []byte("too short")} {
		var b bytes.Buffer
		all := newStreams()
		s, err := all.output(t.Context(), "w", &b, saved)
		if err != nil {
			t.Fatal(err)
		}
		all.all = append(all.all, s)
		save(t, s, text)
		if out := all.drain(loop.Outcome{}); out.Err != nil {
			t.Errorf("drain: %v", out.Err)
		}
		if !bytes.Equal(b.Bytes(), text) {
			t.Errorf("got %d bytes of %d", b.Len(), len(text))
		}
	}
}

func TestLibxlReadsASavedDomainAndNoByteMore(t *testing.T) {
	const rest = "what follows"
	for _, memory := range []int{0, 100, 3 * pipeSize} {
		text := savedDomain(memory)
		for name, r := range map[string]io.Reader{
			"all at once":  strings.NewReader(string(text) + rest),
			"half by half": iotest.HalfReader(strings.NewReader(string(text) + rest)),
		} {
			all := newStreams()
			s, err := all.input(t.Context(), "r", r, saved)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			f, got := dup(t, s), make([]byte, len(text))
			// libxl must not be aborted before it has read the head.
			io.ReadFull(f, got[:headSize-1])
			select {
			case <-s.begun:
				t.Errorf("%s: begun too early", name)
			case <-time.After(5 * time.Millisecond):
			}
			io.ReadFull(f, got[headSize-1:headSize])
			if !begun(s) {
				t.Errorf("%s: never begun", name)
			}
			if _, err := io.ReadFull(f, got[headSize:]); err != nil || !bytes.Equal(got, text) {
				t.Errorf("%s: got other bytes: %v", name, err)
			}
			if b, err := io.ReadAll(f); err != nil || len(b) > 0 {
				t.Errorf("%s: then %q, %v", name, b, err)
			}
			f.Close()
			if err := s.close(); err != nil {
				t.Errorf("%s: close: %v", name, err)
			}
			if b, _ := io.ReadAll(r); string(b) != rest {
				t.Errorf("%s: the reader has %q left", name, b)
			}
		}
	}
}

// readBy is what libxl reads of a stream.
func readBy(t *testing.T, r io.Reader, kind streamKind) (string, error) {
	t.Helper()
	s, err := newStreams().input(t.Context(), "r", r, kind)
	if err != nil {
		t.Fatal(err)
	}
	f := dup(t, s)
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Error(err)
	}
	return string(b), s.close()
}

func TestColosStreamIsReadToItsEnd(t *testing.T) {
	text := string(savedHead) + "anything at all"
	if got, err := readBy(t, strings.NewReader(text), colo); err != nil || got != text {
		t.Errorf("got %q, %v", got, err)
	}
}

// Libxl gets its own records only if all of them are there, and so does libxc the
// record before them.
func TestWhereAStreamBreaksOffLibxlGetsNoPartOfItsRecords(t *testing.T) {
	var whole []int // where libxc's parts end, and where libxl's
	stream := slices.Concat(savedHead, bytes.Repeat([]byte{0xff}, 24+16))
	for range 3 {
		stream = slices.Concat(stream, record(1, []byte("memory")), record(9, nil))
		whole = append(whole, len(stream))
		stream = slices.Concat(stream, record(0xe, nil), record(3, []byte("device model")), record(4, nil))
		whole = append(whole, len(stream))
	}
	for size := headSize; size <= len(stream); size++ {
		want := size
		for part := range slices.Chunk(whole, 2) {
			if part[0] < size && size < part[1] {
				want = part[0]
			}
		}
		for name, r := range map[string]io.Reader{
			"at once":      bytes.NewReader(stream[:size]),
			"byte by byte": iotest.OneByteReader(bytes.NewReader(stream[:size])),
		} {
			got, err := readBy(t, r, checkpointed)
			// Of a record of libxc's it may get what is there, in pieces.
			if !strings.HasPrefix(string(stream[:want]), got) || want-len(got) >= 8 || slices.Contains(whole, want) && len(got) != want {
				t.Errorf("%d bytes %s: libxl got %d, want %d", size, name, len(got), want)
			}
			if err != nil {
				t.Errorf("%d bytes %s: %v", size, name, err)
			}
		}
	}
	text := savedDomain(100)
	part := len(text) - len(slices.Concat(record(0, nil), record(3, []byte("device model")), record(0, nil)))
	for size := part + 1; size < len(text); size++ {
		if got, err := readBy(t, bytes.NewReader(text[:size]), saved); got != string(text[:part]) || err == nil {
			t.Errorf("%d bytes of %d: libxl got %d, want %d: %v", size, len(text), len(got), part, err)
		}
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestAWriterThatFailsAbortsTheOperationOnceItHasBegun(t *testing.T) {
	mine := errors.New("mine")
	all := newStreams()
	s, err := all.output(t.Context(), "w", failing{mine}, saved)
	if err != nil {
		t.Fatal(err)
	}
	all.all = append(all.all, s)
	all.taken.Store(true) // libxl has the operation
	op := all.hold(t.Context())
	save(t, s, savedHead)
	select {
	case <-op.Done():
		t.Error("aborted before libxl can stand it")
	case <-time.After(10 * time.Millisecond):
	}
	// Nobody waits: it is more than the pipe holds.
	save(t, s, make([]byte, 3*pipeSize))
	<-op.Done()
	if out := all.drain(loop.Outcome{Code: -1}); !errors.Is(out.Err, mine) {
		t.Errorf("drain: %v", out.Err)
	}
}

func TestAReaderThatFailsIsTheReason(t *testing.T) {
	mine := errors.New("mine")
	all := newStreams()
	s, err := all.input(t.Context(), "r", io.MultiReader(bytes.NewReader(savedDomain(100)[:80]), iotest.ErrReader(mine)), saved)
	if err != nil {
		t.Fatal(err)
	}
	all.all = append(all.all, s)
	f := dup(t, s)
	defer f.Close()
	if b, err := io.ReadAll(f); err != nil || len(b) != 80 {
		t.Errorf("got %d bytes, %v", len(b), err)
	}
	if out := all.drain(loop.Outcome{Code: -1}); !errors.Is(out.Err, mine) {
		t.Errorf("drain: %v", out.Err)
	}
	_, err = newStreams().input(t.Context(), "r", iotest.ErrReader(mine), saved)
	if !errors.Is(err, mine) {
		t.Errorf("input: %v", err)
	}
}

// stalled is a writer and reader whose peer does nothing.
type stalled chan struct{}

func (s stalled) Write(b []byte) (int, error) { <-s; return len(b), nil }
func (s stalled) Read(b []byte) (int, error)  { <-s; return 0, io.EOF }

// running makes the stream to w of an operation that libxl has.
func running(t *testing.T, ctx context.Context, w io.Writer) (all *streams, s *stream, op context.Context) {
	t.Helper()
	all = newStreams()
	s, err := all.output(ctx, "w", w, saved)
	if err != nil {
		t.Fatal(err)
	}
	all.all = append(all.all, s)
	all.taken.Store(true)
	return all, s, all.hold(ctx)
}

func TestCancellationWaitsUntilLibxlCanStandItAndForNobodyElse(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	w := make(stalled)
	defer close(w)
	all, s, op := running(t, ctx, w)
	cancel()
	save(t, s, savedHead)
	select {
	case <-op.Done():
		t.Error("aborted before libxl can stand it")
	case <-time.After(10 * time.Millisecond):
	}
	save(t, s, make([]byte, 3*pipeSize))
	<-op.Done()
	if out := all.drain(loop.Outcome{}); !errors.Is(out.Err, context.Canceled) {
		t.Errorf("drain: %v", out.Err)
	}
	if _, err := newStreams().input(ctx, "r", w, saved); !errors.Is(err, context.Canceled) {
		t.Errorf("input: %v", err)
	}
}

func TestWhatIsCancelledBeforeLibxlHasItNeverBegins(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	all := newStreams()
	s, err := all.output(ctx, "w", io.Discard, saved)
	if err != nil {
		t.Fatal(err)
	}
	all.all = append(all.all, s)
	op := all.hold(ctx)
	cancel()
	select {
	case <-op.Done():
	case <-time.After(5 * time.Second):
		t.Error("it still waits for its turn")
	}
	start := all.guard(func(capi.Ctx, *capi.AsyncopHow) int32 { t.Error("it has begun"); return 0 })
	if out := all.drain(loop.Outcome{Code: start(0, nil)}); out.Code != 0 || !errors.Is(out.Err, context.Canceled) {
		t.Errorf("drain: %+v", out)
	}
}

func TestBadStreamsAreFieldErrors(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	all := newStreams()
	_, err1 := all.output(t.Context(), "w", r, saved)
	_, err2 := all.input(t.Context(), "w", w, saved)
	r.Close()
	w.Close()
	_, err3 := all.output(t.Context(), "w", w, saved)
	_, err4 := all.input(t.Context(), "w", nil, saved)
	_, err5 := all.output(t.Context(), "w", nil, saved)
	_, err6 := all.output(t.Context(), "w", (*os.File)(nil), saved)
	_, err7 := all.input(t.Context(), "w", strings.NewReader(strings.Repeat("no domain ", 10)), saved)
	for i, err := range []error{err1, err2, err3, err4, err5, err6, err7} {
		var field *FieldError
		if !errors.As(err, &field) || field.Path != "w" {
			t.Errorf("%d: got %v", i+1, err)
		}
	}
}
