package xenstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// store answers one request.
type store struct {
	asked  bytes.Buffer
	answer bytes.Buffer
}

func (s *store) Write(p []byte) (int, error) { return s.asked.Write(p) }
func (s *store) Read(p []byte) (int, error)  { return s.answer.Read(p) }

func answering(kind uint32, length int, body string) *store {
	s := new(store)
	binary.Write(&s.answer, binary.NativeEndian, header{Type: kind, Request: 1, Length: uint32(length)})
	s.answer.WriteString(body)
	return s
}

func TestReadAsksForTheKeyAndReturnsItsValue(t *testing.T) {
	s := answering(typeRead, 4, "5900")
	got, err := exchange(s, typeRead, "/local/domain/1/console/vnc-port", "\x00")
	if got != "5900" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	var h header
	if err := binary.Read(&s.asked, binary.NativeEndian, &h); err != nil {
		t.Fatal(err)
	}
	path := s.asked.String()
	if h.Type != typeRead || int(h.Length) != len(path) || path != "/local/domain/1/console/vnc-port\x00" {
		t.Errorf("asked %+v %q", h, path)
	}
}

func TestReadTellsWhatIsWrong(t *testing.T) {
	for _, test := range []struct {
		what, path string
		s          *store
		is         error
		says       string
	}{
		{"a missing key", "/a", answering(typeError, 7, "ENOENT\x00"), fs.ErrNotExist, ""},
		{"a forbidden key", "/a", answering(typeError, 7, "EACCES\x00"), fs.ErrPermission, ""},
		{"another error", "/a", answering(typeError, 6, "EBUSY\x00"), nil, "EBUSY"},
		{"an answer that is none", "/a", answering(99, 0, ""), nil, "type 99"},
		{"a huge answer", "/a", answering(typeRead, 1<<30, ""), nil, "1073741824 bytes"},
		{"an answer cut short", "/a", answering(typeRead, 4, "59"), nil, "unexpected EOF"},
		{"a path with NUL", "/a\x00b", new(store), fs.ErrInvalid, ""},
		{"no path", "", new(store), fs.ErrInvalid, ""},
		{"a path too long", "/" + strings.Repeat("a", maxBody-1), new(store), fs.ErrInvalid, ""},
	} {
		_, err := exchange(test.s, typeRead, test.path, "\x00")
		if err == nil || test.is != nil && !errors.Is(err, test.is) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: got %v", test.what, err)
		}
	}
}

// TestConn has a socket in the kernel's place.
func TestConn(t *testing.T) {
	ours, theirs := pair(t)
	c := &Conn{ours}
	defer c.Close()
	answers := map[string]header{
		"\x02/a\x00":     {Type: typeRead},
		"\x0b/a\x00b\nc": {Type: typeWrite},
		"\x0d/a\x00":     {Type: typeRemove},
		"\x01/a\x00":     {Type: typeDirectory},
		"\x01/b\x00":     {Type: typeDirectory},
	}
	bodies := map[string]string{"\x02/a\x00": "value", "\x0b/a\x00b\nc": "OK\x00", "\x0d/a\x00": "OK\x00", "\x01/a\x00": "x\x00y\x00"}
	go func() {
		for {
			var h header
			if binary.Read(theirs, binary.NativeEndian, &h) != nil {
				return
			}
			body := make([]byte, h.Length)
			io.ReadFull(theirs, body)
			asked := string(rune(h.Type)) + string(body)
			answer := answers[asked]
			answer.Length = uint32(len(bodies[asked]))
			binary.Write(theirs, binary.NativeEndian, answer)
			io.WriteString(theirs, bodies[asked])
		}
	}()
	if value, err := c.Read("/a"); value != "value" || err != nil {
		t.Errorf("Read: %q, %v", value, err)
	}
	if err := c.Write("/a", "b\nc"); err != nil {
		t.Errorf("Write: %v", err)
	}
	if err := c.Remove("/a"); err != nil {
		t.Errorf("Remove: %v", err)
	}
	if names, err := c.List("/a"); !slices.Equal(names, []string{"x", "y"}) || err != nil {
		t.Errorf("List: %q, %v", names, err)
	}
	if names, err := c.List("/b"); len(names) != 0 || err != nil {
		t.Errorf("List of an empty folder: %q, %v", names, err)
	}
	if err := c.Remove("/c"); err == nil || !strings.Contains(err.Error(), "xenstore: /c: ") {
		t.Errorf("an answer that is none: %v", err)
	}
}

// pair is two ends of a connection.
func pair(t *testing.T) (ours, theirs *os.File) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs = os.NewFile(uintptr(fds[0]), "ours"), os.NewFile(uintptr(fds[1]), "theirs")
	t.Cleanup(func() { theirs.Close() })
	return ours, theirs
}
