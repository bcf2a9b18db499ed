package xenlight

import (
	"context"
	"time"

	"github.com/go-xenlight/xenlight/libxl"
)

// WaitForFreeMemory waits until so much of the host's memory, in kB, is free. It
// looks every quarter of a second, and takes the memory from no domain: see
// [Host.SetMemoryTarget]. If ctx ends before, the error is that of ctx and
// libxl.ErrorNomem. It replaces libxl_wait_for_free_memory.
func (h *Host) WaitForFreeMemory(ctx context.Context, memkb uint64) error {
	const page = 4 // kB
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		info, err := h.GetPhysinfo()
		if err != nil || info.FreePages >= memkb/page+min(memkb%page, 1) {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return &Error{Op: "WaitForFreeMemory", Code: libxl.ErrorNomem, Err: context.Cause(ctx)}
		}
	}
}
