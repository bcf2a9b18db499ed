package xenlight

import (
	"context"
	"errors"
	"math"

	"github.com/go-xenlight/xenlight/internal/capi"
	"github.com/go-xenlight/xenlight/libxl"
)

// CreateOption changes how DomainCreateNew works.
type CreateOption func(*createOptions)

type createOptions struct {
	console func(libxl.Domid)
}

// OnConsole has a function called, in a goroutine of its own, when the new
// domain's primary console exists: before its bootloader runs, if it has one, and
// else near the end of the creation. [Host.PrimaryConsoleGetTty] then names it.
// A guest with a bootloader has it called twice: the second time the console is
// the guest's own.
func OnConsole(f func(libxl.Domid)) CreateOption {
	return func(o *createOptions) { o.console = f }
}

// DomainCreateNew creates a domain as cfg says and returns its number. The domain
// is paused: [Host.DomainUnpause] starts it. It calls libxl_domain_create_new.
//
// What libxl has filled in (defaults, device numbers) is copied back to cfg when
// the domain exists; a CPUID policy stays as it is. After an error cfg is as
// before and there is no domain: what an aborted creation leaves half-made is
// destroyed, and if that fails too the error says so and has the number.
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
	}
	if err := h.enter(s); err != nil {
		return libxl.InvalidDomid, err
	}
	defer h.loop.Leave()
	if err := checkCreate(cfg); err != nil {
		return libxl.InvalidDomid, s.because(err)
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
	ctx, unbind := h.loop.Bind(ctx)
	defer unbind()
	mark := h.loop.Mark()
	out := h.loop.Run(ctx, func(c capi.Ctx, how *capi.AsyncopHow) int32 {
		return h.lib.DomainCreateNew(c, config.Ptr(), domid.Addr(), how, progress)
	})
	if out.Lost {
		return libxl.InvalidDomid, s.because(out.Err)
	}
	defer config.Free()
	defer domid.Free()
	d := libxl.Domid(domid.Get())
	if d != libxl.InvalidDomid {
		s.domid = &d
	}
	switch {
	case out.Code != 0 || out.Err != nil:
		err := h.failed(s, mark, out.Code, out.Err)
		if s.domid != nil && libxl.Error(out.Code) == libxl.ErrorAborted {
			err = errors.Join(err, h.discard(d))
		}
		return libxl.InvalidDomid, err
	default:
		if err := config.Get(cfg); err != nil {
			return d, s.because(err)
		}
		return d, nil
	}
}

// discard destroys what an aborted creation has left, even if the Host is about
// to be closed. The caller has entered the loop.
func (h *Host) discard(domid libxl.Domid) error {
	mark := h.loop.Mark()
	out := h.loop.Run(context.Background(), func(c capi.Ctx, how *capi.AsyncopHow) int32 {
		return h.lib.DomainDestroy(c, uint32(domid), how)
	})
	if out.Code == 0 && out.Err == nil || libxl.Error(out.Code) == libxl.ErrorDomainNotfound {
		return nil
	}
	return h.failed(aboutDomain("DomainDestroy", domid), mark, out.Code, out.Err)
}

// checkCreate refuses what libxl would answer with an assertion or a riddle.
func checkCreate(cfg *libxl.DomainConfig) error {
	if cfg == nil {
		return &FieldError{Problem: "no configuration"}
	}
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
// entries and its device model. If it is aborted, part of that may remain: call it
// again. As long as another process maps memory of the
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
	if !kind.IsValid() {
		return "", s.because(&FieldError{Path: "kind", Problem: "not a type of console"})
	}
	if number < 0 || number > math.MaxInt32 {
		return "", s.because(&FieldError{Path: "number", Problem: "not the number of a console"})
	}
	return h.text(s, func(c capi.Ctx, p *capi.Ptr) int32 {
		return h.lib.ConsoleGetTty(c, uint32(domid), int32(number), int32(kind), p)
	})
}

// PrimaryConsoleGetTty is the path in dom0 of the terminal of the domain's
// primary console: the PV console, or the emulated serial port of an HVM guest
// that has one. Open it with O_NOCTTY, as for [Host.ConsoleGetTty]. It calls
// libxl_primary_console_get_tty.
func (h *Host) PrimaryConsoleGetTty(domid libxl.Domid) (string, error) {
	return h.text(aboutDomain("PrimaryConsoleGetTty", domid), func(c capi.Ctx, p *capi.Ptr) int32 {
		return h.lib.PrimaryConsoleGetTty(c, uint32(domid), p)
	})
}
