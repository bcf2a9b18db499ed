//go:build linux

package xenbox

import (
	"bytes"
	"fmt"
	"os"
)

// A cpioWriter makes an initramfs in the "newc" format, not compressed: an
// emulated CPU copies faster than it unpacks.
type cpioWriter struct {
	buf bytes.Buffer
	ino int
}

const (
	cpioDir  = 0o040000
	cpioFile = 0o100000
	cpioLink = 0o120000
	cpioChar = 0o020000
)

func (c *cpioWriter) entry(name string, mode, rmajor, rminor int, data []byte) {
	c.ino++
	fmt.Fprintf(&c.buf, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
		c.ino, mode, 0, 0, 1, 0, len(data), 0, 0, rmajor, rminor, len(name)+1, 0)
	c.buf.WriteString(name)
	c.buf.WriteByte(0)
	c.pad()
	c.buf.Write(data)
	c.pad()
}

func (c *cpioWriter) pad() {
	for c.buf.Len()%4 != 0 {
		c.buf.WriteByte(0)
	}
}

func (c *cpioWriter) dirs(names ...string) {
	for _, n := range names {
		c.entry(n, cpioDir|0o755, 0, 0, nil)
	}
}

func (c *cpioWriter) file(name string, perm int, data []byte) {
	c.entry(name, cpioFile|perm, 0, 0, data)
}

func (c *cpioWriter) link(name, target string) {
	c.entry(name, cpioLink|0o777, 0, 0, []byte(target))
}

func (c *cpioWriter) char(name string, perm, major, minor int) {
	c.entry(name, cpioChar|perm, major, minor, nil)
}

// copyFile adds a file of the host.
func (c *cpioWriter) copyFile(name string, perm int, from string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	c.file(name, perm, data)
	return nil
}

// bytes ends the archive.
func (c *cpioWriter) bytes() []byte {
	c.ino = -1
	c.entry("TRAILER!!!", 0, 0, 0, nil)
	return c.buf.Bytes()
}
