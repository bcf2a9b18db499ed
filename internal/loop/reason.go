package loop

import (
	"context"
	"errors"

	"github.com/go-xenlight/xenlight/libxl"
)

// userKey is the key of the user's context in one that Bind returns.
type userKey struct{}

// Background is for contexts of our own: why they are over is their cause and no
// more.
func Background() context.Context {
	return context.WithValue(context.Background(), userKey{}, context.Background())
}

// Reason is why ctx is over. If the user's context is, that is context.Canceled or
// DeadlineExceeded, and also what it was cancelled with.
func Reason(ctx context.Context) error {
	user, ok := ctx.Value(userKey{}).(context.Context)
	if !ok {
		user = ctx
	}
	err := user.Err()
	if err == nil {
		return context.Cause(ctx)
	}
	if cause := context.Cause(user); !errors.Is(err, cause) {
		return &stopped{err, cause}
	}
	return err
}

// stopped is the error of a context that was cancelled with a cause. The cause may
// well be the error of another operation, as with an errgroup: libxl's code in it is
// not that of this one.
type stopped struct{ err, cause error }

func (s *stopped) Error() string { return s.err.Error() + ": " + s.cause.Error() }
func (s *stopped) Unwrap() error { return s.err }

func (s *stopped) Is(target error) bool {
	_, code := target.(libxl.Error)
	return !code && errors.Is(s.cause, target)
}
