//go:build linux

package xenbox

import (
	_ "embed"
	"fmt"
	"path"
	"slices"
	"strings"
)

// An untestable is a check that could not be made on a host, and why.
type untestable struct{ Name, Reason string }

// An expectation is a line of untestable.txt.
type expectation struct {
	hosts []string // patterns of path.Match
	check string   // section/name
}

//go:embed untestable.txt
var untestableText string

var untestableList = parseUntestable(untestableText)

// parseUntestable reads untestable.txt. A line that is wrong expects nothing, so
// that its check is one against expectation.
func parseUntestable(text string) (list []expectation) {
	for line := range strings.Lines(text) {
		if hosts, check, ok := strings.Cut(strings.TrimSpace(line), "\t"); ok && !strings.HasPrefix(hosts, "#") {
			list = append(list, expectation{strings.Split(hosts, ","), check})
		}
	}
	return list
}

// on tells whether the check is expected not to be testable on a host.
func (e expectation) on(host string) bool {
	return slices.ContainsFunc(e.hosts, func(pattern string) bool {
		ok, err := path.Match(pattern, host)
		return ok && err == nil
	})
}

// surprises tells which checks could not be made that should have been. The list is
// about emulated hosts: what a real processor has is not known here.
func (h *hostReport) surprises(list []expectation) (all []string) {
	expected := h.expected(list)
	for _, u := range h.Untestable {
		if !expected[u.Name] && !h.KVM {
			all = append(all, fmt.Sprintf("not testable, against expectation: %s: %s", u.Name, u.Reason))
		}
	}
	return all
}

// outdated tells which checks of the list have passed all the same. That is no
// failure: Debian may have a newer QEMU.
func (h *hostReport) outdated(list []expectation) (all []string) {
	expected := h.expected(list)
	for _, name := range h.Passed {
		if expected[name] {
			all = append(all, name)
		}
	}
	return all
}

// expected has the checks that the list says cannot be made on the host.
func (h *hostReport) expected(list []expectation) map[string]bool {
	expected := make(map[string]bool)
	for _, e := range list {
		if e.on(h.Suite + "-" + h.Arch) {
			expected[e.check] = true
		}
	}
	return expected
}
