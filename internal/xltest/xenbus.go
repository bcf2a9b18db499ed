package xltest

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// xenbus is a connection to xenstored in which libxl has no part.
type xenbus struct{ f *os.File }

// The messages of xenstore's protocol.
const (
	xsDirectory = 1
	xsRead      = 2
	xsWrite     = 11
	xsRm        = 13
	xsError     = 16
)

// xenbus opens a connection until the end of the check.
func (t *T) xenbus() xenbus {
	f, err := os.OpenFile("/dev/xen/xenbus", os.O_RDWR, 0)
	if err != nil {
		t.Cannot("no way to xenstore but libxl's: %v", err)
	}
	t.Cleanup(func() { f.Close() })
	return xenbus{f}
}

// ask sends a message and returns the answer.
func (x xenbus) ask(kind uint32, payload string) (string, error) {
	var m []byte
	for _, word := range []uint32{kind, 0, 0, uint32(len(payload))} {
		m = binary.NativeEndian.AppendUint32(m, word)
	}
	if _, err := x.f.Write(append(m, payload...)); err != nil {
		return "", err
	}
	head := make([]byte, 16)
	if _, err := io.ReadFull(x.f, head); err != nil {
		return "", err
	}
	answer := make([]byte, binary.NativeEndian.Uint32(head[12:]))
	if _, err := io.ReadFull(x.f, answer); err != nil {
		return "", err
	}
	text := strings.TrimRight(string(answer), "\x00")
	if binary.NativeEndian.Uint32(head) == xsError {
		return "", fmt.Errorf("xenstored: %s", text)
	}
	return text, nil
}

func (x xenbus) read(key string) (string, error) { return x.ask(xsRead, key+"\x00") }

func (x xenbus) write(key, value string) error {
	_, err := x.ask(xsWrite, key+"\x00"+value)
	return err
}

// remove removes a key and those below it.
func (x xenbus) remove(key string) error {
	_, err := x.ask(xsRm, key+"\x00")
	return err
}

// list lists the names below a key.
func (x xenbus) list(key string) []string {
	names, err := x.ask(xsDirectory, key+"\x00")
	if err != nil || names == "" {
		return nil
	}
	return strings.Split(names, "\x00")
}

// backendPath is where the backend of a guest's device is in xenstore.
func (g *guest) backendPath(kind string, devid int) string {
	return fmt.Sprintf("/local/domain/0/backend/%s/%d/%d", kind, g.Domid, devid)
}

// frontendPath is where the guest finds its device in xenstore.
func (g *guest) frontendPath(kind string, devid int) string {
	return fmt.Sprintf("/local/domain/%d/device/%s/%d", g.Domid, kind, devid)
}

// playBackend does what a driver in dom0 would do for the guest's devices of a
// kind, until the check ends: libxl waits for its answers, and dom0 has no such
// driver.
func (g *guest) playBackend(kind string) {
	// What a backend answers to a state that libxl has written.
	answers := map[string]string{"1": "2", "5": "6"}
	x := g.t.xenbus()
	folder := fmt.Sprintf("/local/domain/0/backend/%s/%d", kind, g.Domid)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			for _, devid := range x.list(folder) {
				key := folder + "/" + devid + "/state"
				state, _ := x.read(key)
				if answer, ok := answers[state]; ok {
					x.write(key, answer)
				}
			}
			select {
			case <-stop:
				return
			case <-tick.C:
			}
		}
	}()
	g.t.Cleanup(func() {
		close(stop)
		<-stopped
	})
}
