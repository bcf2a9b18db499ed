package xltest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/go-xenlight/xenlight/libxl"
)

const hostconfigSection = "Advanced host config"

var cpupoolChecks = []check{
	{hostconfigSection, "a CPU pool: created, seen by xenstore and xl, renamed, destroyed", checkCpupool},
	{hostconfigSection, "CPUs go in and out of pools by number, node and map", checkCpupoolCpus},
	{hostconfigSection, "a domain runs in another CPU pool and comes back", checkCpupoolMove},
	{hostconfigSection, "CPU pools: what cannot be is an error", checkCpupoolErrors},
}

// freeCPU takes a CPU from pool 0, which gets it back after the check. It is one
// that no vCPU is pinned to, for Xen would end the pinning.
func (t *T) freeCPU() int {
	sched, err := t.Host.GetScheduler()
	t.ok(err, "GetScheduler")
	if t.panics(sched) {
		t.Cannot("this hypervisor hangs when a CPU leaves pool 0 with %s", sched)
	}
	cpus, pinned := t.pool0(), t.pinned()
	for _, cpu := range slices.Backward(cpus) {
		if cpu == 0 || len(cpus) == 1 || pinned.Test(cpu) {
			continue // CPU 0 must stay in pool 0
		}
		t.ok(t.Host.CpupoolCpuremove(0, cpu), "CpupoolCpuremove")
		t.Cleanup(func() {
			if !slices.Contains(t.pool0(), cpu) {
				t.ok(t.Host.CpupoolCpuadd(0, cpu), "CpupoolCpuadd to pool 0 again")
			}
		})
		return cpu
	}
	t.Cannot("pool 0 has no CPU to spare: %d", cpus)
	return -1
}

// pinned is the CPUs that some vCPU is pinned to.
func (t *T) pinned() (cpus libxl.Bitmap) {
	domains, err := t.Host.ListDomain()
	t.ok(err, "ListDomain")
	for _, d := range domains {
		vcpus, err := t.Host.ListVcpu(d.Domid)
		t.ok(err, "ListVcpu")
		for _, v := range vcpus {
			if v.Cpumap.Count() == 1 {
				cpus = cpus.Or(v.Cpumap)
			}
		}
	}
	return cpus
}

// pool makes a CPU pool, which is destroyed after the check.
func (t *T) pool(sched libxl.Scheduler, cpus libxl.Bitmap) uint32 {
	if !t.compiledIn(sched) {
		t.Cannot("this hypervisor was built without the scheduler %s", sched)
	}
	if t.panics(sched) {
		t.Cannot("this hypervisor panics when a CPU leaves a pool of %s; boot it with sched=%s", sched, sched)
	}
	id, err := t.Host.CpupoolCreate("xltest-"+sched.String(), sched, cpus, libxl.NewUuid(), libxl.CpupoolPoolidAny)
	t.ok(err, "CpupoolCreate")
	t.Cleanup(func() {
		if t.hasPool(id) {
			t.ok(t.Host.CpupoolDestroy(id), "CpupoolDestroy")
		}
	})
	return id
}

// panics tells that the hypervisor would not stand the end of a pool.
func (t *T) panics(sched libxl.Scheduler) bool {
	return sched == libxl.SchedulerRtds && t.release() <= 14
}

// compiledIn tells from the hypervisor's own configuration whether it has a
// scheduler.
func (t *T) compiledIn(sched libxl.Scheduler) bool {
	lines, ok := t.tool("xenhypfs", "cat", "/buildinfo/config")
	if !ok {
		return true // creating a pool will tell
	}
	return slices.ContainsFunc(lines, func(words []string) bool {
		return strings.Join(words, " ") == "CONFIG_SCHED_"+strings.ToUpper(sched.String())+"=y"
	})
}

func (t *T) hasPool(id uint32) bool {
	pools, err := t.Host.ListCpupool()
	t.ok(err, "ListCpupool")
	return slices.ContainsFunc(pools, func(p libxl.Cpupoolinfo) bool { return p.Poolid == id })
}

// toPool moves the guest to a CPU pool, and back after the check.
func (g *guest) toPool(pool uint32) {
	g.own()
	g.t.ok(g.t.Host.CpupoolMovedomain(pool, g.Domid), "CpupoolMovedomain")
	g.t.Cleanup(func() {
		if g.exists() {
			g.t.ok(g.t.Host.CpupoolMovedomain(0, g.Domid), "CpupoolMovedomain back")
		}
	})
}

