//go:build linux

package xenbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// pingEvery is how often the agent says that dom0 is alive.
const pingEvery = 5 * time.Second

// drainTime is how long output may stay silent, after the program has ended,
// while one of its children still holds it open.
const drainTime = 500 * time.Millisecond

// dom0Env is the environment of programs in dom0.
var dom0Env = map[string]string{
	"PATH":    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/xenbox/bin",
	"HOME":    "/root",
	"USER":    "root",
	"LOGNAME": "root",
	"SHELL":   "/bin/bash",
	"LANG":    "C",
	"TMPDIR":  "/tmp",
}

// agentMain is the agent: it runs in dom0, as a child of its init.
func agentMain() int {
	os.Clearenv()
	for k, v := range dom0Env {
		os.Setenv(k, v)
	}
	a := &agent{}
	if err := a.main(); err != nil {
		fmt.Fprintf(os.Stderr, "xenbox-agent: %v\n", err)
		return 1
	}
	return 0
}

type agent struct {
	port  *os.File
	out   frameWriter
	job   job
	child *child
	stdin chan []byte // closed at its end
}

func (a *agent) main() error {
	data, err := os.ReadFile(jobPath)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, &a.job); err != nil {
		return err
	}
	if a.port, err = openPort(); err != nil {
		return err
	}
	a.out.w = a.port
	a.stdin = make(chan []byte, stdinWindow) // the session's window bounds it
	report := a.work()
	if err := a.sendFiles(&report); err != nil && report.Error == "" {
		report.Code, report.Error = ExitFailure, fmt.Sprintf("fetching files: %v", err)
	}
	if err := a.out.writeJSON(frameExit, report); err != nil {
		return err
	}
	time.Sleep(30 * time.Second) // the session ends the machine
	return nil
}

