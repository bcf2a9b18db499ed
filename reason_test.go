package xenlight

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/go-xenlight/xenlight/internal/fakexl"
	"github.com/go-xenlight/xenlight/libxl"
)

// The cause is another operation's error, as with an errgroup.
func TestACancelledContextIsTheReasonAndSoIsItsCause(t *testing.T) {
	h := openFake(t)
	cause := &Error{Op: "another one's", Code: libxl.ErrorGuestTimedout}
	params := libxl.NewDomainRestoreParams()
	params.StreamVersion = 2
	domid := fakexl.Pause(fakexl.Wait, fakexl.MaxLasts)
	for name, call := range map[string]func(context.Context) error{
		"an operation": func(ctx context.Context) error { return h.DomainPause(ctx, domid) },
		"a creation": func(ctx context.Context) error {
			_, err := h.DomainCreateNew(ctx, fakeGuest(fakexl.Create(fakexl.Wait, fakexl.MaxLasts)))
			return err
		},
		"a saving": func(ctx context.Context) error { return h.DomainSuspend(ctx, domid, new(bytes.Buffer)) },
		"a restoring": func(ctx context.Context) error {
			_, err := h.DomainCreateRestore(ctx, fakeGuest(0), bytes.NewReader(savedHead), params)
			return err
		},
		"a watch": func(ctx context.Context) error {
			for _, err := range h.Events(ctx) {
				return err
			}
			return nil
		},
		"waiting for a shutdown": func(ctx context.Context) error {
			_, err := h.WaitShutdown(ctx, domid)
			return err
		},
		"waiting for memory": func(ctx context.Context) error { return h.WaitForFreeMemory(ctx, 1<<40) },
	} {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(cause)
		err := call(ctx)
		if !errors.Is(err, context.Canceled) || !errors.Is(err, cause) || errors.Is(err, cause.Code) {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	// It may be closed at once, or not.
	if err := h.CloseContext(ctx); err != nil && (!errors.Is(err, context.Canceled) || !errors.Is(err, cause) || errors.Is(err, cause.Code)) {
		t.Errorf("CloseContext: %v", err)
	}
}
