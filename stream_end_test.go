package xenlight

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/go-xenlight/xenlight/internal/fakexl"
	"github.com/go-xenlight/xenlight/internal/leak"
	"github.com/go-xenlight/xenlight/internal/loop"
	"github.com/go-xenlight/xenlight/libxl"
)

// These tests are about where streams end.

// drained is what drain says, while a child of another operation has a copy of
// what libxl writes to.
func drained(t *testing.T, all *streams, child *os.File) loop.Outcome {
	t.Helper()
	defer child.Close()
	out := make(chan loop.Outcome, 1)
	go func() { out <- all.drain(loop.Outcome{}) }()
	select {
	case o := <-out:
		return o
	case <-time.After(10 * time.Second):
		t.Error("drain waits for the child")
		child.Close()
		return <-out
	}
}

// sinks are writers of all sorts, each with a function that returns what has been
// written to it, once that is all.
func sinks(t *testing.T) map[string]func() (io.Writer, func() []byte) {
	// Slowly, so that much is left when the operation has ended.
	collect := func(r io.Reader, w io.WriteCloser) (io.Writer, func() []byte) {
		all := make(chan []byte)
		go func() {
			var b bytes.Buffer
			io.CopyBuffer(struct{ io.Writer }{&b}, struct{ io.Reader }{r}, make([]byte, 1000))
			all <- b.Bytes()
		}()
		return w, func() []byte { w.Close(); return <-all }
	}
	ok := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	return map[string]func() (io.Writer, func() []byte){
		"buffer": func() (io.Writer, func() []byte) {
			var b bytes.Buffer
			return &b, b.Bytes
		},
		"file": func() (io.Writer, func() []byte) {
			f, err := os.Create(filepath.Join(t.TempDir(), "saved"))
			ok(err)
			return f, func() []byte {
				f.Close()
				b, err := os.ReadFile(f.Name())
				ok(err)
				return b
			}
		},
		"pipe": func() (io.Writer, func() []byte) {
			r, w, err := os.Pipe()
			ok(err)
			t.Cleanup(func() { r.Close() })
			return collect(r, w)
		},
		"pipe of package io": func() (io.Writer, func() []byte) { return collect(io.Pipe()) },
		"connection": func() (io.Writer, func() []byte) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			ok(err)
			defer l.Close()
			w, err := net.Dial("tcp", l.Addr().String())
			ok(err)
			r, err := l.Accept()
			ok(err)
			t.Cleanup(func() { r.Close() })
			return collect(r, w)
		},
	}
}

func TestASavedStreamEndsWithItsOperation(t *testing.T) {
	sizes := slices.Concat([]int{0, 1, headSize - 1, headSize, headSize + 1, headSize + 2, 3 * pipeSize}, slices.Repeat([]int{100, 40_000}, 50))
	whole := savedDomain(3 * pipeSize)
	for name, sink := range sinks(t) {
		for _, size := range sizes {
			text := whole[:size]
			w, got := sink()
			all := newStreams()
			s, err := all.output(t.Context(), "w", w, saved)
			if err != nil {
				t.Fatal(err)
			}
			all.all = append(all.all, s)
			child := dup(t, s)
			save(t, s, text)
			if out := drained(t, all, child); out.Err != nil {
				t.Errorf("%s: drain: %v", name, out.Err)
			}
			if size > headSize && !begun(s) {
				t.Errorf("%s: never begun: it could not be cancelled", name)
			}
			if b := got(); !bytes.Equal(b, text) {
				t.Errorf("%s: got %d bytes of %d", name, len(b), size)
			}
			if t.Failed() {
				return
			}
		}
	}
}

