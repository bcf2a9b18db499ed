package xltest

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/go-xenlight/xenlight/libxl"
)

// qemuChecks are of devices of PV guests that a QEMU in dom0 is the backend of.
var qemuChecks = []check{
	{"Devices: VFB", "a PV Linux guest draws on a screen, which a VNC client sees, and hears its keys", checkScreen},
	{"Devices: Channels", "a PV Linux guest and dom0 talk over a terminal and a socket", checkTalk},
	{"Devices: 9P", "a PV Linux guest and dom0 share a folder", checkShare},
}

// rfb is a client of a VNC server, as RFC 6143 says, that asks for no password.
type rfb struct {
	net.Conn
	in     *bufio.Reader
	pixels int // bytes of one
}

// vnc connects to a guest's screen until the end of the check.
func (t *T) vnc(address string) *rfb {
	var c *rfb
	t.until("the VNC server", func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			c = &rfb{Conn: conn, in: bufio.NewReader(conn)}
		}
		return err == nil
	})
	t.Cleanup(func() { c.Close() })
	deadline, _ := t.ctx.Deadline()
	c.SetDeadline(deadline)
	version := make([]byte, 12)
	t.read(c.in, version)
	t.write(c, version)
	kinds := make([]byte, 1)
	t.read(c.in, kinds)
	t.read(c.in, make([]byte, kinds[0]))
	t.write(c, []byte{1}) // no authentication
	result := make([]byte, 4)
	t.read(c.in, result)
	equal(t, "the VNC server's answer", [4]byte(result), [4]byte{})
	t.write(c, []byte{1}) // others may be there
	screen := make([]byte, 24)
	t.read(c.in, screen)
	t.read(c.in, make([]byte, binary.BigEndian.Uint32(screen[20:])))
	c.pixels = int(screen[4]) / 8
	t.write(c, []byte{2, 0, 0, 1, 0, 0, 0, 0}) // pixels as they are
	return c
}

// pixel asks for a pixel of the screen. The server may answer with more around it.
func (c *rfb) pixel(t *T, x, y int) (p []byte) {
	ask := []byte{3, 0}
	for _, n := range []int{x, y, 1, 1} {
		ask = binary.BigEndian.AppendUint16(ask, uint16(n))
	}
	t.write(c, ask)
	for p == nil {
		head := make([]byte, 4)
		t.read(c.in, head)
		if head[0] != 0 {
			t.Fatalf("the VNC server says %x", head)
		}
		for range binary.BigEndian.Uint16(head[2:]) {
			rectangle := make([]byte, 12)
			t.read(c.in, rectangle)
			var n [4]int // x, y, width, height
			for i := range n {
				n[i] = int(binary.BigEndian.Uint16(rectangle[2*i:]))
			}
			if encoding := binary.BigEndian.Uint32(rectangle[8:]); encoding != 0 {
				t.Fatalf("the VNC server's encoding is %d", encoding)
			}
			data := make([]byte, n[2]*n[3]*c.pixels)
			t.read(c.in, data)
			if dx, dy := x-n[0], y-n[1]; dx >= 0 && dx < n[2] && dy >= 0 && dy < n[3] {
				p = data[(dy*n[2]+dx)*c.pixels:][:c.pixels]
			}
		}
	}
	return p
}

func (t *T) read(r io.Reader, p []byte) {
	_, err := io.ReadFull(r, p)
	t.ok(err, "reading")
}

func (t *T) write(w io.Writer, p []byte) {
	_, err := w.Write(p)
	t.ok(err, "writing")
}

// createWithQemu creates a guest, and tells what its QEMU and xenstore have to say
// if the check fails.
func (t *T) createWithQemu(c *libxl.DomainConfig) *guest {
	g := t.create(c)
	t.Cleanup(func() {
		if !t.failed {
			return
		}
		logs, _ := filepath.Glob("/var/log/xen/qemu-dm-" + c.CInfo.Name + ".log")
		for _, name := range logs {
			text, _ := os.ReadFile(name)
			t.Logf("%s:\n%s", name, text[max(0, len(text)-1000):])
		}
		state, _ := exec.Command("xenstore-ls", "-f").Output()
		for line := range strings.Lines(string(state)) {
			if strings.Contains(line, fmt.Sprintf("/%d/", g.Domid)) {
				t.Logf("%s", strings.TrimSpace(line))
			}
		}
	})
	return g
}

