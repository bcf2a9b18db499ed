//go:build linux

package xenbox

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"sync"
)

// A frameKind says what a frame carries. The protocol between session and
// agent is frames only: kind, length (four bytes, big endian), payload.
type frameKind byte

const (
	// From the agent.
	frameHello   frameKind = 'H' // the program has been started
	frameStdout  frameKind = 'o'
	frameStderr  frameKind = 'e'
	frameAck     frameKind = 'a' // JSON int: so many bytes of stdin were taken
	framePing    frameKind = 'p' // dom0 is alive
	frameFetch   frameKind = 'f' // the next piece of the tar of result files
	frameExit    frameKind = 'x' // JSON exitReport, the last frame
	frameMessage frameKind = 'm' // a remark for the user

	// From the session.
	frameStdin    frameKind = 'i'
	frameStdinEOF frameKind = 'z'
	frameSignal   frameKind = 's' // JSON int: the signal's number
	frameResize   frameKind = 'r' // JSON windowReport
)

// maxFrame is the longest payload.
const maxFrame = 64 << 10

// stdinWindow is how much of stdin may be under way: a program that does not
// read must not block the frames behind its input.
const stdinWindow = 64 << 10

// An exitReport is how the program ended.
type exitReport struct {
	Code    int      // exit status, or
	Signal  int      // the signal that ended it, or
	Error   string   // why it was not run
	Missing []string // files to fetch that do not exist
}

// A windowReport is the size of the user's terminal.
type windowReport struct{ Rows, Cols uint16 }

// A frameWriter writes frames, safe for use by many goroutines.
type frameWriter struct {
	mu  sync.Mutex
	w   io.Writer
	buf []byte
}

// write sends a payload, in pieces if it is long.
func (f *frameWriter) write(kind frameKind, payload []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		n := min(len(payload), maxFrame)
		f.buf = append(f.buf[:0], byte(kind))
		f.buf = binary.BigEndian.AppendUint32(f.buf, uint32(n))
		f.buf = append(f.buf, payload[:n]...)
		if _, err := f.w.Write(f.buf); err != nil {
			return err
		}
		payload = payload[n:]
		if len(payload) == 0 {
			return nil
		}
	}
}

// writeJSON sends a short value.
func (f *frameWriter) writeJSON(kind frameKind, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(data) > maxFrame {
		return fmt.Errorf("frame %q too long: %d bytes", kind, len(data))
	}
	return f.write(kind, data)
}

// stream is an io.Writer whose data goes out as frames of one kind.
func (f *frameWriter) stream(kind frameKind) io.Writer { return frameStream{f, kind} }

type frameStream struct {
	f    *frameWriter
	kind frameKind
}

func (s frameStream) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := s.f.write(s.kind, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// A frameReader reads frames.
type frameReader struct {
	r   io.Reader
	buf [maxFrame]byte
}

// next reads one frame. The payload is valid until the next call.
func (f *frameReader) next() (frameKind, []byte, error) {
	var head [5]byte
	if _, err := io.ReadFull(f.r, head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(head[1:])
	if n > maxFrame {
		return 0, nil, fmt.Errorf("broken stream: frame %q of %d bytes", head[0], n)
	}
	if _, err := io.ReadFull(f.r, f.buf[:n]); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return 0, nil, err
	}
	return frameKind(head[0]), f.buf[:n], nil
}