// A child of libxl's does not exec, and has a copy of all descriptors.
func TestASavingDoesNotWaitForAnotherOperationsChild(t *testing.T) {
	h := openFake(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var b bytes.Buffer
	saving, other := make(chan error), make(chan error)
	go func() { saving <- h.DomainSuspend(t.Context(), fakexl.Pause(fakexl.Wait, 200*time.Millisecond), &b) }()
	eventually(t, "the saving", func() bool { return operations(t, h) == 1 })
	go func() { other <- h.DomainPause(ctx, fakexl.Pause(fakexl.Child, fakexl.MaxLasts)) }()
	if err := <-saving; err != nil || b.Len() != fakexl.Saved {
		t.Errorf("DomainSuspend: %v, and %d bytes", err, b.Len())
	}
	cancel()
	if err := <-other; outcomeOf(err).code != libxl.ErrorAborted {
		t.Errorf("the child had ended before the saving did: %v", err)
	}
}

// gone waits until the goroutines have ended that were not there before.
func gone(t *testing.T, before leak.Process) {
	t.Helper()
	for _, s := range before.Since() {
		t.Errorf("it lasts: %s", s)
	}
}

func TestWhatLibxlDoesNotRestoreIsNotRead(t *testing.T) {
	r := strings.NewReader(string(savedDomain(100)))
	rest := r.Len() - headSize
	before := leak.Look()
	s, err := newStreams().input(t.Context(), "r", r, saved)
	if err != nil {
		t.Fatal(err)
	}
	f := dup(t, s)
	eventually(t, "the head", func() bool { n, _ := unread(f); return n == headSize })
	f.Close()
	if err := s.close(); err != nil {
		t.Errorf("close: %v", err)
	}
	gone(t, before)
	if r.Len() != rest {
		t.Errorf("%d bytes were read after the head", rest-r.Len())
	}

	h := openFake(t)
	r.Seek(0, io.SeekStart)
	before = leak.Look()
	guest := fakeGuest(fakexl.Create(fakexl.HalfWay, 20*time.Millisecond))
	if _, err := h.DomainCreateRestore(t.Context(), guest, r, nil); outcomeOf(err).code != libxl.ErrorFail {
		t.Errorf("DomainCreateRestore: %v", err)
	}
	gone(t, before)
	if r.Len() != rest {
		t.Errorf("%d bytes were read after the head", rest-r.Len())
	}
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(b []byte) (int, error) { return f(b) }

func TestNothingIsReadOnceTheStreamIsClosed(t *testing.T) {
	text := savedDomain(12)
	for at := headSize; at < len(text); at++ {
		opened, left := make(chan *stream, 1), bytes.NewReader(text)
		var reads atomic.Int64
		r := readFunc(func(b []byte) (int, error) {
			if reads.Add(1) == int64(at)+1 {
				if err := (<-opened).close(); err != nil {
					t.Errorf("close: %v", err)
				}
			}
			return left.Read(b)
		})
		before := leak.Look()
		s, err := newStreams().input(t.Context(), "r", iotest.OneByteReader(r), saved)
		if err != nil {
			t.Fatal(err)
		}
		f := dup(t, s)
		opened <- s
		io.Copy(io.Discard, f)
		f.Close()
		gone(t, before)
		if n := reads.Load() - int64(at) - 1; n != 0 {
			t.Fatalf("closed at %d: then %d bytes were read", at, n)
		}
	}
}

func TestNoHeadIsReadOnceTheContextIsOver(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	left, returned := bytes.NewReader(savedDomain(0)), make(chan struct{})
	var reads atomic.Int64
	r := readFunc(func(b []byte) (int, error) {
		reads.Add(1)
		cancel()
		<-returned
		return left.Read(b)
	})
	before := leak.Look()
	if _, err := newStreams().input(ctx, "r", iotest.OneByteReader(r), saved); !errors.Is(err, context.Canceled) {
		t.Errorf("input: %v", err)
	}
	close(returned)
	gone(t, before)
	if n := reads.Load(); n != 1 {
		t.Errorf("then %d bytes were read", n-1)
	}
}

// lasting is a writer whose first Write lasts, and which counts.
type lasting struct {
	began, end chan struct{}
	bytes      atomic.Int64
}

func (l *lasting) Write(b []byte) (int, error) {
	if l.bytes.Add(int64(len(b))) == int64(len(b)) {
		close(l.began)
		<-l.end
	}
	return len(b), nil
}

func TestNothingIsWrittenOnceTheContextIsOver(t *testing.T) {
	const before, during, after = 0, 1, 2 // the first Write
	for i := range 60 {
		when, internal := i%3, i%2 == 0 // as when a Host is closed, or another stream fails
		if when == before && internal {
			continue
		}
		was := leak.Look()
		ctx, cancel := context.WithCancel(t.Context())
		w := &lasting{began: make(chan struct{}), end: make(chan struct{})}
		all, s, op := running(t, ctx, w)
		want := int64(0)
		if when != before {
			save(t, s, savedDomain(0)[:headSize+1])
			<-w.began
			want = headSize + 1
		}
		if when == after {
			close(w.end)
			save(t, s, []byte("more"))
			want += 4
			eventually(t, "the second Write", func() bool { return w.bytes.Load() == want })
		}
		if internal {
			all.cancel(context.Canceled)
		} else {
			cancel()
		}
		if when != after {
			close(w.end)
		}
		save(t, s, make([]byte, 3*pipeSize))
		<-op.Done()
		// The abort has come too late.
		if out := all.drain(loop.Outcome{}); !errors.Is(out.Err, context.Canceled) || strings.Contains(out.Err.Error(), "w:") {
			t.Errorf("%d: drain: %v", i, out.Err)
		}
		cancel()
		gone(t, was)
		if n := w.bytes.Load(); n != want {
			t.Errorf("%d: %d bytes are written, want %d", i, n, want)
		}
	}
}
