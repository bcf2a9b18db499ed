package libxl

// Domid is a domain's number, libxl_domid.
type Domid uint32

// Devid is a virtual device's number within its domain and kind, libxl_devid.
// The default, -1, lets libxl choose one.
type Devid int32

// Numbers that stand for no one domain.
const (
	InvalidDomid Domid = 1<<32 - 1        // no domain
	RandomDomid  Domid = InvalidDomid - 1 // in DomainCreateInfo.Domid: any free number
)

// ValidGuest says whether a guest could have the number: 0 is dom0, and those
// from 0x7ff0 on have a meaning of their own. That there is such a guest it does
// not say.
func (d Domid) ValidGuest() bool { return d > 0 && d < 0x7ff0 }

// Values that leave the choice to libxl. New sets them.
const (
	MemkbDefault       uint64    = 1<<64 - 1
	MaxGrantDefault    uint32    = 1<<32 - 1
	NrSpisDefault      uint32    = 1<<32 - 1 // since Xen 4.21
	Altp2MCountDefault uint32    = 1<<32 - 1 // since Xen 4.21
	TimerModeDefault   TimerMode = -1
)

// Values that leave a parameter of a scheduler as it is. New sets them.
const (
	DomainSchedParamWeightDefault    = -1
	DomainSchedParamCapDefault       = -1
	DomainSchedParamPeriodDefault    = -1
	DomainSchedParamSliceDefault     = -1
	DomainSchedParamLatencyDefault   = -1
	DomainSchedParamExtratimeDefault = -1
	DomainSchedParamBudgetDefault    = -1
	SchedParamVcpuIndexDefault       = -1
)

// Numbers that libxl uses where it is left the choice.
const (
	MaxGrantFramesDefault      = 32
	MaxMaptrackFramesDefault   = 1024
	RdmMemBoundaryMemkbDefault = 2048 * 1024
)

// Values that say that there is nothing to tell, as for a CPU that is offline.
const (
	CputopologyInvalidEntry = 1<<32 - 1
	PcitopologyInvalidEntry = 1<<32 - 1
	NumainfoInvalidEntry    = 1<<32 - 1
)

// Values with a meaning of their own.
const (
	InvalidGfn       uint64 = 1<<64 - 1 // IomemRange.Gfn: map at the same address
	CpupoolPoolidAny uint32 = 1<<32 - 1 // any CPU pool
	PciFuncAll       uint32 = 1<<32 - 1 // DevicePci.VfuncMask: all functions
	EventmaskAll     uint64 = 1<<64 - 1 // all types of events
)

// BuildinfoHvmViridianEnableDisableWidth is the number of bits that
// ViridianEnable and ViridianDisable should have room for.
const BuildinfoHvmViridianEnableDisableWidth = 64

// Flags of libxl_domain_suspend.
const (
	SuspendDebug = 1
	SuspendLive  = 2
)

// Operations of libxl_dt_overlay and libxl_dt_overlay_domain, since Xen 4.19.
const (
	DtOverlayAdd          = 1
	DtOverlayRemove       = 2
	DtOverlayDomainAttach = 1
)
