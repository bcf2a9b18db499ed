package xltest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/go-xenlight/xenlight"
	"github.com/go-xenlight/xenlight/libxl"
)

const execSection = "Domain operations: Exec helper functions"

var execChecks = []check{
	{execSection, "the console's client talks to a guest, started beside the program and in its place", checkConsoleClients},
	{execSection, "a console can be read and written, and ends with the guest", checkConsoleAttach},
	{execSection, "the VNC viewer is started with the screen's address", checkVncviewer},
	{execSection, "without a console or a screen there is an error", checkExecErrors},
}

// ExecInstead is set in the environment of a copy of the program which becomes
// another one: "console 5", "primary 5", both perhaps with an escape character
// after it, or "vncviewer 5"; or which does what would end the program itself:
// "devices 0", "broken 5".
const ExecInstead = "XLTEST_EXEC"

// BecomeAnother does what ExecInstead says.
func BecomeAnother(what string) error {
	kind, rest, _ := strings.Cut(what, " ")
	number, escape, _ := strings.Cut(rest, " ")
	domid, err := strconv.Atoi(number)
	if err != nil {
		return err
	}
	h, err := xenlight.Open()
	if err != nil {
		return err
	}
	switch kind {
	case "console":
		return h.ConsoleExec(libxl.Domid(domid), 0, libxl.ConsoleTypePv, xenlight.EscapeCharacter(escape))
	case "primary":
		return h.PrimaryConsoleExec(libxl.Domid(domid), xenlight.EscapeCharacter(escape))
	case "vncviewer":
		return h.VncviewerExec(libxl.Domid(domid), false)
	case "devices":
		go func() {
			for h.Calls()["libxl_device_events_handler"].Made == 0 {
				time.Sleep(10 * time.Millisecond)
			}
			fmt.Println(handling)
		}()
		return h.DeviceEventsHandler()
	case "broken":
		other, err := xenlight.Open()
		if err != nil {
			return err
		}
		return useUntilBroken([]*xenlight.Host{h, other}, libxl.Domid(domid))
	}
	return errors.New(what)
}

// instead is the command of a copy of the program that becomes another one.
func (t *T) instead(kind string, domid libxl.Domid, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(t.ctx, "/proc/self/exe")
	what := append([]string{kind, fmt.Sprint(domid)}, args...)
	cmd.Env = append(os.Environ(), ExecInstead+"="+strings.Join(what, " "))
	return cmd
}

// escapeSince is the minor number of the release that brought the escape character.
const escapeSince = 18

func checkConsoleClients(t *T) {
	escape := ""
	if t.release() >= escapeSince {
		escape = "^A"
	}
	for _, kind := range t.kinds() {
		g := t.create(t.tiny(kind, ""))
		tty, err := t.Host.PrimaryConsoleGetTty(g.Domid)
		t.ok(err, "PrimaryConsoleGetTty")
		console, err := os.OpenFile(tty, os.O_WRONLY|unix.O_NOCTTY, 0)
		t.ok(err, tty)
		t.Cleanup(func() { console.Close() })
		g.do("DomainUnpause", t.Host.DomainUnpause)
		command, err := t.Host.ConsoleCommand(g.Domid, 0, libxl.ConsoleTypePv)
		t.ok(err, "ConsoleCommand")
		primary, err := t.Host.PrimaryConsoleCommand(g.Domid)
		t.ok(err, "PrimaryConsoleCommand")
		typed, err := t.Host.PrimaryConsoleCommand(g.Domid)
		t.ok(err, "PrimaryConsoleCommand")
		typed.Args = append(typed.Args, "--interactive")
		in, err := typed.StdinPipe()
		t.ok(err, "a pipe")
		for i, c := range []struct {
			cmd     *exec.Cmd
			in      io.Writer // where the guest's input is written to
			replace string    // the function by which a copy of the program becomes the client
		}{{command, console, ""}, {primary, console, ""}, {typed, in, ""},
			{t.instead("console", g.Domid, escape), console, "libxl_console_exec"},
			{t.instead("primary", g.Domid, escape), console, "libxl_primary_console_exec"}} {
			line, ok := t.converse(c.cmd, c.in, fmt.Sprintf("answer-%d", i))
			if ok && c.replace != "" {
				_, got, _ := strings.Cut(line, " --escape ")
				equal(t, "the escape character that "+c.replace+" has given in "+line, got, escape)
				t.inCopy(c.replace)
			}
		}
	}
}

