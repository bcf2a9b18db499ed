//go:build linux

package xenbox

import (
	"bytes"
	"io"
	"strings"
	"testing"
)

func TestFramesArriveAsSent(t *testing.T) {
	long := strings.Repeat("x", 3*maxFrame+17)
	var wire bytes.Buffer
	w := &frameWriter{w: &wire}
	sent := []struct {
		kind frameKind
		data string
	}{{frameHello, ""}, {frameStdout, "one\n"}, {frameStderr, long}, {frameExit, `{"Code":3}`}}
	for _, f := range sent {
		if err := w.write(f.kind, []byte(f.data)); err != nil {
			t.Fatal(err)
		}
	}
	r := frameReader{r: &wire}
	got := make(map[frameKind]string)
	for {
		kind, data, err := r.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got[kind] += string(data)
	}
	for _, f := range sent {
		if got[f.kind] != f.data {
			t.Errorf("frame %q: got %d bytes, want %d", f.kind, len(got[f.kind]), len(f.data))
		}
	}
}

func TestBrokenStreamsAreErrors(t *testing.T) {
	for name, wire := range map[string]string{
		"cut in the head":    "o\x00\x00",
		"cut in the payload": "o\x00\x00\x00\x05abc",
		"cut after the head": "o\x00\x00\x00\x05",
		"absurd length":      "o\xff\xff\xff\xff",
	} {
		t.Run(name, func(t *testing.T) {
			r := frameReader{r: strings.NewReader(wire)}
			if _, _, err := r.next(); err == nil || err == io.EOF {
				t.Errorf("got %v, want an error other than EOF", err)
			}
		})
	}
}

func TestStreamWritesEverything(t *testing.T) {
	var wire bytes.Buffer
	s := (&frameWriter{w: &wire}).stream(frameStdout)
	n, err := s.Write([]byte("hello"))
	if n != 5 || err != nil {
		t.Fatalf("Write: %d, %v", n, err)
	}
	if n, err := s.Write(nil); n != 0 || err != nil || wire.Len() != 10 {
		t.Errorf("an empty write left %d bytes on the wire (%d, %v)", wire.Len(), n, err)
	}
}
