package xltest

import (
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/go-xenlight/xenlight/libxl"
)

// noticeReset tells, after a failure, whether one of the check's guests was reset
// that had done nothing wrong. QEMU's emulation of AMD's virtualisation does that
// now and then, to Linux in the midst of a loop that reads a port: for Xen the
// guest has had a triple fault. On a real processor that is a failure like others.
func (t *T) noticeReset() {
	if !t.failed || len(t.guests) == 0 || !emulated() {
		return
	}
	text, err := t.Host.XenConsoleRead(false)
	if err != nil {
		return
	}
	if t.reset = tripleFault(text, t.guests); t.reset != "" {
		t.Logf("the emulated processor has reset a guest: Xen says %q", t.reset)
	}
}

// emulated tells whether the processor is one of QEMU's.
func emulated() bool {
	info, err := os.ReadFile("/proc/cpuinfo")
	return err == nil && strings.Contains(string(info), "QEMU Virtual CPU")
}

var tripleFaults = regexp.MustCompile(`\bd(\d+)v\d+ Triple fault`)

// tripleFault finds, in what the hypervisor has said, that a vCPU of one of these
// domains has had one.
func tripleFault(console string, domains []libxl.Domid) string {
	for _, m := range tripleFaults.FindAllStringSubmatch(console, -1) {
		if n, err := strconv.ParseUint(m[1], 10, 32); err == nil && slices.Contains(domains, libxl.Domid(n)) {
			return m[0]
		}
	}
	return ""
}
