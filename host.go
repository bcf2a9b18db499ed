package xenlight

import (
	"github.com/go-xenlight/xenlight/internal/capi"
	"github.com/go-xenlight/xenlight/libxl"
)

// GetVersionInfo describes the running hypervisor: release, compiler, build,
// capabilities and command line. It calls libxl_get_version_info; libxl asks the
// hypervisor once per Host.
func (h *Host) GetVersionInfo() (libxl.VersionInfo, error) {
	f := h.begin(capi.FnGetVersionInfo)
	var info libxl.VersionInfo
	err := f.call(func(c capi.Ctx) int32 {
		h.version.Lock()
		defer h.version.Unlock()
		p := h.lib.GetVersionInfo(c)
		if p == nil {
			return int32(libxl.ErrorFail)
		}
		f.back = append(f.back, func() error { return capi.Decode(h.lib, p, &info) })
		return 0
	})
	return info, err
}
