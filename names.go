package xenlight

import (
	"strconv"
	"strings"

	"github.com/go-xenlight/xenlight/internal/capi"
	"github.com/go-xenlight/xenlight/libxl"
)

// DomainQualifierToDomid finds a domain by what a user wrote: a number is taken
// as it is, whether there is such a domain or not; anything else is a name, and
// libxl.ErrorInval means that no domain has it. It calls
// libxl_domain_qualifier_to_domid.
func (h *Host) DomainQualifierToDomid(qualifier string) (libxl.Domid, error) {
	f := h.begin(capi.FnDomainQualifierToDomid)
	if qualifier == "" {
		f.refuse("qualifier", "is empty") // libxl takes it for dom0
	}
	if n, is := f.number("qualifier", qualifier); is {
		f.domain("qualifier", libxl.Domid(n))
	}
	arg := f.str("qualifier", qualifier)
	var domid uint32
	err := f.call(func(c capi.Ctx) int32 { return h.lib.DomainQualifierToDomid(c, arg, &domid) })
	return libxl.Domid(domid), err
}

// CpupoolQualifierToCpupoolid finds a CPU pool by what a user wrote: a number is
// taken as it is, whether there is such a pool or not; anything else is a name,
// and libxl.ErrorInval means that no pool has it. It calls
// libxl_cpupool_qualifier_to_cpupoolid.
func (h *Host) CpupoolQualifierToCpupoolid(qualifier string) (poolid uint32, err error) {
	f := h.begin(capi.FnCpupoolQualifierToCpupoolid)
	f.number("qualifier", qualifier)
	arg := f.str("qualifier", qualifier)
	err = f.call(func(c capi.Ctx) int32 { return h.lib.CpupoolQualifierToCpupoolid(c, arg, &poolid, nil) })
	return poolid, err
}

// number tells whether a string has digits only. libxl would cut a number that
// is too large to another one.
func (f *frame) number(name, s string) (n uint32, is bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	wide, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		f.refuse(name, "%s is too large a number", s)
	}
	return uint32(wide), true
}

// GetStubdomId is the stub domain that runs the device model of an HVM guest; 0
// if there is none, for then it runs in dom0. It calls libxl_get_stubdom_id.
func (h *Host) GetStubdomId(guest libxl.Domid) (libxl.Domid, error) {
	n, err := h.beginDomain(capi.FnGetStubdomId, guest).value(func(c capi.Ctx) int32 {
		return h.lib.GetStubdomId(c, int32(guest))
	})
	return libxl.Domid(n), err
}

// IsStubdom says whether a domain is a stub domain, and of which guest it runs
// the device model. It calls libxl_is_stubdom.
func (h *Host) IsStubdom(domid libxl.Domid) (target libxl.Domid, yes bool, err error) {
	var number uint32
	yes, err = h.beginDomain(capi.FnIsStubdom, domid).boolean(func(c capi.Ctx) bool {
		return h.lib.IsStubdom(c, uint32(domid), &number)
	})
	return libxl.Domid(number), yes, err
}

// GetRequiredShadowMemory is the shadow memory that a guest of so much memory
// and so many vCPUs needs, in kB as its argument. [Host.DomainCreateNew] works it
// out by itself where ShadowMemkb is not set. It calls
// libxl_get_required_shadow_memory.
func (h *Host) GetRequiredShadowMemory(maxMemkb uint64, vcpus int) (memkb uint64, err error) {
	f := h.begin(capi.FnGetRequiredShadowMemory)
	if vcpus < 0 {
		f.refuse("vcpus", "%d is no number of vCPUs", vcpus)
	}
	vcpusArg := f.integer("vcpus", vcpus)
	err = f.call(func(capi.Ctx) int32 {
		memkb = uint64(h.lib.GetRequiredShadowMemory(uint(maxMemkb), uint32(vcpusArg)))
		return 0
	})
	return memkb, err
}