func checkScreen(t *T) {
	t.needQemu()
	c := t.config(libxl.DomainTypePv)
	screen := libxl.NewDeviceVfb()
	screen.Vnc.Enable.Set(true)
	screen.Vnc.Listen = "127.0.0.1"
	screen.Vnc.Display = 9
	c.Vfbs, c.Vkbs = []libxl.DeviceVfb{*screen}, []libxl.DeviceVkb{*libxl.NewDeviceVkb()}
	g := t.createWithQemu(c)
	g.boot()
	// QEMU 10 is one only if it is started with -vga xenfb, which libxl does not do.
	if backends, err := t.xenbus().List(fmt.Sprintf("/local/domain/0/device-model/%d/backends", g.Domid)); err == nil && !slices.Contains(backends, "vfb") {
		t.Cannot("this QEMU is the backend of %q, not of screens", backends)
	}
	for _, device := range []string{"vfb", "vkbd"} {
		g.t.xenstoreIs(g.backendPath(device, 0)+"/state", "4") // connected
		g.t.xenstoreIs(g.frontendPath(device, 0)+"/state", "4")
	}
	client := t.vnc("127.0.0.1:5909")
	for text, want := range map[string]byte{`\377`: 0xff, `\100`: 0x40} {
		g.sh("tr '\\000' '%s' </dev/zero | dd of=/dev/fb0 bs=4096 count=400 iflag=fullblock", text)
		t.until("the picture to arrive", func() bool {
			p := client.pixel(t, 300, 200)
			return p[0] == want && p[1] == want
		})
	}
	g.sh("modprobe evdev; cat /dev/input/event* >/keys & sleep 1")
	const x, code = 'x', "01002d0001000000" // EV_KEY, KEY_X, pressed
	t.until("the guest to hear the key", func() bool {
		for _, down := range []byte{1, 0} {
			t.write(client, []byte{4, down, 0, 0, 0, 0, 0, x})
		}
		return strings.Contains(g.sh(`hexdump -v -e '24/1 "%%02x" "\n"' /keys`), code)
	})
}

// talker is dom0's end of a channel.
type talker interface {
	io.ReadWriteCloser
	SetReadDeadline(time.Time) error
}

