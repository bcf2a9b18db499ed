//go:build linux

package xenbox

import (
	"bytes"
	"context"
	"io"
	"os"
	"regexp"
	"strings"
	"time"
)

// The marks of a dead machine on its console. Lines of guests, which the
// hypervisor begins with their number as in "(d3)", are not dom0's.
var (
	hypervisorPanic = regexp.MustCompile(`^\(XEN\).*(Panic on CPU|FATAL TRAP|FATAL PAGE FAULT|Xen BUG at|Hardware Dom0 crashed|Hardware Dom0 halted|Domain 0 crashed)|^Panic on CPU \d+`)
	dom0Panic       = regexp.MustCompile(`Kernel panic - not syncing`)
	guestLine       = regexp.MustCompile(`^\((XEN\) \[.*\] \()?d[1-9]\d*(v\d+)?\)`)
)

// scanConsoleLine tells what a line of the console says about the machine: an
// error if it is dead.
func scanConsoleLine(line string) error {
	line = strings.TrimRight(line, "\r\n ")
	switch {
	case guestLine.MatchString(line):
		return nil
	case dom0Panic.MatchString(line):
		return &PanicError{Line: line}
	case strings.Contains(line, "Dom0 crashed") || strings.Contains(line, "Domain 0 crashed"):
		return &PanicError{Line: line}
	case hypervisorPanic.MatchString(line):
		return &PanicError{Hypervisor: true, Line: line}
	}
	return nil
}

// stageMark begins the lines by which dom0's init says how far it is.
const stageMark = "xenbox-stage: "

// bootStages are what is shown when a mark comes up on the console.
var bootStages = []struct{ mark, stage string }{
	{"(XEN) ", "Xen starts"},
	{"Linux version", "dom0's kernel starts"},
	{stageMark + "userspace", "dom0's userspace starts"},
	{stageMark + "toolstack", "the toolstack starts"},
	{stageMark + "payload", "copying the program in"},
	{stageMark + "agent", "starting the program"},
}

// watchConsole follows the file that QEMU writes until ctx is done. It shows
// the stages and returns an error, after a moment in which the dying machine
// says more, when the machine is dead.
func watchConsole(ctx context.Context, name string, onStage func(string)) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	t := time.NewTicker(50 * time.Millisecond)
	defer t.Stop()
	var rest []byte
	next := 0
	buf := make([]byte, 1<<16)
	for {
		n, err := f.Read(buf)
		rest = append(rest, buf[:n]...)
		for {
			i := bytes.IndexByte(rest, '\n')
			if i < 0 {
				break
			}
			line := string(rest[:i])
			rest = rest[i+1:]
			for j := next; j < len(bootStages); j++ {
				if strings.Contains(line, bootStages[j].mark) {
					next = j + 1
					onStage(bootStages[j].stage)
				}
			}
			if dead := scanConsoleLine(line); dead != nil {
				select {
				case <-ctx.Done():
				case <-time.After(time.Second):
				}
				return withReason(dead, name)
			}
		}
		if n > 0 && err == nil {
			continue
		}
		if err != nil && err != io.EOF {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}

// withReason adds the line after the hypervisor's "Panic on CPU", which says why.
func withReason(dead error, name string) error {
	p, ok := dead.(*PanicError)
	data, err := os.ReadFile(name)
	if !ok || !p.Hypervisor || err != nil {
		return dead
	}
	_, after, _ := strings.Cut(string(data), p.Line)
	for line := range strings.Lines(strings.TrimLeft(after, "\r\n")) {
		if reason := strings.Trim(strings.TrimPrefix(line, "(XEN)"), " *\r\n"); reason != "" {
			return &PanicError{Hypervisor: true, Line: p.Line + " " + reason}
		}
	}
	return dead
}

// What QEMU's emulation of a processor does, now and then, to a kernel that has done
// nothing wrong. That of AMD's virtualisation gives a guest a triple fault. And one
// CPU goes on with the breakpoint that another has put into the code and taken away
// again, as Linux does to patch itself: QEMU before 8.1 does not lock the page while
// it translates it.
var emulationFaults = regexp.MustCompile(`\bd[1-9]\d*v\d+ Triple fault|\bint3: [[:xdigit:]]{4} \[#1\]`)

// emulationFault finds such a fault of a guest, or of dom0, in a console log.
func emulationFault(name string) string {
	data, err := os.ReadFile(name)
	if err != nil {
		return ""
	}
	return string(emulationFaults.Find(data))
}

// consoleTail is the end of a console log, for people.
func consoleTail(name string, lines int) string {
	data, err := os.ReadFile(name)
	if err != nil {
		return ""
	}
	data = bytes.ReplaceAll(data, []byte("\r"), nil)
	all := strings.Split(strings.TrimRight(string(data), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