// poolIs demands what a pool is, of all who know.
func (t *T) poolIs(id uint32, name string, sched libxl.Scheduler, domains int, cpus libxl.Bitmap) {
	info, err := t.Host.CpupoolInfo(id)
	t.ok(err, "CpupoolInfo")
	equal(t, "the pool", fmt.Sprintln(info.Poolid, info.PoolName, info.Sched, info.NDom, info.Cpumap),
		fmt.Sprintln(id, name, sched, domains, cpus))
	if got, ok := xenstoreRead(fmt.Sprintf("/local/pool/%d/name", id)); ok {
		equal(t, "the name in xenstore", got, name)
	}
	lines, ok := t.xl("cpupool-list")
	if !ok {
		return
	}
	want := fmt.Sprint([]string{name, fmt.Sprint(cpus.Count()), sched.String(), "y", fmt.Sprint(domains)})
	if !slices.ContainsFunc(lines, func(words []string) bool { return fmt.Sprint(words) == want }) {
		t.Errorf("xl cpupool-list lacks %s: %v", want, lines)
	}
}

// freeIs demands which CPUs are free.
func (t *T) freeIs(want libxl.Bitmap) {
	free, err := t.Host.GetFreecpus()
	t.ok(err, "GetFreecpus")
	equal(t, "the free CPUs", free.String(), want.String())
}

func checkCpupool(t *T) {
	sched, err := t.Host.GetScheduler()
	t.ok(err, "GetScheduler")
	before, err := t.Host.GetFreecpus()
	t.ok(err, "GetFreecpus")
	keys := xenstoreKeys(t)
	cpu := t.freeCPU()
	t.freeIs(before.Or(libxl.BitmapOf(cpu)))
	uuid := libxl.NewUuid()
	id, err := t.Host.CpupoolCreate("xltest pool", sched, libxl.BitmapOf(cpu), uuid, libxl.CpupoolPoolidAny)
	t.ok(err, "CpupoolCreate")
	gone := false
	t.Cleanup(func() {
		if !gone {
			t.ok(t.Host.CpupoolDestroy(id), "CpupoolDestroy")
		}
	})
	if id == 0 || id == libxl.CpupoolPoolidAny {
		t.Fatalf("the new pool's number is %d", id)
	}
	t.freeIs(before)
	if got, ok := xenstoreRead(fmt.Sprintf("/local/pool/%d/uuid", id)); ok {
		equal(t, "the UUID in xenstore", got, uuid.String())
	}
	t.ok(t.Host.CpupoolRename("xltest-renamed", id), "CpupoolRename")
	t.poolIs(id, "xltest-renamed", sched, 0, libxl.BitmapOf(cpu))
	t.ok(t.Host.CpupoolDestroy(id), "CpupoolDestroy")
	gone = true
	equal(t, "the pool is there", t.hasPool(id), false)
	t.freeIs(before.Or(libxl.BitmapOf(cpu)))
	if keys != nil {
		for _, d := range differ("xenstore", keys, listXenstore()) {
			if strings.Contains(d, "/local/pool/") {
				t.Errorf("%s", d)
			}
		}
	}
	// A number of one's own, and no CPU yet.
	id, err = t.Host.CpupoolCreate("xltest-77", sched, libxl.Bitmap{}, libxl.NewUuid(), 77)
	t.ok(err, "CpupoolCreate with a number")
	equal(t, "the pool's number", id, 77)
	t.poolIs(77, "xltest-77", sched, 0, libxl.Bitmap{})
	t.ok(t.Host.CpupoolDestroy(77), "CpupoolDestroy of a pool without CPUs")
}

