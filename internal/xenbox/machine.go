//go:build linux

package xenbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A machine is one running QEMU with the folder that belongs to it.
type machine struct {
	dir     string
	unlock  func()
	console string
	qemu    *process
	stderr  *tailBuffer
	port    *os.File // the session's end of the port
}

// A bootError is a failure of the machine, with where its console is kept.
type bootError struct {
	err     error
	console string // kept file
	tail    string
}

func (e *bootError) Error() string { return e.err.Error() }
func (e *bootError) Unwrap() error { return e.err }

// report shows the end of the console.
func (e *bootError) report() string {
	var b strings.Builder
	if e.tail != "" {
		b.WriteString("xenbox: the end of the console:\n")
		for line := range strings.Lines(e.tail) {
			b.WriteString("  | " + strings.TrimRight(line, "\n") + "\n")
		}
	}
	if e.console != "" {
		fmt.Fprintf(&b, "xenbox: the whole console: %s\n", e.console)
	}
	return b.String()
}

// tempPattern names the folders of runs.
const tempPattern = "xenbox-run-"

// newMachine makes the folder of a run. It is locked as long as xenbox lives,
// so that folders of killed runs can be told and removed.
func newMachine(ctx context.Context) (*machine, error) {
	removeStale(os.TempDir())
	dir, err := os.MkdirTemp("", tempPattern)
	if err != nil {
		return nil, err
	}
	unlock, err := lockFile(ctx, filepath.Join(dir, "lock"), nil)
	if err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	m := &machine{dir: dir, unlock: unlock, console: filepath.Join(dir, "console"), stderr: &tailBuffer{max: 4096}}
	return m, os.WriteFile(m.console, nil, 0o644)
}

// removeStale removes folders of runs that ended without cleaning up.
func removeStale(tmp string) {
	dirs, _ := filepath.Glob(filepath.Join(tmp, tempPattern+"*"))
	for _, d := range dirs {
		st, err := os.Stat(d)
		if err != nil || time.Since(st.ModTime()) < time.Minute {
			continue // perhaps not locked yet
		}
		f, err := os.OpenFile(filepath.Join(d, "lock"), os.O_RDWR, 0)
		if err != nil {
			continue // another user's
		}
		if ok, err := tryLock(f); err == nil && ok {
			os.RemoveAll(d)
		}
		f.Close()
	}
}

// start starts QEMU.
func (m *machine) start(qemu string, img *image, spec machineSpec) error {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	theirs := os.NewFile(uintptr(fds[1]), "port")
	defer theirs.Close()
	if err := unix.SetNonblock(fds[0], true); err != nil { // deadlines need it
		return err
	}
	m.port = os.NewFile(uintptr(fds[0]), "port")
	spec.console, spec.port = m.console, 3
	cmd := exec.Command(qemu, qemuArgs(spec)...)
	cmd.Dir = img.dir
	cmd.Env = append(os.Environ(), "TMPDIR="+m.dir)
	cmd.ExtraFiles = []*os.File{theirs}
	pr, pw, err := os.Pipe()
	if err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = pw, pw
	m.qemu, err = startProcess(cmd)
	pw.Close()
	if err != nil {
		pr.Close()
		return fmt.Errorf("starting QEMU: %w", err)
	}
	go func() {
		defer pr.Close()
		buf := make([]byte, 1024)
		for {
			n, err := pr.Read(buf)
			_, _ = m.stderr.Write(buf[:n])
			if err != nil {
				return
			}
		}
	}()
	return nil
}

// close leaves nothing behind.
func (m *machine) close() {
	if m.qemu != nil {
		m.qemu.kill()
	}
	if m.port != nil {
		m.port.Close()
	}
	os.RemoveAll(m.dir)
	m.unlock()
}

// consolesKept is how many consoles of failed runs are kept.
const consolesKept = 20

// keepConsole copies the console to where the user asked for it or, after a
// failure, to the cache, and returns the place.
func (m *machine) keepConsole(asked string, failed bool) (string, error) {
	data, err := os.ReadFile(m.console)
	if err != nil || (asked == "" && !failed) {
		return "", err
	}
	if asked != "" {
		return asked, os.WriteFile(asked, data, 0o644)
	}
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "consoles")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	name := filepath.Join(dir, fmt.Sprintf("%s-%d.log", time.Now().UTC().Format("20060102T150405"), os.Getpid()))
	old, _ := filepath.Glob(filepath.Join(dir, "*.log")) // sorted, so oldest first
	for i := 0; i <= len(old)-consolesKept; i++ {
		os.Remove(old[i])
	}
	return name, os.WriteFile(name, data, 0o644)
}

// fail wraps an error of the machine with its console.
func (m *machine) fail(err error, asked string) error {
	var ie *InterruptError
	kept, kerr := m.keepConsole(asked, true)
	if errors.As(err, &ie) {
		return err
	}
	be := &bootError{err: err, tail: consoleTail(m.console, 40)}
	if kerr == nil {
		be.console = kept
	}
	return be
}
