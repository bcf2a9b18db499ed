package xltest

import (
	"fmt"
	"time"

	"github.com/go-xenlight/xenlight/internal/xenstore"
)

// xenbus opens a connection to xenstore, in which libxl has no part, until the
// end of the check.
func (t *T) xenbus() *xenstore.Conn {
	c, err := xenstore.Open()
	if err != nil {
		t.Cannot("no way to xenstore but libxl's: %v", err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// xenstoreRead reads a key.
func xenstoreRead(key string) (value string, ok bool) {
	value, err := xenstore.Read(key)
	return value, err == nil
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
			devids, _ := x.List(folder)
			for _, devid := range devids {
				key := folder + "/" + devid + "/state"
				state, _ := x.Read(key)
				if answer, ok := answers[state]; ok {
					_ = x.Write(key, answer)
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
