package xenlight

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-xenlight/xenlight/internal/fakexl"
	"github.com/go-xenlight/xenlight/libxl"
)

// disasters is set in the process of the test that breaks a Host: what a broken
// Host holds is never freed.
const disasters = "XENLIGHT_TEST_DISASTER"

// alone tells whether this is that process; if not, it has run the test there.
func alone(t *testing.T) bool {
	t.Helper()
	if os.Getenv(disasters) != "" {
		return true
	}
	openFake(t) // or skip
	cmd := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), disasters+"=1")
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

func TestADisasterEndsEverything(t *testing.T) {
	if !alone(t) {
		return
	}
	h := openFake(t)
	events := h.Events(t.Context())
	ended := make(chan error, 20)
	for range cap(ended) {
		go func() { ended <- h.DomainPause(t.Context(), fakexl.Pause(fakexl.Wait, 10*time.Second)) }()
	}
	eventually(t, "the operations", func() bool { return operations(t, h) == cap(ended) })
	err := h.DomainPause(t.Context(), fakexl.Pause(fakexl.Disaster, 0))
	if !errors.Is(err, ErrBroken) || !strings.Contains(err.Error(), "the fake was told so: "+syscall.EIO.Error()) {
		t.Errorf("the operation that breaks it: %v", err)
	}
	for range cap(ended) {
		if err := <-ended; !errors.Is(err, ErrBroken) {
			t.Errorf("an operation ends with %v", err)
		}
	}
	for _, err := range events {
		if !errors.Is(err, ErrBroken) {
			t.Errorf("a watch ends with %v", err)
		}
	}
	if _, err := h.ListDomain(); !errors.Is(err, ErrBroken) {
		t.Errorf("a call: %v", err)
	}
	if err := h.Close(); !errors.Is(err, ErrBroken) {
		t.Errorf("Close: %v", err)
	}
}

// What fails because xenstored has ended says so, even if the pump has not been
// able to notice.
func TestWhatFailsAsXenstoredEndsIsBroken(t *testing.T) {
	if !alone(t) {
		return
	}
	socket := filepath.Join(t.TempDir(), "socket")
	t.Setenv("XENSTORED_PATH", socket)
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	locked := make(chan Progress)
	h := openFake(t, WithProgress(func(p Progress) { locked <- p }))
	daemon, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	pause := func(k fakexl.Kind, lasts time.Duration) <-chan error {
		ended := make(chan error, 1)
		go func() { ended <- h.DomainPause(t.Context(), fakexl.Pause(k, lasts)) }()
		return ended
	}
	busy := pause(fakexl.Block, time.Second)
	<-locked
	refused := pause(fakexl.Refused, 0)
	eventually(t, "the call", func() bool { return h.Calls()["libxl_domain_pause"].Made == 2 })
	daemon.Close()
	err = <-refused
	if !errors.Is(err, ErrBroken) || !errors.Is(err, libxl.ErrorInval) || !strings.Contains(err.Error(), "xenstored has ended") {
		t.Errorf("what libxl refuses meanwhile: %v", err)
	}
	if err := <-busy; err != nil && !errors.Is(err, ErrBroken) {
		t.Errorf("what libxl was busy with: %v", err)
	}
}
