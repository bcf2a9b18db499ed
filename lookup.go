package xenlight

import (
	"github.com/go-xenlight/xenlight/internal/capi"
	"github.com/go-xenlight/xenlight/libxl"
)

// MacToDeviceNic finds a network card of the domain by its address;
// libxl.ErrorInval if none has it, libxl.ErrorFail if it has no card at all. It
// calls libxl_mac_to_device_nic.
func (h *Host) MacToDeviceNic(domid libxl.Domid, mac libxl.Mac) (nic libxl.DeviceNic, err error) {
	f := h.beginDomain(capi.FnMacToDeviceNic, domid)
	macArg, nicArg := f.str("mac", mac.String()), out(f, &nic)
	err = f.call(func(c capi.Ctx) int32 { return h.lib.MacToDeviceNic(c, uint32(domid), macArg, nicArg) })
	return nic, err
}

// DevidToDeviceVtpm finds a TPM of the domain by its number;
// libxl.ErrorNotfound if there is none, libxl.ErrorFail if it has no TPM at all.
// It calls libxl_devid_to_device_vtpm.
func (h *Host) DevidToDeviceVtpm(domid libxl.Domid, devid int) (vtpm libxl.DeviceVtpm, err error) {
	f := h.beginDomain(capi.FnDevidToDeviceVtpm, domid)
	devidArg, vtpmArg := f.integer("devid", devid), out(f, &vtpm)
	err = f.call(func(c capi.Ctx) int32 {
		return foundVtpm(h.lib.DevidToDeviceVtpm(c, uint32(domid), devidArg, vtpmArg))
	})
	return vtpm, err
}

// UuidToDeviceVtpm finds a TPM of the domain by its UUID; libxl.ErrorNotfound if
// there is none, libxl.ErrorFail if it has no TPM at all. It calls
// libxl_uuid_to_device_vtpm.
func (h *Host) UuidToDeviceVtpm(domid libxl.Domid, uuid libxl.Uuid) (vtpm libxl.DeviceVtpm, err error) {
	f := h.beginDomain(capi.FnUuidToDeviceVtpm, domid)
	uuidArg, vtpmArg := f.bytes(string(uuid[:])), out(f, &vtpm)
	err = f.call(func(c capi.Ctx) int32 {
		return foundVtpm(h.lib.UuidToDeviceVtpm(c, uint32(domid), uuidArg, vtpmArg))
	})
	return vtpm, err
}

// foundVtpm is libxl's code for a result of its own: it says 1 if there is none.
func foundVtpm(rc int32) int32 {
	if rc > 0 {
		return int32(libxl.ErrorNotfound)
	}
	return rc
}
