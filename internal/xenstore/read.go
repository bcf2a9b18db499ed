// Package xenstore reads single keys of xenstore, which libxl tells nothing of.
package xenstore

import (
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"
)

// Device is the kernel's door to xenstore.
const Device = "/dev/xen/xenbus"

// The wire protocol's messages.
const (
	typeRead  = 2
	typeError = 16
	maxBody   = 4096
)

// header begins each message.
type header struct{ Type, Request, Transaction, Length uint32 }

// Read reads a key. The error wraps fs.ErrNotExist if there is none.
func Read(path string) (string, error) {
	f, err := os.OpenFile(Device, os.O_RDWR, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	f.SetDeadline(time.Now().Add(time.Minute)) // where the kernel can poll it
	value, err := exchange(f, path)
	if err != nil {
		return "", fmt.Errorf("xenstore: %s: %w", path, err)
	}
	return value, nil
}

func exchange(rw io.ReadWriter, path string) (string, error) {
	if path == "" || strings.Contains(path, "\x00") || len(path) >= maxBody {
		return "", fs.ErrInvalid
	}
	request, err := binary.Append(nil, binary.NativeEndian, header{Type: typeRead, Request: 1, Length: uint32(len(path) + 1)})
	if err != nil {
		return "", err
	}
	// In one write: the kernel takes messages, not bytes.
	if _, err := rw.Write(append(append(request, path...), 0)); err != nil {
		return "", err
	}
	var h header
	if err := binary.Read(rw, binary.NativeEndian, &h); err != nil {
		return "", err
	}
	if h.Length > maxBody {
		return "", fmt.Errorf("an answer of %d bytes", h.Length)
	}
	body := make([]byte, h.Length)
	if _, err := io.ReadFull(rw, body); err != nil {
		return "", err
	}
	text := strings.TrimSuffix(string(body), "\x00")
	switch {
	case h.Type == typeError && text == "ENOENT":
		return "", fs.ErrNotExist
	case h.Type == typeError && text == "EACCES":
		return "", fs.ErrPermission
	case h.Type == typeError:
		return "", fmt.Errorf("%s", text)
	case h.Type != typeRead:
		return "", fmt.Errorf("an answer of type %d", h.Type)
	}
	return text, nil
}
