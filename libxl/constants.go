package libxl

// Domid is a domain's number, libxl_domid.
type Domid uint32

// Devid is a virtual device's number within its domain and kind, libxl_devid.
// The default, -1, lets libxl choose one.
type Devid int32

// Numbers that stand for no domain.
const (
	InvalidDomid Domid = ^Domid(0)        // no domain: INVALID_DOMID
	RandomDomid  Domid = InvalidDomid - 1 // in DomainCreateInfo.Domid: any free number, RANDOM_DOMID
)

// Values that ask libxl for its own choice, or say that there is none.
const (
	MemkbDefault         uint64 = ^uint64(0) // LIBXL_MEMKB_DEFAULT
	InvalidGfn           uint64 = ^uint64(0) // in IomemRange.Gfn: map at the same address
	MaxGrantDefault      uint32 = ^uint32(0) // LIBXL_MAX_GRANT_DEFAULT
	NrSpisDefault        uint32 = ^uint32(0) // LIBXL_NR_SPIS_DEFAULT, since Xen 4.21
	Altp2MCountDefault   uint32 = ^uint32(0) // LIBXL_ALTP2M_COUNT_DEFAULT, since Xen 4.21
	CpupoolPoolidAny     uint32 = ^uint32(0) // LIBXL_CPUPOOL_POOLID_ANY
	CputopologyInvalid   uint32 = ^uint32(0) // LIBXL_CPUTOPOLOGY_INVALID_ENTRY: CPU is offline
	PcitopologyInvalid   uint32 = ^uint32(0) // LIBXL_PCITOPOLOGY_INVALID_ENTRY: node is not known
	NumainfoInvalid      uint64 = 0xffffffff // LIBXL_NUMAINFO_INVALID_ENTRY: node is offline
	RdmMemBoundaryMemkb  uint64 = 2048 * 1024
	MaxGrantFrames       uint32 = 32   // LIBXL_MAX_GRANT_FRAMES_DEFAULT
	MaxMaptrackFrames    uint32 = 1024 // LIBXL_MAX_MAPTRACK_FRAMES_DEFAULT
	PciFuncAll           uint32 = ^uint32(0)
	ViridianEnlightments        = 64 // bits in the bitmaps ViridianEnable and ViridianDisable
)

// SchedParamDefault in a field of DomainSchedParams or SchedParams leaves the
// parameter as it is: LIBXL_DOMAIN_SCHED_PARAM_*_DEFAULT.
const SchedParamDefault = -1

// TimerModeDefault lets libxl choose: LIBXL_TIMER_MODE_DEFAULT.
const TimerModeDefault TimerMode = -1

// Flags of libxl_domain_suspend.
const (
	SuspendDebug = 1 // LIBXL_SUSPEND_DEBUG
	SuspendLive  = 2 // LIBXL_SUSPEND_LIVE
)

// Operations of libxl_dt_overlay, since Xen 4.19.
const (
	DtOverlayAdd    = 1 // LIBXL_DT_OVERLAY_ADD
	DtOverlayRemove = 2 // LIBXL_DT_OVERLAY_REMOVE
)
