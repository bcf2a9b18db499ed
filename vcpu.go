package xenlight

import (
	"github.com/go-xenlight/xenlight/internal/capi"
	"github.com/go-xenlight/xenlight/libxl"
)

// VcpuSchedParamsGet tells the parameters of these vCPUs of the domain in the
// scheduler rtds: Period and Budget (in us) and Extratime. libxl.ErrorInval means
// that no vCPU is asked for or one that the domain does not have, that there is
// no such domain, or that another scheduler runs it, which has no parameters for
// a vCPU. It calls libxl_vcpu_sched_params_get.
func (h *Host) VcpuSchedParamsGet(domid libxl.Domid, vcpus ...int) (libxl.VcpuSchedParams, error) {
	params := libxl.NewVcpuSchedParams()
	for _, vcpu := range vcpus {
		p := libxl.NewSchedParams()
		p.Vcpuid = vcpu
		params.Vcpus = append(params.Vcpus, *p)
	}
	f := h.beginDomain(capi.FnVcpuSchedParamsGet, domid)
	paramsArg := inOut(f, params)
	if err := f.call(func(c capi.Ctx) int32 { return h.lib.VcpuSchedParamsGet(c, uint32(domid), paramsArg) }); err != nil {
		return libxl.VcpuSchedParams{}, err
	}
	return *params, nil
}
