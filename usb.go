package xenlight

import (
	"context"

	"github.com/go-xenlight/xenlight/internal/capi"
	"github.com/go-xenlight/xenlight/libxl"
)

// usbctrl makes sure that the domain has a USB controller with a number: libxl
// of all releases reads NULL where one is not there, which ends the program.
func (f *frame) usbctrl(domid libxl.Domid, devid int32) {
	ctrl := out(f, new(libxl.DeviceUsbctrl))
	f.count(func(c capi.Ctx) int32 { return f.h.lib.DevidToDeviceUsbctrl(c, uint32(domid), devid, ctrl) })
}

// DeviceUsbdevAdd plugs a USB device of this host into one of the domain's
// controllers. Without Ctrl the first free port of any is taken, and a
// controller is added if there is none; what was taken is copied back to
// usbdev. libxl.ErrorFail means that the device is not there or is a hub,
// libxl.ErrorInval that it is given to a domain already, libxl.ErrorNotfound that
// there is no controller Ctrl. It calls libxl_device_usbdev_add.
func (h *Host) DeviceUsbdevAdd(ctx context.Context, domid libxl.Domid, usbdev *libxl.DeviceUsbdev) error {
	f := h.beginDomain(capi.FnDeviceUsbdevAdd, domid)
	usbdevArg := inOut(f, usbdev)
	if usbdev != nil && usbdev.Ctrl != -1 {
		f.usbctrl(domid, int32(usbdev.Ctrl))
	}
	return f.operate(ctx, func(c capi.Ctx, how *capi.AsyncopHow) int32 {
		return h.lib.DeviceUsbdevAdd(c, uint32(domid), usbdevArg, how)
	})
}

// CtrlportToDeviceUsbdev finds the USB device at a port, counted from 1, of one
// of the domain's controllers; libxl.ErrorNotfound if there is no such
// controller, libxl.ErrorFail if nothing is plugged in. It calls
// libxl_ctrlport_to_device_usbdev.
func (h *Host) CtrlportToDeviceUsbdev(domid libxl.Domid, ctrl, port int) (usbdev libxl.DeviceUsbdev, err error) {
	f := h.beginDomain(capi.FnCtrlportToDeviceUsbdev, domid)
	ctrlArg, portArg, usbdevArg := f.integer("ctrl", ctrl), f.integer("port", port), out(f, &usbdev)
	f.usbctrl(domid, ctrlArg)
	err = f.call(func(c capi.Ctx) int32 {
		return h.lib.CtrlportToDeviceUsbdev(c, uint32(domid), ctrlArg, portArg, usbdevArg)
	})
	return usbdev, err
}
