package xenlight

import (
	"github.com/go-xenlight/xenlight/internal/capi"
	"github.com/go-xenlight/xenlight/libxl"
)

// PsrCatGetInfo tells how the caches of a level, 2 or 3, can be allotted, for each
// socket: how many classes of service there are (CosMax) and how many parts the
// cache has (CbmLen). libxl.ErrorFail means that the processor cannot do it, or
// that Xen's boot option psr=cat is missing. It calls libxl_psr_cat_get_info. Only
// on amd64.
func (h *Host) PsrCatGetInfo(level uint) ([]libxl.PsrCatInfo, error) {
	f := h.begin(capi.FnPsrCatGetInfo)
	levelArg := f.cacheLevel(level)
	return filledList[libxl.PsrCatInfo](f, func(c capi.Ctx, p *capi.Ptr, n *uint32) int32 {
		return h.lib.PsrCatGetInfo(c, p, n, levelArg)
	}, nil, f.h.lib.PsrCatInfoListFree)
}

// PsrCatGetL3Info is PsrCatGetInfo(3). It calls libxl_psr_cat_get_l3_info. Only on
// amd64.
func (h *Host) PsrCatGetL3Info() ([]libxl.PsrCatInfo, error) {
	f := h.begin(capi.FnPsrCatGetL3Info)
	return filledList[libxl.PsrCatInfo](f, func(c capi.Ctx, p *capi.Ptr, n *uint32) int32 {
		var signed int32
		rc := h.lib.PsrCatGetL3Info(c, p, &signed)
		*n = uint32(signed)
		return rc
	}, nil, f.h.lib.PsrCatInfoListFree)
}

// PsrGetHwInfo tells for each socket what can be allotted: caches of a level, 2 or
// 3, or, where the level means nothing, memory bandwidth. libxl.ErrorFail means that
// the processor cannot do it, or that Xen's boot option psr is missing. It calls
// libxl_psr_get_hw_info. Only on amd64.
func (h *Host) PsrGetHwInfo(kind libxl.PsrFeatType, level uint) ([]libxl.PsrHwInfo, error) {
	f := h.begin(capi.FnPsrGetHwInfo)
	kindArg, levelArg := enum(f, "kind", kind), uint32(level)
	if kind == libxl.PsrFeatTypeCat {
		levelArg = f.cacheLevel(level)
	}
	return filledList[libxl.PsrHwInfo](f, func(c capi.Ctx, p *capi.Ptr, n *uint32) int32 {
		return h.lib.PsrGetHwInfo(c, kindArg, levelArg, n, p)
	}, func(p capi.Ptr, n int) {
		capi.SetKeys[libxl.PsrHwInfo](h.lib, p, n, kindArg) // libxl leaves them out
	}, func(p capi.Ptr, n int32) { h.lib.PsrHwInfoListFree(p, uint32(n)) })
}

// cacheLevel is the level of a cache; another one would be an assertion's end.
func (f *frame) cacheLevel(level uint) uint32 {
	if level != 2 && level != 3 {
		f.refuse("level", "%d: want 2 or 3", level)
	}
	return uint32(level)
}
