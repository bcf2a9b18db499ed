package xltest

import (
	"slices"
	"testing"
)

func TestUnprovenChecksExist(t *testing.T) {
	all := allChecks()
	for _, name := range unproven {
		if !slices.ContainsFunc(all, func(c check) bool { return c.name == name }) {
			t.Errorf("there is no check %q", name)
		}
	}
}
