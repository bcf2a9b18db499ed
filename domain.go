package xenlight

import (
	"context"

	"github.com/go-xenlight/xenlight/internal/capi"
	"github.com/go-xenlight/xenlight/libxl"
)

// CreateOption changes how DomainCreateNew works.
type CreateOption func(*createOptions)

type createOptions struct {
	console func(libxl.Domid)
}

// OnConsole has a function called, in a goroutine of its own, as soon as the new
// domain's primary console exists, that is before its bootloader runs and before
// DomainCreateNew returns. [Host.PrimaryConsoleGetTty] then names it.
func OnConsole(f func(libxl.Domid)) CreateOption {
	return func(o *createOptions) { o.console = f }
}

// DomainCreateNew creates a domain as cfg says and returns its number. The domain
// is paused: [Host.DomainUnpause] starts it. It calls libxl_domain_create_new.
//
// What libxl has filled in (defaults, device numbers) is copied back to cfg when
// the domain exists; a CPUID policy stays as it is. After an error cfg is as
// before and no domain is left behind.
//
// The errors are a *FieldError for what this release cannot be told, and
// otherwise libxl's codes: libxl.ErrorInval for a configuration that contradicts
// itself, libxl.ErrorFail for nearly everything else (a missing kernel, a name in
// use, too little memory), with libxl's own words in the message and in
// [Error.Log].
//
// Loading the kernel and filling memory happens inside libxl with the Host's
// lock held: other calls on the same Host wait meanwhile, and a cancellation
// takes effect after it.
func (h *Host) DomainCreateNew(ctx context.Context, cfg *libxl.DomainConfig, opts ...CreateOption) (libxl.Domid, error) {
	var o createOptions
	for _, f := range opts {
		f(&o)
	}
	s := about("DomainCreateNew")
	if cfg != nil {
		s.name = cfg.CInfo.Name
		if err := checkCreate(cfg); err != nil {
			return libxl.InvalidDomid, s.because(err)
		}
	}
	config, err := capi.Encode(h.lib, cfg)
	if err != nil {
		return libxl.InvalidDomid, s.because(err)
	}
	domid, err := capi.NewWord(h.lib, uint32(libxl.InvalidDomid))
	if err != nil {
		config.Free()
		return libxl.InvalidDomid, s.because(err)
	}
	var progress *capi.AsyncprogressHow
	if o.console != nil {
		id := h.loop.Handle(func(ev *libxl.Event) { go o.console(ev.Domid) })
		defer h.loop.Forget(id)
		progress = &capi.AsyncprogressHow{ForEvent: id}
	}
	err = h.operate(ctx, s, func(c capi.Ctx, how *capi.AsyncopHow) int32 {
		return h.lib.DomainCreateNew(c, config.Ptr(), domid.Addr(), how, progress)
	})
	if lost(err) {
		return libxl.InvalidDomid, err
	}
	defer config.Free()
	defer domid.Free()
	if err != nil {
		return libxl.InvalidDomid, err
	}
	if err := config.Get(cfg); err != nil {
		return libxl.Domid(domid.Get()), aboutDomain(s.op, libxl.Domid(domid.Get())).because(err)
	}
	return libxl.Domid(domid.Get()), nil
}

// checkCreate refuses what libxl would answer with an assertion or a riddle.
func checkCreate(cfg *libxl.DomainConfig) error {
	if cfg.CInfo.Type == libxl.DomainTypeInvalid {
		return &FieldError{Path: "CInfo.Type", Problem: "not set: want hvm, pv or pvh"}
	}
	built := cfg.BInfo.Type
	switch cfg.BInfo.TypeUnion.(type) {
	case *libxl.DomainBuildInfoTypeUnionHvm:
		built = libxl.DomainTypeHvm
	case *libxl.DomainBuildInfoTypeUnionPv:
		built = libxl.DomainTypePv
	case *libxl.DomainBuildInfoTypeUnionPvh:
		built = libxl.DomainTypePvh
	}
	if built != cfg.CInfo.Type {
		return &FieldError{Path: "BInfo.TypeUnion",
			Problem: "says " + built.String() + ", but CInfo.Type is " + cfg.CInfo.Type.String()}
	}
	return nil
}

// DomainPause stops the domain's vCPUs from running. Xen counts: a domain runs
// again after as many DomainUnpause, and more than 127 pauses are an error. It
// calls libxl_domain_pause.
func (h *Host) DomainPause(ctx context.Context, domid libxl.Domid) error {
	return h.operateDomain(ctx, "DomainPause", domid, h.lib.DomainPause)
}

