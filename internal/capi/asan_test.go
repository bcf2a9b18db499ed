//go:build asan

package capi

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"unsafe"
)

// With "go test -asan" every access of the other tests to C memory, by Go or by
// the library's callers in C, is checked against the exact size of its block.
// This test makes sure that somebody is watching.
func TestAddressSanitizerSeesAnOverrun(t *testing.T) {
	l := library(t)
	const planted = "XENLIGHT_TEST_OVERRUN"
	if os.Getenv(planted) != "" {
		p, err := l.Alloc(13)
		if err != nil {
			t.Fatal(err)
		}
		*(*byte)(unsafe.Add(p, 13)) = 1
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), planted+"=1")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "heap-buffer-overflow") {
		t.Errorf("a write behind a block of 13 bytes was not noticed: %v\n%s", err, out)
	}
}
