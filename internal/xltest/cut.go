package xltest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/go-xenlight/xenlight"
	"github.com/go-xenlight/xenlight/internal/xenstore"
	"github.com/go-xenlight/xenlight/libxl"
)

var cutChecks = []check{
	{loadSection, "when the way to xenstored is cut, all calls and watches end with ErrBroken, and the process lives on", checkCut},
}

// A relay is a way to xenstored that can be cut, as the daemon's death would.
type relay struct {
	path     string
	listener net.Listener
	mu       sync.Mutex
	isCut    bool
	conns    []net.Conn
	group    sync.WaitGroup
}

func (t *T) relay() *relay {
	daemon := xenstore.Socket()
	if _, err := os.Stat(daemon); err != nil {
		t.Cannot("xenstored does not run in this domain: %v", err)
	}
	dir, err := os.MkdirTemp("", "xltest")
	t.ok(err, "a folder")
	t.Cleanup(func() { os.RemoveAll(dir) })
	r := &relay{path: filepath.Join(dir, "socket")}
	r.listener, err = net.Listen("unix", r.path)
	t.ok(err, r.path)
	t.Cleanup(r.cut)
	r.group.Go(func() {
		for {
			client, err := r.listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("unix", daemon)
			if err != nil {
				client.Close()
				continue
			}
			r.mu.Lock()
			late := r.isCut
			r.conns = append(r.conns, client, server)
			r.mu.Unlock()
			if late {
				client.Close()
				server.Close()
				return
			}
			for _, c := range [][2]net.Conn{{client, server}, {server, client}} {
				r.group.Go(func() {
					_, _ = io.Copy(c[0], c[1]) // until either end is gone
					c[0].Close()
				})
			}
		}
	})
	return r
}

// cut ends all connections, and there will be no more.
func (r *relay) cut() {
	r.listener.Close()
	r.mu.Lock()
	r.isCut = true
	for _, c := range r.conns {
		c.Close()
	}
	r.mu.Unlock()
	r.group.Wait()
}

// underLoad and broken are what a copy of the program says, see useUntilBroken.
const (
	underLoad = "under load"
	broken    = "all have ended: "
)

// useUntilBroken has two Hosts do what they can until both are broken, which must
// be soon after it has said that they are under load.
func useUntilBroken(hosts []*xenlight.Host, domid libxl.Domid) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	d := doomedTo(ctx, xenlight.ErrBroken)
	for _, h := range hosts {
		d.use(h, domid)
	}
	for d.going.Load() < int64(len(hosts)*2*useWorkers) {
		if ctx.Err() != nil {
			return fmt.Errorf("the load: %w: %s", ctx.Err(), d)
		}
		time.Sleep(10 * time.Millisecond)
	}
	fmt.Println(underLoad)
	if err := d.wait(); err != nil {
		return err
	}
	for _, h := range hosts {
		if _, err := h.ListDomain(); !errors.Is(err, xenlight.ErrBroken) {
			return fmt.Errorf("ListDomain afterwards: %w", err)
		}
		if err := h.CloseContext(ctx); !errors.Is(err, xenlight.ErrBroken) {
			return fmt.Errorf("closing: %w", err)
		}
	}
	fmt.Println(broken + d.String())
	return nil
}

// checkCut has a copy of the program use Hosts behind a relay.
func checkCut(t *T) {
	g := t.create(t.tiny(t.plain(), ""))
	was := t.snapshot()
	r := t.relay()
	cmd := t.instead("broken", g.Domid)
	cmd.Env = append(cmd.Env, xenstore.SocketVariable+"="+r.path)
	said, err := cmd.StdoutPipe()
	t.ok(err, "a pipe")
	var errs strings.Builder
	cmd.Stderr = &errs
	t.ok(cmd.Start(), "a copy of the program")
	last := ""
	for lines := bufio.NewScanner(said); lines.Scan(); {
		if last = lines.Text(); last == underLoad {
			r.cut()
		}
	}
	err = cmd.Wait()
	if err != nil || !strings.HasPrefix(last, broken) {
		t.Fatalf("the copy has ended with %v and has said %q: %s", err, last, errs.String())
	}
	t.Logf("%s", last)
	r.cut()
	_, err = t.Host.PrimaryConsoleGetTty(g.Domid)
	t.ok(err, "PrimaryConsoleGetTty on another Host")
	t.nothingLeft(was)
}
