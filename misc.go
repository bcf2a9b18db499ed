package xenlight

import (
	"math"

	"github.com/go-xenlight/xenlight/internal/capi"
	"github.com/go-xenlight/xenlight/libxl"
)

// MsVmGenidGenerate makes a random generation ID for a guest, as
// libxl.NewMsVmGenid does without asking libxl. It calls
// libxl_ms_vm_genid_generate.
func (h *Host) MsVmGenidGenerate() (id libxl.MsVmGenid, err error) {
	f := h.begin(capi.FnMsVmGenidGenerate)
	idArg := f.block(id[:], func(b []byte) { copy(id[:], b) })
	err = f.call(func(c capi.Ctx) int32 { return h.lib.MsVmGenidGenerate(c, idArg) })
	return id, err
}

// DeviceEventsHandler serves the devices whose backends are in this domain, as a
// driver domain must, and never ends: neither Close nor anything else can stop it.
// So call it in a process that does nothing else, and end that process. It returns
// only if it cannot begin. It calls libxl_device_events_handler.
func (h *Host) DeviceEventsHandler() error {
	f := h.begin(capi.FnDeviceEventsHandler)
	return f.call(func(c capi.Ctx) int32 {
		// Without an ao_how: libxl keeps the address of a variable on its stack.
		return h.lib.DeviceEventsHandler(c, nil)
	})
}

// DeviceVsndGetinfo tells how the sound card with this Devid is connected:
// frontend, backend, state (4 is connected), and for each stream its ring and
// event channel. libxl.ErrorNotfound means that the domain has no such card. It
// calls libxl_device_vsnd_getinfo.
func (h *Host) DeviceVsndGetinfo(domid libxl.Domid, vsnd *libxl.DeviceVsnd) (info libxl.Vsndinfo, err error) {
	f := h.beginDomain(capi.FnDeviceVsndGetinfo, domid)
	vsndArg, infoArg := in(f, vsnd), out(f, &info)
	err = f.call(func(c capi.Ctx) int32 {
		if !f.hasVsnd(c, vsnd.Devid) {
			return int32(libxl.ErrorNotfound) // libxl would crash
		}
		return h.lib.DeviceVsndGetinfo(c, uint32(domid), vsndArg, infoArg)
	})
	return info, err
}

func (f *frame) hasVsnd(c capi.Ctx, id libxl.Devid) bool {
	var n int32
	p := f.h.lib.DeviceVsndList(c, uint32(*f.domid), &n)
	if p == nil {
		return false
	}
	defer f.h.lib.DeviceVsndListFree(p, n)
	cards, err := capi.DecodeList[libxl.DeviceVsnd](f.h.lib, p, int(n))
	for i := range cards {
		if err == nil && cards[i].Devid == id {
			return true
		}
	}
	return false
}

// DtOverlayOp is what to do with a device tree overlay.
type DtOverlayOp uint8

// The operations: on the host's device tree, or on a domain's, which cannot be
// taken back.
const (
	DtOverlayAdd          DtOverlayOp = 1
	DtOverlayRemove       DtOverlayOp = 2
	DtOverlayDomainAttach DtOverlayOp = 1
)

// DtOverlay adds the nodes of a device tree overlay (.dtbo) to the host's device
// tree, or removes them. It calls libxl_dt_overlay. Since Xen 4.18. Only on arm64.
func (h *Host) DtOverlay(overlay []byte, op DtOverlayOp) error {
	f := h.begin(capi.FnDtOverlay)
	overlayArg := f.deviceTree("overlay", overlay)
	return f.call(func(c capi.Ctx) int32 {
		return h.lib.DtOverlay(c, overlayArg, uint32(len(overlay)), uint8(op))
	})
}

// DtOverlayDomain attaches the devices of an overlay that has been added to the
// host's device tree to a domain. It calls libxl_dt_overlay_domain. Since Xen
// 4.19. Only on arm64.
func (h *Host) DtOverlayDomain(domid libxl.Domid, overlay []byte, op DtOverlayOp) error {
	f := h.beginDomain(capi.FnDtOverlayDomain, domid)
	overlayArg := f.deviceTree("overlay", overlay)
	return f.call(func(c capi.Ctx) int32 {
		return h.lib.DtOverlayDomain(c, uint32(domid), overlayArg, uint32(len(overlay)), uint8(op))
	})
}

// deviceTree is a device tree blob. libxl reads its header without looking whether
// there is one.
func (f *frame) deviceTree(name string, blob []byte) capi.Ptr {
	const header = 40
	if len(blob) < header || len(blob) > math.MaxInt32 {
		f.refuse(name, "%d bytes are no device tree", len(blob))
	}
	return f.bytes(string(blob))
}
