package xltest

import (
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/go-xenlight/xenlight/libxl"
)

// noticeFault tells, after a failure, whether the emulated processor has erred, for
// which one of the check's guests is not to blame. QEMU's emulation of AMD's
// virtualisation gives a guest a triple fault now and then, in the midst of a loop
// that reads a port. And before QEMU 8.1 a CPU goes on with the breakpoint that
// another has put into the code and taken away again, as Linux does to patch itself.
// On a real processor these are failures like others.
func (t *T) noticeFault() {
	if !t.failed {
		return
	}
	if fault := t.emulationFault(); fault != "" {
		t.fault = fault
		t.Logf("the emulated processor has erred, and a guest is not to blame that says, or of which Xen says, %q", fault)
	}
}

// emulationFault is such a fault that a guest of this check has met, if any.
func (t *T) emulationFault() string {
	if len(t.guests) == 0 || !emulated() {
		return ""
	}
	text, err := t.Host.XenConsoleRead(false)
	if err != nil {
		text = ""
	}
	return processorFault(text, t.details, t.guests)
}

// emulated tells whether the processor is one of QEMU's.
func emulated() bool {
	info, err := os.ReadFile("/proc/cpuinfo")
	return err == nil && strings.Contains(string(info), "QEMU Virtual CPU")
}

var (
	tripleFaults = regexp.MustCompile(`\bd(\d+)v\d+ Triple fault`)
	// What Linux says first of all that goes wrong.
	staleBreakpoint = regexp.MustCompile(`\bint3: [[:xdigit:]]{4} \[#1\]`)
)

// processorFault finds such an error in what the hypervisor has said of these
// domains, or in the details of a check, where guests' last words are.
func processorFault(console string, details []string, domains []libxl.Domid) string {
	for _, m := range tripleFaults.FindAllStringSubmatch(console, -1) {
		if n, err := strconv.ParseUint(m[1], 10, 32); err == nil && slices.Contains(domains, libxl.Domid(n)) {
			return m[0]
		}
	}
	return staleBreakpoint.FindString(strings.Join(details, "\n"))
}
