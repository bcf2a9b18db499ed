//go:build linux

package xenbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// Main is the whole command: it takes the arguments without the command's own
// name and returns the exit status.
func Main(args []string) int {
	if len(args) > 0 && args[0] == agentCommand {
		return agentMain()
	}
	if len(args) > 1 && args[0] == guardCommand {
		return guardMain(args[1:])
	}
	if len(args) > 0 && args[0] == "matrix" {
		status, err := matrixMain(args[1:])
		if err != nil {
			fmt.Fprintf(os.Stderr, "xenbox: %v\n", err)
			return exitStatus(err)
		}
		return status
	}
	o, err := parseArgs(args)
	if err != nil {
		fmt.Fprintf(os.Stderr, "xenbox: %v\nTry: xenbox -h\n", err)
		return ExitFailure
	}
	if o.help != "" {
		io.WriteString(os.Stdout, o.help)
		return 0
	}
	var status int
	switch o.command {
	case "build":
		status, err = 0, buildCommand(o)
	case "run", "shell":
		status, err = runCommand(o)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "xenbox: %v\n", err)
		return exitStatus(err)
	}
	return status
}

// signalContext is done, with an InterruptError as its cause, when one of the
// signals that end a command arrives.
func signalContext() (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, endSignals...)
	go func() {
		if s, ok := <-ch; ok {
			cancel(&InterruptError{Signal: int(s.(syscall.Signal))})
		}
	}()
	return ctx, func() { signal.Stop(ch); close(ch); cancel(nil) }
}

// endSignals end xenbox; while a program runs in dom0 it gets them first.
var endSignals = []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT}

func buildCommand(o *options) error {
	ctx, stop := signalContext()
	defer stop()
	p := newProgress(os.Stderr, isTerminal(2), false, o.verbose)
	img, err := openImage(ctx, o.target, p, o.force, true)
	p.finish()
	if err != nil {
		return err
	}
	for _, s := range p.times {
		if o.verbose {
			p.say("%7.1fs %s", s.took.Seconds(), s.stage)
		}
	}
	used, err := diskUsage(img.dir)
	if err != nil {
		return err
	}
	p.say("image ready after %.1fs, %d MB on disk", time.Since(p.begin).Seconds(), used>>20)
	fmt.Println(img.dir)
	return nil
}

// diskUsage is what a folder's files take on disk.
func diskUsage(dir string) (int64, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	var sum int64
	var st syscall.Stat_t
	for _, e := range entries {
		if err := syscall.Stat(filepath.Join(dir, e.Name()), &st); err != nil {
			return 0, err
		}
		sum += st.Blocks * 512
	}
	return sum, nil
}

func runCommand(o *options) (int, error) {
	ctx, stop := signalContext()
	p := newProgress(os.Stderr, isTerminal(2), o.quiet(), o.verbose)
	img, err := openImage(ctx, o.target, p, false, false)
	var beside *image
	if err == nil && o.beside != (target{}) {
		beside, err = openImage(ctx, o.beside, p, false, false)
	}
	stop()
	if err != nil {
		p.finish()
		return 0, err
	}
	for try := 1; ; try++ {
		out, err := runMachine(o, img, beside, p)
		p.finish()
		if e := (*bootError)(nil); errors.As(err, &e) {
			fmt.Fprint(os.Stderr, e.report())
		}
		if out.fault == "" || (out.status == 0 && err == nil) {
			return out.status, err
		}
		fmt.Fprintf(os.Stderr, "xenbox: the emulated processor has erred, for which dom0 or a guest is not to blame: the console says %q\n", out.fault)
		if try == 2 || (out.started && !o.again) {
			return out.status, err
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "xenbox: %v\n", err)
		}
		fmt.Fprintln(os.Stderr, "xenbox: once more, on a new host")
	}
}