func checkCpupoolCpus(t *T) {
	sched, err := t.Host.GetScheduler()
	t.ok(err, "GetScheduler")
	topology, err := t.Host.GetCpuTopology()
	t.ok(err, "GetCpuTopology")
	before, err := t.Host.GetFreecpus()
	t.ok(err, "GetFreecpus")
	if !before.IsEmpty() {
		t.Cannot("CPUs %s are free for somebody else", before)
	}
	cpu := t.freeCPU()
	node, one := int(topology[cpu].Node), libxl.BitmapOf(cpu)
	pool := t.pool(sched, libxl.Bitmap{})
	name := "xltest-" + sched.String()
	count := func(what string, n int, err error, want int) {
		t.ok(err, what)
		equal(t, what+": CPUs", n, want)
	}
	in := func() { t.poolIs(pool, name, sched, 0, one); t.freeIs(libxl.Bitmap{}) }
	out := func() { t.poolIs(pool, name, sched, 0, libxl.Bitmap{}); t.freeIs(one) }
	out()
	t.ok(t.Host.CpupoolCpuadd(pool, cpu), "CpupoolCpuadd")
	in()
	t.ok(t.Host.CpupoolCpuremove(pool, cpu), "CpupoolCpuremove")
	out()
	t.ok(t.Host.CpupoolCpuadd(pool, -1), "CpupoolCpuadd of any")
	in()
	t.ok(t.Host.CpupoolCpuremove(pool, -1), "CpupoolCpuremove of the last")
	out()
	n, err := t.Host.CpupoolCpuaddNode(pool, node)
	count("CpupoolCpuaddNode", n, err, 1)
	in()
	n, err = t.Host.CpupoolCpuremoveNode(pool, node)
	count("CpupoolCpuremoveNode", n, err, 1)
	out()
	t.ok(t.Host.CpupoolCpuaddCpumap(pool, one), "CpupoolCpuaddCpumap")
	in()
	t.ok(t.Host.CpupoolCpuremoveCpumap(pool, one), "CpupoolCpuremoveCpumap")
	out()
	t.ok(t.Host.CpupoolCpuaddCpumap(pool, libxl.Bitmap{}), "CpupoolCpuaddCpumap of none")
	t.ok(t.Host.CpupoolCpuremoveCpumap(pool, libxl.Bitmap{}), "CpupoolCpuremoveCpumap of none")
	n, err = t.Host.CpupoolCpuaddNode(pool, 4711)
	count("CpupoolCpuaddNode of no node", n, err, 0)
	n, err = t.Host.CpupoolCpuremoveNode(pool, node)
	count("CpupoolCpuremoveNode of an empty pool", n, err, 0)
	out()

	wantCode(t, "CpupoolCpuadd of a CPU in use", t.Host.CpupoolCpuadd(pool, 0), libxl.ErrorFail)
	wantCode(t, "CpupoolCpuadd of no CPU", t.Host.CpupoolCpuadd(pool, 4000), libxl.ErrorFail)
	wantField(t, "CpupoolCpuadd of more than an int", t.Host.CpupoolCpuadd(pool, 1<<40), "cpu")
	wantCode(t, "CpupoolCpuremove of a CPU elsewhere", t.Host.CpupoolCpuremove(pool, 0), libxl.ErrorFail)
	if t.release() >= 17 {
		wantCode(t, "CPU 0 cannot leave pool 0", t.Host.CpupoolCpuremove(0, 0), libxl.ErrorFail)
	}
	two := libxl.BitmapOf(0, cpu)
	wantCode(t, "CpupoolCpuaddCpumap, one in use", t.Host.CpupoolCpuaddCpumap(pool, two), libxl.ErrorFail)
	in() // the other one is there
	wantCode(t, "CpupoolCpuremoveCpumap, one elsewhere", t.Host.CpupoolCpuremoveCpumap(pool, two), libxl.ErrorFail)
	out()
}

