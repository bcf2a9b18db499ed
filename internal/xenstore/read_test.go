package xenstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"strings"
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
	got, err := exchange(s, "/local/domain/1/console/vnc-port")
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
	} {
		_, err := exchange(test.s, test.path)
		if err == nil || test.is != nil && !errors.Is(err, test.is) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: got %v", test.what, err)
		}
	}
}
