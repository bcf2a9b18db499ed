package xenlight

import (
	"github.com/go-xenlight/xenlight/internal/capi"
	"github.com/go-xenlight/xenlight/libxl"
)

// GetVersionInfo describes the running hypervisor: release, compiler, build,
// capabilities and command line. It calls libxl_get_version_info; libxl asks the
// hypervisor once per Host.
func (h *Host) GetVersionInfo() (libxl.VersionInfo, error) {
	s := about("GetVersionInfo")
	h.version.Lock()
	defer h.version.Unlock()
	var info libxl.VersionInfo
	var decode error
	err := h.call(s, func(c capi.Ctx) int32 {
		p := h.lib.GetVersionInfo(c)
		if p == nil {
			return int32(libxl.ErrorFail)
		}
		decode = capi.Decode(h.lib, p, &info)
		return 0
	})
	if err == nil && decode != nil {
		err = s.because(decode)
	}
	return info, err
}

// GetMaxCpus is the number of physical CPUs that the hypervisor can handle, which
// is how many bits a CPU map needs. It calls libxl_get_max_cpus.
func (h *Host) GetMaxCpus() (int, error) { return h.count("GetMaxCpus", h.lib.GetMaxCpus) }

// GetOnlineCpus is the number of physical CPUs that are online. It calls
// libxl_get_online_cpus.
func (h *Host) GetOnlineCpus() (int, error) { return h.count("GetOnlineCpus", h.lib.GetOnlineCpus) }

// GetMaxNodes is the number of NUMA nodes that the hypervisor can handle. It
// calls libxl_get_max_nodes.
func (h *Host) GetMaxNodes() (int, error) { return h.count("GetMaxNodes", h.lib.GetMaxNodes) }

// GetFreeMemory is the host's memory that no domain owns, in kB. It calls
// libxl_get_free_memory.
func (h *Host) GetFreeMemory() (memkb uint64, err error) {
	err = h.call(about("GetFreeMemory"), func(c capi.Ctx) int32 { return h.lib.GetFreeMemory(c, &memkb) })
	return memkb, err
}

// GetPhysinfo describes the host's CPUs and memory; memory is counted in pages
// of 4 kB. It calls libxl_get_physinfo.
func (h *Host) GetPhysinfo() (libxl.Physinfo, error) {
	return get[libxl.Physinfo](h, about("GetPhysinfo"), h.lib.GetPhysinfo)
}
