//go:build linux

package xenbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

const (
	testGrace    = 2 * time.Minute  // what a test binary gets beyond its own timeout
	signalGrace  = 10 * time.Second // what a program gets to end after a signal
	silenceLimit = 3 * time.Minute  // dom0 sends something every few seconds
)

// A session is the host's side of one run.
type session struct {
	o       *options
	m       *machine
	p       *progress
	out     frameWriter
	fetches []transfer
	signal  bool          // one has come, for the program to end
	started chan struct{} // closed when the program runs
	ended   chan error    // the reader's end: nil after the exit report
	report  exitReport
	fetched chan error
	window  chan int // bytes of stdin that the agent took
}

// An outcome is how a run has ended.
type outcome struct {
	status  int    // of the program
	started bool   // the program was
	fault   string // what the console says if the emulated processor has erred
}

// runMachine boots the image, runs the job and tells how it has ended.
func runMachine(o *options, img, beside *image, p *progress) (out outcome, err error) {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, endSignals...)
	defer signal.Stop(signals)
	signal.Ignore(syscall.SIGPIPE) // a closed stdout must not keep us from tidying up

	j, sends, fetches, err := planJob(o)
	if err != nil {
		return out, err
	}
	terminal := o.command == "shell"
	if terminal {
		rows, cols := windowSize(0)
		j.Terminal = &windowReport{rows, cols}
		j.Env = append(j.Env, "TERM="+envOr("TERM", "linux"))
		if len(j.Argv) == 0 {
			j.Argv = []string{"/bin/bash", "-l"}
		}
	}
	agent, err := agentBinary(o.target)
	if err != nil {
		return out, err
	}
	name := platforms[o.target.Arch].qemu
	tools, err := needTools(name)
	if err != nil {
		return out, err
	}
	kvm, why, err := chooseKVM(o.accel, o.target.Arch)
	if err != nil {
		return out, err
	}
	m, err := newMachine(ctx)
	if err != nil {
		return out, err
	}
	defer m.close()
	payload := filepath.Join(m.dir, "payload")
	if err := writePayload(payload, agent, j, sends); err != nil {
		return out, err
	}
	how := "KVM"
	if !kvm {
		how = "emulated"
		p.debug("no KVM: " + why)
	}
	p.stage(fmt.Sprintf("booting Xen %s of %s (%s)", o.xen.Xen, o.xen, how))
	spec := machineSpec{arch: o.target.Arch, kvm: kvm, cpus: o.cpus, numa: o.numa, memory: o.memory, dom0: o.dom0,
		devices: o.devices, xenArgs: o.xenArgs, payload: payload}
	if beside != nil {
		spec.beside = beside.path(fileRoot)
		if o.xen == o.beside {
			spec.xen = beside.path(fileXen)
		}
	}
	err = m.start(tools[name], img, spec)
	if err != nil {
		return out, err
	}
	s := &session{o: o, m: m, p: p, fetches: fetches, started: make(chan struct{}), ended: make(chan error, 1),
		fetched: make(chan error, 1), window: make(chan int, 64)}
	s.out.w = m.port
	err = s.run(ctx, signals, terminal)
	select {
	case <-s.started:
		out.started = true
	default:
	}
	if !kvm && !s.signal {
		out.fault = emulationFault(m.console)
	}
	if err != nil {
		return out, m.fail(err, o.console)
	}
	p.finish()
	if _, err := m.keepConsole(o.console, false); err != nil {
		return out, err
	}
	out.status, err = s.status()
	return out, err
}

// status turns the agent's report into an exit status.
func (s *session) status() (int, error) {
	r := s.report
	switch {
	case r.Error != "":
		fmt.Fprintf(os.Stderr, "xenbox: %s\n", r.Error)
		return r.Code, nil
	case r.Signal != 0:
		return exitSignal + r.Signal, nil
	}
	for _, name := range r.Missing {
		for _, f := range s.fetches {
			if f.Guest == name && !f.Optional {
				err := fmt.Errorf("-fetch %s: there is no such file in dom0", name)
				if r.Code == 0 {
					return 0, err
				}
				fmt.Fprintf(os.Stderr, "xenbox: %v\n", err)
			}
		}
	}
	return r.Code, nil
}

