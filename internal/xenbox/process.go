//go:build linux

package xenbox

import (
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// A process is a child in a process group of its own that can't outlive
// xenbox, however xenbox ends.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when reaped
	err  error         // what Wait said, once done is closed
	once sync.Once
}

// startProcess starts cmd. The kernel ties Pdeathsig to the thread that
// forked, so one goroutine keeps its thread from the start until the child is
// reaped.
func startProcess(cmd *exec.Cmd) (*process, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	p := &process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.done)
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		// The pipes of cmd are read by others: Process.Wait, unlike
		// cmd.Wait, does not close them under the readers.
		state, err := cmd.Process.Wait()
		if err == nil && !state.Success() {
			err = &exec.ExitError{ProcessState: state}
		}
		p.err = err
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// wait waits until the process is reaped.
func (p *process) wait() error {
	<-p.done
	return p.err
}

// stop sends sig to the whole group, and SIGKILL to it after grace.
func (p *process) stop(sig syscall.Signal, grace time.Duration) {
	p.once.Do(func() {
		pid := p.cmd.Process.Pid
		select {
		case <-p.done:
			return
		default:
		}
		syscall.Kill(-pid, sig)
		t := time.NewTimer(grace)
		defer t.Stop()
		select {
		case <-p.done:
		case <-t.C:
		}
		syscall.Kill(-pid, syscall.SIGKILL) // also stragglers of the group
	})
}

// kill ends the group at once and waits for the process to be reaped.
func (p *process) kill() {
	p.stop(syscall.SIGKILL, 0)
	<-p.done
}

// tailBuffer keeps the last max bytes written to it.
type tailBuffer struct {
	mu  sync.Mutex
	max int
	buf []byte
}

func (t *tailBuffer) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if n := len(t.buf) - t.max; n > 0 {
		t.buf = append(t.buf[:0], t.buf[n:]...)
	}
	return len(p), nil
}

func (t *tailBuffer) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.buf)
}
