package xenlight

import (
	"strings"

	"github.com/go-xenlight/xenlight/internal/capi"
	"github.com/go-xenlight/xenlight/libxl"
)

// GetScheduler is the scheduler that the hypervisor was started with. It runs
// CPU pool 0; other pools may have others. It calls libxl_get_scheduler.
func (h *Host) GetScheduler() (libxl.Scheduler, error) {
	f := h.begin(capi.FnGetScheduler)
	n, err := f.value(func(c capi.Ctx) int32 { return h.lib.GetScheduler(c) })
	return libxl.Scheduler(n), err
}

// maxPoolName is what xenstore takes in one message, less the key. libxl ignores
// that xenstore refuses a name, and without it lists neither this pool nor those
// after it.
const maxPoolName = 4096 - len("/local/pool/4294967295/name") - 1

// CpupoolCreate makes a CPU pool with a scheduler and returns its number. The
// CPUs in cpumap, which may be none, must be free: [Host.GetFreecpus] knows them,
// and [Host.CpupoolCpuremove] takes one from its pool. libxl.CpupoolPoolidAny as
// poolid, or 0, lets the hypervisor choose the number. libxl does not look
// whether another pool has the name. It calls libxl_cpupool_create.
//
// libxl.ErrorFail means that the hypervisor was built without this scheduler,
// that a CPU is not free, or that the number is in use. Then there is no pool.
// Xen 4.14's hypervisor panics when the only CPU leaves a pool of the scheduler
// rtds, as it does when the pool is destroyed.
func (h *Host) CpupoolCreate(name string, sched libxl.Scheduler, cpumap libxl.Bitmap, uuid libxl.Uuid, poolid uint32) (uint32, error) {
	f := h.begin(capi.FnCpupoolCreate)
	if len(name) > maxPoolName {
		f.refuse("name", "longer than the %d bytes that xenstore takes", maxPoolName)
	}
	nameArg, schedArg := f.str("name", name), enum(f, "sched", sched)
	cpumapArg, uuidArg := f.bitmapWords(cpumap), f.bytes(string(uuid[:]))
	if err := f.call(func(c capi.Ctx) int32 {
		return h.lib.CpupoolCreate(c, nameArg, schedArg, cpumapArg, uuidArg, &poolid)
	}); err != nil {
		return libxl.CpupoolPoolidAny, err
	}
	return poolid, nil
}

// SetParameters changes parameters of the running hypervisor, written as on its
// command line: "loglvl=info/debug no-global-pages". Only some can be changed
// while it runs: those that "xenhypfs ls /params" lists. libxl.ErrorFail means
// that one is not among them or has not that value; those before it are changed.
// It calls libxl_set_parameters.
func (h *Host) SetParameters(params string) error {
	f := h.begin(capi.FnSetParameters)
	for word := range strings.FieldsFuncSeq(params, func(r rune) bool { return r == ' ' || r == '\t' }) {
		// libxl crashes on any other.
		if !strings.Contains(word, "=") && !strings.HasPrefix(word, "no") {
			f.refuse("params", "%q is neither name=value nor noname", word)
		}
	}
	paramsArg := f.str("params", params)
	return f.call(func(c capi.Ctx) int32 { return h.lib.SetParameters(c, paramsArg) })
}
