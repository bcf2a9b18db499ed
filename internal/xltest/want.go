package xltest

import (
	"errors"
	"strconv"
	"strings"

	"github.com/go-xenlight/xenlight"
	"github.com/go-xenlight/xenlight/libxl"
)

// wantError demands an *xenlight.Error.
func wantError(t *T, what string, err error) {
	if asError(err) == nil {
		t.Errorf("%s: got %v, want an *xenlight.Error", what, err)
	}
}

// wantCode demands an *xenlight.Error with one of libxl's codes.
func wantCode(t *T, what string, err error, code libxl.Error) {
	wantError(t, what, err)
	if !errors.Is(err, code) {
		t.Errorf("%s: got %v, want %v%s", what, err, code, logOf(err))
	}
}

// wantField demands that an argument is refused before libxl has seen it.
func wantField(t *T, what string, err error, path string) {
	wantError(t, what, err)
	var field *xenlight.FieldError
	if !errors.As(err, &field) || field.Path != path {
		t.Errorf("%s: got %v, want a FieldError of %s", what, err, path)
	}
}

// wantUnsupported demands the error for what this release does not have.
func wantUnsupported(t *T, what string, err error) {
	wantError(t, what, err)
	if !errors.Is(err, xenlight.ErrUnsupported) {
		t.Errorf("%s: got %v, want ErrUnsupported", what, err)
	}
}

// release is the minor number of the library's release: 17 of Xen 4.17.
func (t *T) release() int {
	_, minor, _ := strings.Cut(t.Host.Release(), ".")
	n, err := strconv.Atoi(minor)
	t.ok(err, "the library's release")
	return n
}

// await waits until a command in the guest's shell succeeds.
func (g *guest) await(what, command string) {
	g.t.until(what, func() bool {
		_, status := g.trySh("%s", command)
		return status == "0"
	})
}
