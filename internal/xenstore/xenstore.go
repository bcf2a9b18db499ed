// Package xenstore is a client of xenstore, for what libxl tells nothing of.
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

// Socket is where xenstored listens if it runs in this domain. SocketVariable names
// another place, as it does to libxenstore.
func Socket() string {
	if path := os.Getenv(SocketVariable); path != "" {
		return path
	}
	return "/run/xenstored/socket"
}

// SocketVariable is an environment variable, see Socket.
const SocketVariable = "XENSTORED_PATH"

// The wire protocol's messages.
const (
	typeDirectory = 1
	typeRead      = 2
	typeWrite     = 11
	typeRemove    = 13
	typeError     = 16
	maxBody       = 4096
)

// header begins each message.
type header struct{ Type, Request, Transaction, Length uint32 }

// Conn is a connection to xenstore, for one goroutine at a time. Its errors wrap
// fs.ErrNotExist if there is no such key.
type Conn struct{ f *os.File }

// Open connects to xenstore.
func Open() (*Conn, error) {
	f, err := os.OpenFile(Device, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return &Conn{f}, nil
}

// Close ends the connection.
func (c *Conn) Close() error { return c.f.Close() }

// Read reads a key.
func (c *Conn) Read(key string) (string, error) { return c.ask(typeRead, key, "\x00") }

// Write writes a key, and makes those above it if they are not there.
func (c *Conn) Write(key, value string) error {
	_, err := c.ask(typeWrite, key, "\x00"+value)
	return err
}

// Remove removes a key and all below it.
func (c *Conn) Remove(key string) error {
	_, err := c.ask(typeRemove, key, "\x00")
	return err
}

// List lists the names right below a key.
func (c *Conn) List(key string) ([]string, error) {
	names, err := c.ask(typeDirectory, key, "\x00")
	if names == "" {
		return nil, err
	}
	return strings.Split(names, "\x00"), err
}

func (c *Conn) ask(kind uint32, key, more string) (string, error) {
	c.f.SetDeadline(time.Now().Add(time.Minute)) // where the kernel can poll it
	answer, err := exchange(c.f, kind, key, more)
	if err != nil {
		return "", fmt.Errorf("xenstore: %s: %w", key, err)
	}
	return answer, nil
}

// Read reads a key over a connection of its own.
func Read(key string) (string, error) {
	c, err := Open()
	if err != nil {
		return "", err
	}
	defer c.Close()
	return c.Read(key)
}

// exchange sends a message about a key, with what follows the key, and returns
// the answer.
func exchange(rw io.ReadWriter, kind uint32, key, more string) (string, error) {
	if key == "" || strings.Contains(key, "\x00") || len(key)+len(more) > maxBody {
		return "", fs.ErrInvalid
	}
	request, err := binary.Append(nil, binary.NativeEndian, header{Type: kind, Request: 1, Length: uint32(len(key) + len(more))})
	if err != nil {
		return "", err
	}
	// In one write: the kernel takes messages, not bytes.
	if _, err := rw.Write(append(append(request, key...), more...)); err != nil {
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
	case h.Type != kind:
		return "", fmt.Errorf("an answer of type %d", h.Type)
	}
	return text, nil
}
