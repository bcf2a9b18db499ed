package loop

import (
	"log/slog"
	"testing"
	"time"

	"github.com/go-xenlight/xenlight/internal/capi"
)

func TestThePumpLooksAroundDuringASlowCall(t *testing.T) {
	l := open(t, slog.DiscardHandler)
	defer closed(t, l)
	rc, err := l.CallSlow(l.Life(), func(capi.Ctx) int32 {
		looked := make(chan struct{})
		l.mu.Lock()
		l.settling = append(l.settling, looked)
		l.mu.Unlock()
		select {
		case <-looked:
			return 0
		case <-time.After(10 * time.Second):
			return -1
		}
	})
	if rc != 0 || err != nil {
		t.Errorf("it did not: %d, %v", rc, err)
	}
}
