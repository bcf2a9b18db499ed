package xenlight

import (
	"context"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/go-xenlight/xenlight/internal/fakexl"
	"github.com/go-xenlight/xenlight/libxl"
)

func TestWhatWaitsForABusyLibxlEndsWithItsContext(t *testing.T) {
	locked := make(chan Progress)
	var h *Host
	type call struct {
		do   func(context.Context) error
		code libxl.Error
	}
	target := call{func(ctx context.Context) error { return h.WaitForMemoryTarget(ctx, 0) }, libxl.ErrorFail}
	// As when a large guest is built: one call has libxl's lock, and so many others
	// want it that none gets into libxl any more, or none does.
	for others, calls := range map[int]map[string]call{
		0: {"WaitForMemoryTarget": target},
		7: {
			"WaitForMemoryTarget": target,
			"WaitForFreeMemory":   {func(ctx context.Context) error { return h.WaitForFreeMemory(ctx, 1) }, libxl.ErrorNomem},
			"DomainSuspend":       {func(ctx context.Context) error { return h.DomainSuspend(ctx, 1, io.Discard) }, 0},
			"DomainSuspendOnly":   {func(ctx context.Context) error { return h.DomainSuspendOnly(ctx, 1) }, 0},
			"DomainSoftReset":     {func(ctx context.Context) error { return h.DomainSoftReset(ctx, fakeGuest(0), 1) }, 0},
		},
	} {
		// Each time another one, for what has ended may still be looking.
		h = openFake(t, WithProgress(func(p Progress) { locked <- p }))
		var group sync.WaitGroup
		pause := func(k fakexl.Kind, lasts time.Duration) {
			if err := h.DomainPause(t.Context(), fakexl.Pause(k, lasts)); err != nil {
				t.Error(err)
			}
		}
		made := func() uint64 { return h.Calls()["libxl_domain_pause"].Made }
		before := made()
		group.Go(func() { pause(fakexl.Block, 1500*time.Millisecond) })
		<-locked
		for range others {
			group.Go(func() { pause(fakexl.Inline, 0) })
		}
		eventually(t, "the others", func() bool { return made() == before+1+uint64(others) })
		for name, c := range calls {
			group.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
				defer cancel()
				start := time.Now()
				err := c.do(ctx)
				if took := time.Since(start); outcomeOf(err) != (outcome{c.code, context.DeadlineExceeded}) || took > time.Second {
					t.Errorf("%s beside %d others: %v after %v", name, others, err, took)
				}
			})
		}
		group.Wait()
	}
}