func checkCpupoolMove(t *T) {
	sched, err := t.Host.GetScheduler()
	t.ok(err, "GetScheduler")
	cpu := t.freeCPU()
	pool := t.pool(sched, libxl.BitmapOf(cpu))
	g := t.still()
	g.start()
	g.expect("tiny: up")
	t.ok(t.Host.SetVcpuaffinity(g.Domid, 0, libxl.BitmapOf(0), libxl.Bitmap{}), "SetVcpuaffinity")
	g.toPool(pool)
	name := "xltest-" + sched.String()
	t.poolIs(pool, name, sched, 1, libxl.BitmapOf(cpu))
	equal(t, "Cpupool", g.info().Cpupool, pool)
	vcpus, err := t.Host.ListVcpu(g.Domid)
	t.ok(err, "ListVcpu")
	equal(t, "the CPU that it runs on", int(vcpus[0].Cpu), cpu)
	equal(t, "its affinity", vcpus[0].Cpumap.And(t.online()).String(), t.online().String())
	g.say("echo moved")
	g.expect("tiny: moved")

	wantCode(t, "CpupoolDestroy of a pool with a domain", t.Host.CpupoolDestroy(pool), libxl.ErrorInval)
	wantCode(t, "CpupoolCpuremove of the last CPU", t.Host.CpupoolCpuremove(pool, cpu), libxl.ErrorFail)
	empty, err := t.Host.CpupoolCreate("xltest-empty", sched, libxl.Bitmap{}, libxl.NewUuid(), libxl.CpupoolPoolidAny)
	t.ok(err, "CpupoolCreate without CPUs")
	wantCode(t, "CpupoolMovedomain to a pool without CPUs", t.Host.CpupoolMovedomain(empty, g.Domid), libxl.ErrorFail)
	t.ok(t.Host.CpupoolDestroy(empty), "CpupoolDestroy")
	wantCode(t, "CpupoolMovedomain to no pool", t.Host.CpupoolMovedomain(4711, g.Domid), libxl.ErrorFail)
	t.poolIs(pool, name, sched, 1, libxl.BitmapOf(cpu))

	t.ok(t.Host.CpupoolMovedomain(0, g.Domid), "CpupoolMovedomain back")
	equal(t, "Cpupool", g.info().Cpupool, 0)
	t.poolIs(pool, name, sched, 0, libxl.BitmapOf(cpu))
	g.say("echo back")
	g.expect("tiny: back")
}

func checkCpupoolErrors(t *T) {
	sched, err := t.Host.GetScheduler()
	t.ok(err, "GetScheduler")
	create := func(name string, sched libxl.Scheduler, cpus libxl.Bitmap, id uint32) error {
		got, err := t.Host.CpupoolCreate(name, sched, cpus, libxl.NewUuid(), id)
		if err == nil {
			t.Errorf("there is a pool %d", got)
			t.ok(t.Host.CpupoolDestroy(got), "CpupoolDestroy")
		} else if got != libxl.CpupoolPoolidAny {
			t.Errorf("the failed pool's number is %d", got)
		}
		return err
	}
	before, err := t.Host.ListCpupool()
	t.ok(err, "ListCpupool")
	none := libxl.Bitmap{}
	wantField(t, "a name with NUL", create("a\x00b", sched, none, libxl.CpupoolPoolidAny), "name")
	wantField(t, "a name that xenstore refuses", create(strings.Repeat("x", 5000), sched, none, libxl.CpupoolPoolidAny), "name")
	wantField(t, "no scheduler", create("x", 99, none, libxl.CpupoolPoolidAny), "sched")
	wantCode(t, "an unknown scheduler", create("x", libxl.SchedulerUnknown, none, libxl.CpupoolPoolidAny), libxl.ErrorFail)
	wantCode(t, "a CPU in use", create("x", sched, libxl.BitmapOf(0), libxl.CpupoolPoolidAny), libxl.ErrorFail)
	wantCode(t, "a CPU that the host lacks", create("x", sched, libxl.BitmapOf(4000), libxl.CpupoolPoolidAny), libxl.ErrorFail)
	const no = 4711
	wantError(t, "CpupoolDestroy of no pool", t.Host.CpupoolDestroy(no))
	wantError(t, "CpupoolRename of no pool", t.Host.CpupoolRename("x", no))
	wantField(t, "CpupoolRename to a name with NUL", t.Host.CpupoolRename("a\x00b", 0), "name")
	wantCode(t, "CpupoolCpuadd to no pool", t.Host.CpupoolCpuadd(no, 0), libxl.ErrorFail)
	wantCode(t, "CpupoolCpuremove from no pool", t.Host.CpupoolCpuremove(no, 0), libxl.ErrorFail)
	wantCode(t, "CpupoolCpuremoveCpumap from no pool", t.Host.CpupoolCpuremoveCpumap(no, libxl.BitmapOf(0)), libxl.ErrorFail)
	wantCode(t, "CpupoolMovedomain of no domain", t.Host.CpupoolMovedomain(0, noDomid), libxl.ErrorFail)
	wantField(t, "CpupoolMovedomain of no domain's number", t.Host.CpupoolMovedomain(0, libxl.InvalidDomid), "domid")
	after, err := t.Host.ListCpupool()
	t.ok(err, "ListCpupool")
	equal(t, "the pools", fmt.Sprint(after), fmt.Sprint(before))
}
