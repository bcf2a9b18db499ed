package xenlight

import (
	"math"
	"syscall"

	"github.com/go-xenlight/xenlight/internal/capi"
)

// FlaskContextToSid is the number of a security context, such as
// "system_u:system_r:domU_t", in the policy that Xen has loaded. It calls
// libxl_flask_context_to_sid.
//
// The error of this and of the other Flask functions wraps a syscall.Errno:
// ENOSYS where the hypervisor was built or booted without Flask, EACCES where the
// policy denies it, EINVAL for a context that the policy does not have.
func (h *Host) FlaskContextToSid(context string) (ssidref uint32, err error) {
	f := h.begin(capi.FnFlaskContextToSid)
	contextArg := f.str("context", context)
	_, err = f.raw(func(c capi.Ctx) (int32, syscall.Errno) {
		return h.lib.FlaskContextToSid(c, contextArg, uint(len(context)), &ssidref)
	})
	return ssidref, err
}

// FlaskSidToContext is the security context with a number. It calls
// libxl_flask_sid_to_context. Errors are those of [Host.FlaskContextToSid].
func (h *Host) FlaskSidToContext(ssidref uint32) (context string, err error) {
	f := h.begin(capi.FnFlaskSidToContext)
	contextArg := f.outStr(&context)
	_, err = f.raw(func(c capi.Ctx) (int32, syscall.Errno) {
		var length uint
		return h.lib.FlaskSidToContext(c, ssidref, contextArg, &length)
	})
	return context, err
}

// FlaskGetenforce tells whether Xen enforces its policy, or only reports what it
// would deny. It calls libxl_flask_getenforce. Errors are those of
// [Host.FlaskContextToSid].
func (h *Host) FlaskGetenforce() (bool, error) {
	f := h.begin(capi.FnFlaskGetenforce)
	n, err := f.raw(f.h.lib.FlaskGetenforce)
	return n != 0, err
}

// FlaskSetenforce makes Xen enforce its policy, or not. It calls
// libxl_flask_setenforce. Errors are those of [Host.FlaskContextToSid].
func (h *Host) FlaskSetenforce(enforce bool) error {
	f := h.begin(capi.FnFlaskSetenforce)
	mode := int32(0)
	if enforce {
		mode = 1
	}
	_, err := f.raw(func(c capi.Ctx) (int32, syscall.Errno) { return h.lib.FlaskSetenforce(c, mode) })
	return err
}

// FlaskLoadpolicy gives Xen another policy, in its binary form. It calls
// libxl_flask_loadpolicy. Errors are those of [Host.FlaskContextToSid].
func (h *Host) FlaskLoadpolicy(policy []byte) error {
	f := h.begin(capi.FnFlaskLoadpolicy)
	if len(policy) == 0 || len(policy) > math.MaxUint32 {
		f.refuse("policy", "has %d bytes", len(policy))
	}
	policyArg := f.bytes(string(policy))
	_, err := f.raw(func(c capi.Ctx) (int32, syscall.Errno) {
		return h.lib.FlaskLoadpolicy(c, policyArg, uint32(len(policy)))
	})
	return err
}
