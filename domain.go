package xenlight

import (
	"context"
	"errors"
	"io"
	"runtime"

	"github.com/go-xenlight/xenlight/internal/capi"
	"github.com/go-xenlight/xenlight/libxl"
)

// CreateOption changes how DomainCreateNew, DomainCreateRestore and
// DomainSoftReset work.
type CreateOption func(*createOptions)

type createOptions struct {
	console  func(libxl.Domid)
	sendBack io.Writer
}

func optionsOf(opts []CreateOption) (o createOptions) {
	for _, set := range opts {
		set(&o)
	}
	return o
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
// On Arm a PV guest becomes a PVH guest, and an HVM guest is refused.
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
	return h.create(ctx, h.begin(capi.FnDomainCreateNew), cfg, optionsOf(opts),
		func(c capi.Ctx, config capi.Ptr, domid *uint32, how *capi.AsyncopHow, progress *capi.AsyncprogressHow) int32 {
			return h.lib.DomainCreateNew(c, config, domid, how, progress)
		})
}

// create runs an operation that makes a domain.
func (h *Host) create(ctx context.Context, f *frame, cfg *libxl.DomainConfig, o createOptions,
	start func(capi.Ctx, capi.Ptr, *uint32, *capi.AsyncopHow, *capi.AsyncprogressHow) int32) (libxl.Domid, error) {
	defer f.leave()
	if f.check(checkCreate(cfg, runtime.GOARCH)) {
		f.name = cfg.CInfo.Name
		h.loop.Name(f.entered, f.name)
		defer h.events.creating()()
	}
	config, written := encode(f, forArch(cfg, runtime.GOARCH))
	f.back = append(f.back, func() error { return written.Get(cfg) })
	number := f.word(uint32(libxl.InvalidDomid))
	progress, forget := f.onConsole(o.console)
	defer forget()
	out := f.run(ctx, func(c capi.Ctx, how *capi.AsyncopHow) int32 {
		return start(c, config, number.Addr(), how, progress)
	})
	if f.err != nil || out.Lost {
		return libxl.InvalidDomid, f.ended(out)
	}
	domid := libxl.Domid(number.Get())
	if f.none = &domid; domid != libxl.InvalidDomid {
		f.domid = &domid
	}
	err := f.ended(out)
	// When a creation fails, libxl destroys the domain by itself, but what is aborted
	// it leaves, or ends half-way in destroying it.
	if f.domid != nil && (libxl.Error(out.Code) == libxl.ErrorAborted || out.Err != nil) {
		err = errors.Join(err, h.discard(domid))
	}
	if out.Code != 0 || out.Err != nil {
		return libxl.InvalidDomid, err
	}
	h.events.born(domid, cfg.CInfo.Uuid)
	return domid, err
}

// onConsole has a function called when an operation's domain gets a console.
func (f *frame) onConsole(report func(libxl.Domid)) (how *capi.AsyncprogressHow, forget func()) {
	if report == nil || f.err != nil {
		return nil, func() {}
	}
	id := f.h.loop.Handle(func(ev *libxl.Event) { go report(ev.Domid) })
	return &capi.AsyncprogressHow{ForEvent: id}, func() { f.h.loop.Forget(id) }
}

// DomainDestroy ends the domain at once and removes its devices, its xenstore
// entries and its device model. If it is aborted, part of that may remain: call
// it again. As long as another process maps memory of the domain, [Host.DomainInfo]
// and [Host.ListDomain] go on to show it, as dying. If the domain has shut down
// before, the watches are told why, those of the process's other Hosts too, unless
// these are busy for a second. libxl.ErrorDomainNotfound means that there is no
// such domain. It calls libxl_domain_destroy.
func (h *Host) DomainDestroy(ctx context.Context, domid libxl.Domid) error {
	f := h.beginDomain(capi.FnDomainDestroy, domid)
	if f.err == nil {
		h.events.glanceAll(ctx)
	}
	return f.operate(ctx, func(c capi.Ctx, how *capi.AsyncopHow) int32 {
		return h.lib.DomainDestroy(c, uint32(domid), how)
	})
}

// discard destroys what a creation has left that was aborted.
func (h *Host) discard(domid libxl.Domid) error {
	err := h.tidy(capi.FnDomainDestroy, domid, func(c capi.Ctx, how *capi.AsyncopHow) int32 {
		return h.lib.DomainDestroy(c, uint32(domid), how)
	})
	if errors.Is(err, libxl.ErrorDomainNotfound) {
		return nil
	}
	return err
}

// tidy operates on what another operation has left behind, even if the Host is
// about to be closed: the caller has entered the loop.
func (h *Host) tidy(fn capi.Fn, domid libxl.Domid, start func(capi.Ctx, *capi.AsyncopHow) int32) error {
	f := &frame{h: h, fn: fn, domid: &domid, mark: h.loop.Mark()}
	// Run itself: the loop's life may be over.
	return f.ended(h.loop.Run(context.Background(), start))
}

// checkCreate refuses what libxl would answer with an assertion or a riddle.
func checkCreate(cfg *libxl.DomainConfig, arch string) error {
	if cfg == nil {
		return &FieldError{Problem: "no configuration"}
	}
	if cfg.CInfo.Type == libxl.DomainTypeInvalid {
		return &FieldError{Path: "CInfo.Type", Problem: "not set: want hvm, pv or pvh"}
	}
	if cfg.CInfo.Type == libxl.DomainTypeHvm && arch == "arm64" {
		return &FieldError{Path: "CInfo.Type", Problem: "hvm: guests on Arm are pvh"}
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

// ListVcpu describes a domain's vCPUs: state, the physical CPU, the time used
// (ns), hard and soft affinity. It calls libxl_list_vcpu.
func (h *Host) ListVcpu(domid libxl.Domid) ([]libxl.Vcpuinfo, error) {
	var cpus int32
	f := h.beginDomain(capi.FnListVcpu, domid)
	return list[libxl.Vcpuinfo](f, func(c capi.Ctx, n *int32) capi.Ptr {
		return h.lib.ListVcpu(c, uint32(domid), n, &cpus)
	}, f.h.lib.VcpuinfoListFree)
}

// ConsoleGetTty is the path in dom0 of the terminal of one of the domain's
// consoles. Open it with O_NOCTTY: as a controlling terminal it would send the
// program SIGHUP when the domain ends. It calls libxl_console_get_tty.
func (h *Host) ConsoleGetTty(domid libxl.Domid, number int, kind libxl.ConsoleType) (string, error) {
	f := h.beginDomain(capi.FnConsoleGetTty, domid)
	if number < 0 {
		f.refuse("number", "not the number of a console")
	}
	numberArg, kindArg := f.integer("number", number), enum(f, "kind", kind)
	var path string
	pathArg := f.outStr(&path)
	err := f.call(func(c capi.Ctx) int32 {
		return h.lib.ConsoleGetTty(c, uint32(domid), numberArg, kindArg, pathArg)
	})
	return path, err
}
