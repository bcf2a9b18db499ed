package xenlight

import (
	"math"
	"runtime"
	"time"

	"github.com/go-xenlight/xenlight/internal/capi"
	"github.com/go-xenlight/xenlight/libxl"
)

// DomainPreserve makes room for a domain that is created anew while the old one
// is kept, shut down, to be looked at: the old one, named info.Name, gets
// nameSuffix added to its name and another UUID in xenstore (the hypervisor goes
// on to know it by its own). Of info only the name is used. A *FieldError says
// that the domain has another name, or that the new one is taken. It calls
// libxl_domain_preserve.
func (h *Host) DomainPreserve(domid libxl.Domid, info *libxl.DomainCreateInfo, nameSuffix string, newUuid libxl.Uuid) error {
	f := h.beginDomain(capi.FnDomainPreserve, domid)
	if info != nil {
		f.needs("Name", info.Name == "")
	}
	infoArg, suffixArg := in(f, info), f.str("nameSuffix", nameSuffix)
	var newName capi.Ptr
	if f.err == nil {
		newName = f.str("nameSuffix", info.Name+nameSuffix)
	}
	if f.err == nil {
		// libxl checks this as well, but then leaves a transaction of xenstore's open.
		var has string
		rc, err := h.loop.Call(h.loop.Life(), func(c capi.Ctx) int32 {
			if rc := f.exists(c); rc != 0 {
				return rc
			}
			other := uint32(domid)
			has = h.lib.TakeString(h.lib.DomidToName(c, uint32(domid)))
			if h.lib.NameToDomid(c, newName, &other) == 0 && other != uint32(domid) {
				return int32(libxl.ErrorInval)
			}
			return 0
		})
		switch {
		case err != nil:
			f.check(err)
		case libxl.Error(rc) == libxl.ErrorInval:
			f.refuse("nameSuffix", "another domain is named %q", info.Name+nameSuffix)
		case rc != 0:
			f.check(libxl.Error(rc))
		case has != info.Name:
			f.refuse("Name", "the domain's name is %q", has)
		}
	}
	return f.call(func(c capi.Ctx) int32 {
		return h.lib.DomainPreserve(c, uint32(domid), infoArg, suffixArg, capi.UUIDWords(newUuid))
	})
}

// SendSysrq asks a Linux guest's kernel to act as if this magic SysRq key had been
// pressed, such as 's' for sync. It does not wait for the guest, and does not tell
// whether the guest has heard, or obeys that key (its sysctl kernel.sysrq says
// which it does); libxl.ErrorDomainNotfound if there is no such domain. It calls
// libxl_send_sysrq.
func (h *Host) SendSysrq(domid libxl.Domid, key byte) error {
	f := h.beginDomain(capi.FnSendSysrq, domid)
	return f.call(func(c capi.Ctx) int32 {
		// libxl would write to xenstore all the same, and leave that there.
		if rc := f.exists(c); rc != 0 {
			return rc
		}
		return h.lib.SendSysrq(c, uint32(domid), key)
	})
}

// DomainNeedMemory is how much free memory, in kB, the host must have before a
// domain is created as cfg says: the guest's and what Xen needs for it. The
// configuration is not changed. It calls libxl_domain_need_memory.
func (h *Host) DomainNeedMemory(cfg *libxl.DomainConfig) (memkb uint64, err error) {
	f := h.begin(capi.FnDomainNeedMemory)
	f.check(checkCreate(cfg, runtime.GOARCH))
	config := in(f, cfg)
	err = f.call(func(c capi.Ctx) int32 {
		return h.lib.DomainNeedMemory(c, config, uint32(libxl.InvalidDomid), &memkb)
	})
	return memkb, err
}

// VmGetStartTime is when the domain was created, to the second; libxl.ErrorFail
// if there is no such domain. It calls libxl_vm_get_start_time.
func (h *Host) VmGetStartTime(domid libxl.Domid) (time.Time, error) {
	f := h.beginDomain(capi.FnVmGetStartTime, domid)
	var seconds uint32
	err := f.call(func(c capi.Ctx) int32 {
		if seconds = h.lib.VmGetStartTime(c, uint32(domid)); seconds == math.MaxUint32 {
			return int32(libxl.ErrorFail)
		}
		return 0
	})
	if err != nil {
		return time.Time{}, err
	}
	return time.Unix(int64(seconds), 0), nil
}