// run waits for whatever comes first: the program's end, the machine's end, a
// signal, a deadline.
func (s *session) run(ctx context.Context, signals <-chan os.Signal, terminal bool) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	dead := make(chan error, 1)
	go func() {
		if err := watchConsole(ctx, s.m.console, s.onStage); err != nil {
			dead <- err
		}
	}()
	go s.read()

	boot := time.NewTimer(s.o.boot)
	defer boot.Stop()
	var timeout, give <-chan time.Time
	var reason error // what to return when give fires
	started := s.started
	for {
		select {
		case <-started:
			started = nil
			boot.Stop()
			s.p.finish()
			if terminal || (!isTerminal(0) && !s.o.again) {
				restore := s.attach(terminal)
				defer restore()
			} else {
				s.tell(frameStdinEOF, nil)
			}
			if s.o.timeout > 0 {
				timeout = time.After(s.o.timeout)
			}
		case err := <-s.ended:
			if hang := (*HangError)(nil); errors.As(reason, &hang) {
				if err == nil {
					<-s.fetched //nolint:errcheck // what there was
				}
				return reason // it only ended because it was told to
			}
			if err == nil {
				return <-s.fetched
			}
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return &HangError{"dom0 did not answer", silenceLimit, "dom0 or the hypervisor hangs; see the console"}
			}
			if ie := (*InterruptError)(nil); errors.As(err, &ie) {
				return ie
			}
			return s.gone(dead, err)
		case <-s.m.qemu.done:
			return s.gone(dead, nil)
		case err := <-dead:
			return err
		case sig := <-signals:
			reason, s.signal = &InterruptError{int(sig.(syscall.Signal))}, true
			if give != nil || started != nil {
				return reason
			}
			s.tell(frameSignal, int(sig.(syscall.Signal)))
			give = time.After(signalGrace)
		case <-timeout:
			reason = &HangError{"the program did not end", s.o.timeout, "raise -timeout if it needs longer"}
			s.tell(frameSignal, int(syscall.SIGQUIT)) // a Go program says where it hangs
			timeout, give = nil, time.After(signalGrace)
		case <-boot.C:
			return &HangError{"dom0 did not come up", s.o.boot, "see the console; on a slow machine raise -boot-timeout"}
		case <-give:
			return reason
		}
	}
}

// gone explains why the port was closed: the console knows best.
func (s *session) gone(dead <-chan error, cause error) error {
	select {
	case err := <-dead:
		return err
	case <-time.After(2 * time.Second): // the console watcher takes a second to be sure
	}
	select {
	case <-s.m.qemu.done:
		state := "exit status 0"
		if err := s.m.qemu.err; err != nil {
			state = err.Error()
		}
		return &QEMUExitError{State: state, Stderr: s.m.stderr.String()}
	default:
		return fmt.Errorf("the connection to dom0 broke: %v", cause)
	}
}

func (s *session) onStage(stage string) {
	select {
	case <-s.started:
	default:
		s.p.stage(stage)
	}
}

// read handles the agent's frames until the exit report.
func (s *session) read() {
	pr, pw := io.Pipe()
	go func() {
		err := unpackFetched(pr, s.fetches)
		io.Copy(io.Discard, pr)
		s.fetched <- err
	}()
	err := s.frames(pw)
	pw.Close()
	s.ended <- err
}

func (s *session) frames(fetch io.Writer) error {
	in := frameReader{r: s.m.port}
	running := false
	for {
		if running {
			s.m.port.SetReadDeadline(time.Now().Add(silenceLimit))
		}
		kind, data, err := in.next()
		if err != nil {
			return err
		}
		switch kind {
		case frameHello:
			running = true
			close(s.started)
		case frameStdout:
			if _, err := os.Stdout.Write(data); err != nil {
				return &InterruptError{int(syscall.SIGPIPE)} // nobody listens any more
			}
		case frameStderr:
			os.Stderr.Write(data)
		case frameMessage:
			s.p.say("%s", data)
		case frameAck:
			var n int
			if err := json.Unmarshal(data, &n); err != nil {
				return err
			}
			s.window <- n
		case frameFetch:
			if _, err := fetch.Write(data); err != nil {
				return err
			}
		case frameExit:
			return json.Unmarshal(data, &s.report)
		}
	}
}

// attach connects stdin, and the terminal if there is to be one.
func (s *session) attach(terminal bool) (restore func()) {
	restore = func() {}
	if terminal && isTerminal(0) {
		if r, err := makeRaw(0); err == nil {
			restore = r
		}
		resized := make(chan os.Signal, 1)
		signal.Notify(resized, syscall.SIGWINCH)
		go func() {
			for range resized {
				rows, cols := windowSize(0)
				s.tell(frameResize, windowReport{rows, cols})
			}
		}()
	}
	go s.sendStdin()
	return restore
}

// tell sends to the agent. A broken connection is noticed by read.
func (s *session) tell(kind frameKind, v any) { _ = s.out.writeJSON(kind, v) }

// sendStdin sends no more than the agent has room for.
func (s *session) sendStdin() {
	buf := make([]byte, 16<<10)
	room := stdinWindow
	for {
		for room < len(buf) {
			room += <-s.window
		}
		n, err := os.Stdin.Read(buf)
		if n > 0 {
			if s.out.write(frameStdin, buf[:n]) != nil {
				return
			}
			room -= n
		}
		if err != nil {
			s.tell(frameStdinEOF, nil)
			return
		}
	}
}