// openPort finds the port by its name, as udev would.
func openPort() (*os.File, error) {
	for range 100 {
		names, _ := filepath.Glob("/sys/class/virtio-ports/*/name")
		for _, n := range names {
			if data, err := os.ReadFile(n); err == nil && strings.TrimSpace(string(data)) == portName {
				return os.OpenFile("/dev/"+filepath.Base(filepath.Dir(n)), os.O_RDWR, 0)
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	return nil, errors.New("no virtio port " + portName)
}

// work runs the program to its end.
func (a *agent) work() exitReport {
	for _, d := range append(a.job.Mkdirs, a.job.Dir) {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return exitReport{Code: ExitFailure, Error: err.Error()}
		}
	}
	for _, kv := range a.job.Env {
		k, v, _ := strings.Cut(kv, "=")
		os.Setenv(k, v)
	}
	c, err := startChild(&a.job, &a.out)
	if err != nil {
		code := ExitCannot
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, exec.ErrNotFound) {
			code = ExitNotFound
		}
		return exitReport{Code: code, Error: fmt.Sprintf("dom0 can't run the program: %v", err)}
	}
	a.child = c
	if err := a.out.write(frameHello, nil); err != nil {
		powerOff()
	}
	go a.ping()
	go a.feed()
	go a.listen()
	return c.wait()
}

func (a *agent) ping() {
	for range time.Tick(pingEvery) {
		if a.out.write(framePing, nil) != nil {
			return
		}
	}
}

// listen obeys the session. When the session is gone, the machine has no
// reason to live.
func (a *agent) listen() {
	in := frameReader{r: a.port}
	open := true
	for {
		kind, data, err := in.next()
		if err != nil {
			powerOff()
			return
		}
		var n int
		var w windowReport
		switch {
		case kind == frameStdin && open:
			a.stdin <- append([]byte(nil), data...)
		case kind == frameStdinEOF && open:
			open = false
			close(a.stdin)
		case kind == frameSignal && json.Unmarshal(data, &n) == nil:
			syscall.Kill(-a.child.pid(), syscall.Signal(n))
		case kind == frameResize && json.Unmarshal(data, &w) == nil:
			a.child.resize(w)
		}
	}
}

// feed writes stdin to the program and tells the session what has gone. Input
// that the program does not want any more is taken and dropped.
func (a *agent) feed() {
	for data := range a.stdin {
		_, _ = a.child.stdin.Write(data)
		_ = a.out.writeJSON(frameAck, len(data)) // listen notices that the session is gone
	}
	a.child.closeStdin()
}

// powerOff ends the machine at once.
func powerOff() { _ = os.WriteFile("/proc/sysrq-trigger", []byte("o"), 0) }

// A child is the program with its output on the way to the session.
type child struct {
	cmd      *exec.Cmd
	stdin    *os.File
	terminal *os.File // the master side, if it has one
	outputs  []*os.File
	copying  sync.WaitGroup
	mu       sync.Mutex
	ended    bool
}

func startChild(j *job, out *frameWriter) (*child, error) {
	path, err := exec.LookPath(j.Argv[0])
	if strings.Contains(j.Argv[0], "/") {
		path = absIn(j.Dir, j.Argv[0])
		_, err = os.Stat(path)
	}
	if err != nil {
		return nil, err
	}
	c := &child{cmd: &exec.Cmd{Path: path, Args: j.Argv, Dir: j.Dir}}
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	var theirs []*os.File
	if j.Terminal != nil {
		theirs, err = c.openTerminal(*j.Terminal)
	} else {
		theirs, err = c.openPipes()
	}
	if err == nil {
		err = c.cmd.Start()
	}
	for _, f := range theirs {
		f.Close()
	}
	if err != nil {
		return nil, err
	}
	for i, r := range c.outputs {
		kind := []frameKind{frameStdout, frameStderr}[i]
		c.copying.Go(func() { c.copy(r, out.stream(kind)) })
	}
	return c, nil
}

func (c *child) openPipes() ([]*os.File, error) {
	var r, w [3]*os.File
	for i := range r {
		var err error
		if r[i], w[i], err = os.Pipe(); err != nil {
			return nil, err
		}
	}
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = r[0], w[1], w[2]
	c.stdin, c.outputs = w[0], []*os.File{r[1], r[2]}
	return []*os.File{r[0], w[1], w[2]}, nil
}

func (c *child) openTerminal(size windowReport) ([]*os.File, error) {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	fd := int(master.Fd())
	if err := unix.SetNonblock(fd, true); err != nil { // Fd made it blocking
		return nil, err
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		return nil, err
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return nil, err
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = slave, slave, slave
	c.cmd.SysProcAttr.Setctty = true
	c.stdin, c.terminal, c.outputs = master, master, []*os.File{master}
	c.resize(size)
	return []*os.File{slave}, nil
}

// copy sends output on until its end or, once the program has ended, until it
// has been silent for a while.
func (c *child) copy(r *os.File, w io.Writer) {
	buf := make([]byte, 32<<10)
	for {
		c.mu.Lock()
		if c.ended {
			r.SetReadDeadline(time.Now().Add(drainTime))
		}
		c.mu.Unlock()
		n, err := r.Read(buf)
		if n > 0 {
			if _, werr := w.Write(buf[:n]); werr != nil {
				return
			}
		}
		if err != nil {
			return // EOF, EIO from a terminal without users, or the deadline
		}
	}
}

func (c *child) pid() int { return c.cmd.Process.Pid }

func (c *child) closeStdin() {
	if c.terminal == nil {
		c.stdin.Close()
		return
	}
	_, _ = c.stdin.Write([]byte{4}) // ^D; a terminal that is gone has its end
}

func (c *child) resize(w windowReport) {
	if c.terminal == nil {
		return
	}
	raw, err := c.terminal.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: w.Rows, Col: w.Cols})
	})
}

// wait waits for the program and for its output.
func (c *child) wait() exitReport {
	state, err := c.cmd.Process.Wait()
	c.mu.Lock()
	c.ended = true
	for _, r := range c.outputs {
		r.SetReadDeadline(time.Now().Add(drainTime))
	}
	c.mu.Unlock()
	c.copying.Wait()
	if err != nil {
		return exitReport{Code: ExitFailure, Error: err.Error()}
	}
	ws := state.Sys().(syscall.WaitStatus)
	if ws.Signaled() {
		return exitReport{Signal: int(ws.Signal())}
	}
	return exitReport{Code: ws.ExitStatus()}
}