// DomainUnpause takes back one DomainPause, or lets a newly created domain run.
// It calls libxl_domain_unpause.
func (h *Host) DomainUnpause(ctx context.Context, domid libxl.Domid) error {
	return h.operateDomain(ctx, "DomainUnpause", domid, h.lib.DomainUnpause)
}

// DomainShutdown asks the guest to power off; it does not wait until the guest
// has done so. libxl.ErrorNoparavirt means that the guest does not listen. It
// calls libxl_domain_shutdown.
func (h *Host) DomainShutdown(ctx context.Context, domid libxl.Domid) error {
	return h.operateDomain(ctx, "DomainShutdown", domid, h.lib.DomainShutdown)
}

// DomainReboot asks the guest to shut down for a reboot; it does not wait for it,
// and the toolstack that manages the domain has to create it again. It calls
// libxl_domain_reboot.
func (h *Host) DomainReboot(ctx context.Context, domid libxl.Domid) error {
	return h.operateDomain(ctx, "DomainReboot", domid, h.lib.DomainReboot)
}

// DomainDestroy ends the domain at once and removes its devices, its xenstore
// entries and its device model. As long as another process maps memory of the
// domain, [Host.DomainInfo] and [Host.ListDomain] go on to show it, as dying. It
// calls libxl_domain_destroy.
func (h *Host) DomainDestroy(ctx context.Context, domid libxl.Domid) error {
	return h.operateDomain(ctx, "DomainDestroy", domid, h.lib.DomainDestroy)
}

// DomainInfo describes a domain as the hypervisor sees it, so that a PVH guest's
// DomainType is hvm; libxl.ErrorDomainNotfound if there is none. Memory is in kB,
// CPU time in ns. It calls libxl_domain_info.
func (h *Host) DomainInfo(domid libxl.Domid) (libxl.Dominfo, error) {
	return get[libxl.Dominfo](h, aboutDomain("DomainInfo", domid), func(c capi.Ctx, p capi.Ptr) int32 {
		return h.lib.DomainInfo(c, p, uint32(domid))
	})
}

// ListDomain describes all domains, dom0 among them. It calls libxl_list_domain.
func (h *Host) ListDomain() ([]libxl.Dominfo, error) {
	return list[libxl.Dominfo](h, about("ListDomain"), h.lib.ListDomain, h.lib.DominfoListFree)
}

// ListVcpu describes a domain's vCPUs: state, the physical CPU, the time used
// (ns), hard and soft affinity. It calls libxl_list_vcpu.
func (h *Host) ListVcpu(domid libxl.Domid) ([]libxl.Vcpuinfo, error) {
	var cpus int32
	return list[libxl.Vcpuinfo](h, aboutDomain("ListVcpu", domid), func(c capi.Ctx, n *int32) capi.Ptr {
		return h.lib.ListVcpu(c, uint32(domid), n, &cpus)
	}, h.lib.VcpuinfoListFree)
}

// ConsoleGetTty is the path in dom0 of the terminal of one of the domain's
// consoles. Open it with O_NOCTTY: as a controlling terminal it would send the
// program SIGHUP when the domain ends. It calls libxl_console_get_tty.
func (h *Host) ConsoleGetTty(domid libxl.Domid, number int, kind libxl.ConsoleType) (string, error) {
	s := aboutDomain("ConsoleGetTty", domid)
	if number < 0 || number > maxConsole {
		return "", s.because(&FieldError{Path: "number", Problem: "a console's number is from 0 to 255"})
	}
	return h.text(s, func(c capi.Ctx, p *capi.Ptr) int32 {
		return h.lib.ConsoleGetTty(c, uint32(domid), int32(number), int32(kind), p)
	})
}

const maxConsole = 255

// PrimaryConsoleGetTty is the path in dom0 of the terminal of the domain's
// primary console: the PV console, or the emulated serial port of an HVM guest
// that has one. Open it with O_NOCTTY, as for [Host.ConsoleGetTty]. It calls
// libxl_primary_console_get_tty.
func (h *Host) PrimaryConsoleGetTty(domid libxl.Domid) (string, error) {
	return h.text(aboutDomain("PrimaryConsoleGetTty", domid), func(c capi.Ctx, p *capi.Ptr) int32 {
		return h.lib.PrimaryConsoleGetTty(c, uint32(domid), p)
	})
}