func checkTalk(t *T) {
	t.needQemu()
	c := t.config(libxl.DomainTypePv)
	socket := filepath.Join(os.TempDir(), fmt.Sprintf("xltest-talk-%d", os.Getpid()))
	t.Cleanup(func() { os.Remove(socket) })
	terminal, sock := libxl.NewDeviceChannel(), libxl.NewDeviceChannel()
	terminal.Name, terminal.Connection = "terminal", libxl.ChannelConnectionPty
	sock.Name, sock.Connection = "socket", libxl.ChannelConnectionSocket
	sock.ConnectionUnion = &libxl.DeviceChannelConnectionUnionSocket{Path: socket}
	c.Channels = []libxl.DeviceChannel{*terminal, *sock}
	g := t.createWithQemu(c)
	g.boot()
	if refusal, ok := xenstoreRead(g.path("error/device/console/1/error")); ok && strings.HasPrefix(g.sh("uname -r"), "5.10.") {
		t.Cannot("Linux 5.10 drives the first console only: %s", refusal)
	}
	ends := map[string]talker{}
	channels, err := t.Host.DeviceChannelList(g.Domid)
	t.ok(err, "DeviceChannelList")
	for i := range channels {
		channel := &channels[i]
		var end talker
		if channel.Connection == libxl.ChannelConnectionSocket {
			conn, err := net.Dial("unix", socket)
			t.ok(err, "the socket")
			end = conn.(talker)
		} else {
			var pty *libxl.ChannelinfoConnectionUnionPty
			t.until("the terminal", func() bool {
				info, err := t.Host.DeviceChannelGetinfo(g.Domid, channel)
				t.ok(err, "DeviceChannelGetinfo")
				pty, _ = info.ConnectionUnion.(*libxl.ChannelinfoConnectionUnionPty)
				return pty != nil && pty.Path != ""
			})
			file, err := os.OpenFile(pty.Path, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
			t.ok(err, "the terminal")
			end = file
		}
		t.Cleanup(func() { end.Close() })
		deadline, _ := t.ctx.Deadline()
		_ = end.SetReadDeadline(deadline)
		ends[channel.Name] = end
	}
	// The guest's first console is hvc0; which channel is which of the others
	// does not matter.
	for i := range channels {
		device := fmt.Sprintf("/dev/hvc%d", 1+i)
		g.sh("stty -F %s raw -echo", device)
		g.sh("(read word <%s; echo guest-$word >%s) & sleep 1", device, device)
	}
	equal(t, "channels", len(ends), 2)
	for name, end := range ends {
		t.write(end, []byte(name+"\n"))
		heard := ""
		for want := "guest-" + name; !strings.Contains(heard, want); {
			buf := make([]byte, 100)
			n, err := end.Read(buf)
			heard += string(buf[:n])
			t.ok(err, fmt.Sprintf("waiting for %q on the channel %s, which has said %q", want, name, heard))
		}
	}
}

func checkShare(t *T) {
	t.needQemu()
	folder, err := os.MkdirTemp("", "xltest-share-")
	t.ok(err, "a folder")
	t.Cleanup(func() { os.RemoveAll(folder) })
	t.ok(os.WriteFile(filepath.Join(folder, "hello"), []byte("written in dom0\n"), 0o644), "a file")
	c := t.config(libxl.DomainTypePv)
	share := libxl.NewDeviceP9()
	share.Tag, share.Path, share.SecurityModel = "share", folder, "none"
	if t.release() >= 19 {
		share.Type = libxl.P9TypeQemu // else libxl starts no QEMU for it
	}
	c.P9S = []libxl.DeviceP9{*share}
	g := t.createWithQemu(c)
	g.boot()
	// Debian's QEMU 10 does not serve what libxl starts it for.
	const refusal = "does not support hotplugging"
	t.until("QEMU to serve the folder", func() bool {
		if qemuSays(c, refusal) {
			t.Cannot("this QEMU cannot share folders with PV guests: it %s", refusal)
		}
		state, _ := xenstoreRead(g.backendPath("9pfs", 0) + "/state")
		return state != "" && state != "1"
	})
	g.sh("modprobe 9pnet_xen && modprobe 9p && mkdir -p /share && mount -t 9p -o trans=xen,version=9p2000.L share /share")
	equal(t, "what the guest reads", g.sh("cat /share/hello"), "written in dom0")
	g.sh("echo written by the guest >/share/answer && sync")
	answer, err := os.ReadFile(filepath.Join(folder, "answer"))
	t.ok(err, "what the guest has written")
	equal(t, "what the guest has written", string(answer), "written by the guest\n")
	g.sh("umount /share")
}

// restored is ok for what starts QEMU with the state of an earlier one.
func (t *T) restored(c *libxl.DomainConfig, err error, what string) {
	// QEMU 11's words, for libxl has the state in a file.
	const refusal = "migration to a file is not supported"
	if err != nil && qemuSays(c, refusal) {
		t.Cannot("this QEMU does not take its state from where libxl has it: %s", refusal)
	}
	t.ok(err, what)
}

// qemuSays tells whether a guest's QEMU has said something on its standard error.
func qemuSays(c *libxl.DomainConfig, words string) bool {
	text, _ := os.ReadFile("/var/log/xen/qemu-dm-" + c.CInfo.Name + ".log")
	return strings.Contains(string(text), words)
}