// converse starts a client of a tiny guest's console, has the guest say
// something, waits until the client has said it, and ends the client. It tells the
// client's command line, which for a copy of the program is not cmd's, and whether
// the client has said it.
func (t *T) converse(cmd *exec.Cmd, in io.Writer, text string) (line string, ok bool) {
	out, err := cmd.StdoutPipe()
	t.ok(err, "a pipe")
	t.ok(cmd.Start(), cmd.Path)
	stop := context.AfterFunc(t.ctx, func() { cmd.Process.Kill() })
	defer stop()
	heard := make(chan struct{})
	var group sync.WaitGroup
	defer group.Wait()
	defer close(heard)
	group.Go(func() {
		// What the guest says before the client is attached the client may not hear.
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			if _, err := io.WriteString(in, "echo "+text+"\n"); err != nil {
				return
			}
			select {
			case <-heard:
				return
			case <-tick.C:
			}
		}
	})
	var said strings.Builder
	buf := make([]byte, 512)
	for !strings.Contains(said.String(), text) {
		n, err := out.Read(buf)
		said.Write(buf[:n])
		if err != nil {
			t.Errorf("%s: it has not said %q: %v; it said %q", cmd.Path, text, err, said.String())
			break
		}
	}
	args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", cmd.Process.Pid))
	if err != nil {
		t.Errorf("the client's command line: %v", err)
	}
	cmd.Process.Kill()
	_ = cmd.Wait()
	line = strings.ReplaceAll(strings.TrimSuffix(string(args), "\x00"), "\x00", " ")
	return line, strings.Contains(said.String(), text)
}

func checkConsoleAttach(t *T) {
	g := t.create(t.tiny(libxl.DomainTypePvh, ""))
	c, err := t.Host.PrimaryConsoleAttach(g.Domid)
	t.ok(err, "PrimaryConsoleAttach")
	defer c.Close()
	g.do("DomainUnpause", t.Host.DomainUnpause)
	said := make(chan string)
	go func() {
		all, err := io.ReadAll(c)
		said <- fmt.Sprintf("%s%v", all, err)
	}()
	_, err = io.WriteString(c, "echo attached\npoweroff\n")
	t.ok(err, "writing")
	g.shutDown()
	g.destroy()
	select {
	case all := <-said:
		if !strings.Contains(all, "attached") || !strings.HasSuffix(all, "<nil>") {
			t.Errorf("the console said %q", all)
		}
	case <-t.ctx.Done():
		t.Errorf("the console has not ended")
	}
}

func checkVncviewer(t *T) {
	t.needQemu()
	viewer := t.script("#!/bin/sh\necho viewer \"$@\"\n")
	t.Setenv("VNCVIEWER", viewer)
	c := t.hvm()
	hvm := c.BInfo.TypeUnion.(*libxl.DomainBuildInfoTypeUnionHvm)
	hvm.Vnc.Enable.Set(true)
	hvm.Vnc.Listen = "127.0.0.1"
	hvm.Vnc.Display = 7
	g := t.create(c)
	cmd, err := t.Host.VncviewerCommand(g.Domid, true)
	t.ok(err, "VncviewerCommand")
	for _, cmd := range []*exec.Cmd{cmd, t.instead("vncviewer", g.Domid)} {
		out, err := cmd.CombinedOutput()
		t.ok(err, "the viewer")
		equal(t, "the viewer's arguments", strings.TrimSpace(string(out)), "viewer 127.0.0.1:7")
	}
	t.inCopy("libxl_vncviewer_exec")
}

func checkExecErrors(t *T) {
	g := t.create(t.tiny(libxl.DomainTypePvh, ""))
	_, err := t.Host.VncviewerCommand(g.Domid, false)
	wantError(t, "VncviewerCommand of a guest without a screen", err)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("VncviewerCommand of a guest without a screen: %v", err)
	}
	wantCode(t, "VncviewerExec of a guest without a screen", t.Host.VncviewerExec(g.Domid, false), libxl.ErrorFail)
	wantError(t, "PrimaryConsoleExec of no domain", t.Host.PrimaryConsoleExec(nobody))
	wantField(t, "ConsoleExec of no kind", t.Host.ConsoleExec(g.Domid, 0, -5), "kind")
	_, err = t.Host.PrimaryConsoleAttach(nobody)
	wantError(t, "PrimaryConsoleAttach to no domain", err)
	escape := xenlight.EscapeCharacter("x")
	_, err = t.Host.ConsoleCommand(g.Domid, 0, libxl.ConsoleTypePv, escape)
	if t.release() < escapeSince {
		wantUnsupported(t, "ConsoleCommand with an escape character", err)
		wantUnsupported(t, "ConsoleExec with an escape character", t.Host.ConsoleExec(g.Domid, 0, libxl.ConsoleTypePv, escape))
	} else {
		t.ok(err, "ConsoleCommand with an escape character")
	}
}

// script makes a program, until the end of the check.
func (t *T) script(text string) string {
	name := t.file(text, int64(len(text)))
	t.ok(os.Chmod(name, 0o755), name)
	return name
}

// Setenv sets an environment variable until the end of the check.
func (t *T) Setenv(key, value string) {
	old, had := os.LookupEnv(key)
	t.ok(os.Setenv(key, value), key)
	t.Cleanup(func() {
		if had {
			os.Setenv(key, old)
		} else {
			os.Unsetenv(key)
		}
	})
}
