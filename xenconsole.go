package xenlight

import (
	"strings"

	"github.com/go-xenlight/xenlight/internal/capi"
	"github.com/go-xenlight/xenlight/libxl"
)

// maxConsoleRead is the size of libxl's buffer. Before Xen 4.18 the text in it
// has no end if it is full.
const maxConsoleRead = 16 << 10

// XenConsoleRead is what the hypervisor has written to its console, as far as it
// still has it in memory: what "xl dmesg" prints. With clear the hypervisor
// forgets it. It calls libxl_xen_console_read_start, libxl_xen_console_read_line
// and libxl_xen_console_read_finish.
func (h *Host) XenConsoleRead(clear bool) (string, error) {
	var text strings.Builder
	f := h.begin(capi.FnXenConsoleReadLine)
	f.op = "XenConsoleRead"
	err := f.call(func(c capi.Ctx) int32 {
		reader := h.lib.XenConsoleReadStart(c, clear)
		if reader == nil {
			return int32(libxl.ErrorNomem)
		}
		defer h.lib.XenConsoleReadFinish(c, reader)
		for {
			var some capi.Ptr // the reader's
			if rc := h.lib.XenConsoleReadLine(c, reader, &some); rc <= 0 {
				return rc
			}
			text.WriteString(capi.TextIn(some, maxConsoleRead))
		}
	})
	return text.String(), err
}
