package xenlight

import (
	"context"
	"sync"
	"time"

	"github.com/go-xenlight/xenlight/internal/loop"
	"github.com/go-xenlight/xenlight/libxl"
)

// WaitForFreeMemory waits until so much of the host's memory, in kB, is free. It
// looks every quarter of a second, and takes the memory from no domain: see
// [Host.SetMemoryTarget]. If ctx ends before, the error is that of ctx and
// libxl.ErrorNomem. It replaces libxl_wait_for_free_memory.
func (h *Host) WaitForFreeMemory(ctx context.Context, memkb uint64) error {
	const page = 4 // kB
	return poll(ctx, &Error{Op: "WaitForFreeMemory", Code: libxl.ErrorNomem}, func() (bool, error) {
		info, err := h.GetPhysinfo()
		return info.FreePages >= memkb/page+min(memkb%page, 1), err
	})
}

// extraMemory is how much more than its target libxl lets every domain have, in kB,
// for pages of the toolstack's own.
const extraMemory = 1024

// WaitForMemoryTarget waits until the domain has no more memory than it is asked
// to have: see [Host.SetMemoryTarget]. Up to 1 MB that libxl adds for itself, and
// what an HVM guest's screen has, do not count. It looks every quarter of a second.
// A guest need not obey: if ctx ends before it has, the error is that of ctx and
// libxl.ErrorFail. libxl.ErrorFail alone, or libxl.ErrorDomainNotfound, means that
// there is no such domain. It replaces libxl_wait_for_memory_target, which
// sleeps inside C, gives up when the guest is slow, and counts all of that.
func (h *Host) WaitForMemoryTarget(ctx context.Context, domid libxl.Domid) error {
	room := sync.OnceValue(func() uint64 {
		// Dom0 and domains of other toolstacks have no configuration.
		if c, err := h.RetrieveDomainConfiguration(ctx, domid); err == nil && c.BInfo.VideoMemkb != libxl.MemkbDefault {
			return extraMemory + c.BInfo.VideoMemkb
		}
		return extraMemory
	})
	return poll(ctx, &Error{Op: "WaitForMemoryTarget", Domid: &domid, Code: libxl.ErrorFail}, func() (bool, error) {
		target, err := h.GetMemoryTarget(domid)
		if err != nil {
			return false, err
		}
		info, err := h.DomainInfo(domid)
		return info.CurrentMemkb+info.OutstandingMemkb <= target+room(), err
	})
}

// poll looks until a condition holds. If ctx is over before, late is the error,
// with ctx's. As libxl may be busy, a look may outlast ctx and the call; Close
// waits for it.
func poll(ctx context.Context, late *Error, holds func() (bool, error)) error {
	over := func() error {
		late.Err = loop.Reason(ctx)
		return late
	}
	if ctx.Err() != nil {
		return over()
	}
	held := make(chan error, 1)
	go func() {
		tick := time.NewTicker(250 * time.Millisecond)
		defer tick.Stop()
		for {
			if ok, err := holds(); ok || err != nil {
				held <- err
				return
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	select {
	case err := <-held:
		return err
	case <-ctx.Done():
		return over()
	}
}
