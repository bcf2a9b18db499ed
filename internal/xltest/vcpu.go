package xltest

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/go-xenlight/xenlight/libxl"
)

const vcpuSection = "More domain operations"

var vcpuChecks = []check{
	{vcpuSection, "hard and soft affinity: ListVcpu, the hypervisor and xl say what was set, and the vCPU moves", checkAffinity},
	{vcpuSection, "node affinity: the hypervisor says what was set", checkNodeAffinity},
	{vcpuSection, "a vCPU goes off and comes back, in the guest's eyes too", checkVcpuOnline},
	{vcpuSection, "a domain's scheduler parameters are read back, and xl has them", checkDomainSched},
	{vcpuSection, "a vCPU's scheduler parameters: schedulers that have none refuse", checkNoVcpuSched},
	{vcpuSection, "a vCPU's scheduler parameters: rtds has them", checkVcpuSched},
}

// noDomid is a number that no domain has.
const noDomid libxl.Domid = 0x7fef

// pool0 is the CPUs of pool 0, which is where domains begin.
func (t *T) pool0() []int {
	info, err := t.Host.CpupoolInfo(0)
	t.ok(err, "CpupoolInfo")
	var cpus []int
	for cpu := range info.Cpumap.All() {
		cpus = append(cpus, cpu)
	}
	return cpus
}

// online is a bitmap of the CPUs that are there; with it "all" is a comparable
// set.
func (t *T) online() libxl.Bitmap {
	topology, err := t.Host.GetCpuTopology()
	t.ok(err, "GetCpuTopology")
	var b libxl.Bitmap
	for cpu, p := range topology {
		if p.Core != libxl.CputopologyInvalidEntry {
			b.Set(cpu)
		}
	}
	return b
}

// affinities demands hard and soft affinity of each vCPU, of all who know them.
func (g *guest) affinities(what string, want ...[2]libxl.Bitmap) {
	t := g.t
	online := t.online()
	vcpus, err := t.Host.ListVcpu(g.Domid)
	t.ok(err, "ListVcpu")
	equal(t, what+": vCPUs", len(vcpus), len(want))
	_, dump, _ := strings.Cut(t.debugKey("q"), fmt.Sprintf("VCPU information and callbacks for domain %d:", g.Domid))
	units := unitAffinity.FindAllStringSubmatch(dump, len(want))
	lines, asked := t.xl("vcpu-list", fmt.Sprint(g.Domid))
	for i, w := range want {
		who := fmt.Sprintf("%s: vCPU %d", what, i)
		hard, soft := w[0].And(online).String(), w[1].And(online).String()
		equal(t, who+", hard", vcpus[i].Cpumap.And(online).String(), hard)
		equal(t, who+", soft", vcpus[i].CpumapSoft.And(online).String(), soft)
		if len(units) == len(want) { // the console's buffer may be too small
			for j, s := range []string{hard, soft} {
				b, err := libxl.ParseBitmap(units[i][2+j])
				t.ok(err, "the hypervisor's dump")
				equal(t, who+" in the hypervisor's dump", b.And(online).String(), s)
			}
		} else if i == 0 {
			t.Logf("%s: the hypervisor's dump is not complete", what)
		}
		if asked {
			words := lines[i+1] // name domid vcpu cpu state time hard / soft
			for j, s := range []string{hard, soft} {
				if s == online.String() {
					s = "all"
				}
				equal(t, who+" in xl's words", words[len(words)-3+2*j], s)
			}
		}
	}
}

var unitAffinity = regexp.MustCompile(`UNIT(\d+) affinities: hard=\{([-\d,]*)\} soft=\{([-\d,]*)\}`)

func checkAffinity(t *T) {
	cpus := t.pool0()
	if len(cpus) < 2 {
		t.Cannot("pool 0 has one CPU only")
	}
	g := t.still()
	none, all := libxl.Bitmap{}, t.online()
	a, b := libxl.BitmapOf(cpus[0]), libxl.BitmapOf(cpus[len(cpus)-1])
	type pair = [2]libxl.Bitmap
	g.affinities("a new domain", pair{all, all}, pair{all, all})
	set := func(what string, err error, want ...pair) {
		t.ok(err, what)
		g.affinities(what, want...)
	}
	set("hard only", t.Host.SetVcpuaffinity(g.Domid, 0, a, none), pair{a, all}, pair{all, all})
	set("soft only", t.Host.SetVcpuaffinity(g.Domid, 1, none, b), pair{a, all}, pair{all, b})
	set("both", t.Host.SetVcpuaffinity(g.Domid, 0, b, a), pair{b, a}, pair{all, b})
	set("all vCPUs", t.Host.SetVcpuaffinityAll(g.Domid, 2, a, all), pair{a, all}, pair{a, all})
	wantCode(t, "SetVcpuaffinityAll of more vCPUs than there are",
		t.Host.SetVcpuaffinityAll(g.Domid, 3, b, none), libxl.ErrorFail)
	g.affinities("all and one more", pair{b, all}, pair{b, all})
	more := a.Clone()
	more.Set(4000)
	set("a CPU that the host lacks as well", t.Host.SetVcpuaffinity(g.Domid, 0, more, none), pair{a, all}, pair{b, all})
	set("by force", t.Host.SetVcpuaffinityForce(g.Domid, 0, b, a), pair{b, a}, pair{b, all})
	set("force alone", t.Host.SetVcpuaffinityForce(g.Domid, 0, none, none), pair{b, a}, pair{b, all})

	wantCode(t, "neither hard nor soft", t.Host.SetVcpuaffinity(g.Domid, 0, none, none), libxl.ErrorInval)
	wantCode(t, "no CPU", t.Host.SetVcpuaffinity(g.Domid, 0, libxl.NewBitmap(64), none), libxl.ErrorFail)
	wantCode(t, "only a CPU that the host lacks", t.Host.SetVcpuaffinity(g.Domid, 0, libxl.BitmapOf(4000), none), libxl.ErrorFail)
	wantCode(t, "no such vCPU", t.Host.SetVcpuaffinity(g.Domid, 7, a, none), libxl.ErrorFail)
	wantCode(t, "no such domain", t.Host.SetVcpuaffinity(noDomid, 0, a, none), libxl.ErrorFail)
	wantCode(t, "no such domain, all", t.Host.SetVcpuaffinityAll(noDomid, 1, a, none), libxl.ErrorFail)
	wantCode(t, "no such domain, force", t.Host.SetVcpuaffinityForce(noDomid, 0, a, none), libxl.ErrorFail)
	g.affinities("after the errors", pair{b, a}, pair{b, all})

	g.start()
	runsOn := func(cpu int) {
		t.until(fmt.Sprintf("vCPU 0 to run on CPU %d", cpu), func() bool {
			vcpus, err := t.Host.ListVcpu(g.Domid)
			t.ok(err, "ListVcpu")
			return vcpus[0].Cpu == uint32(cpu) && vcpus[0].VcpuTime > 0
		})
	}
	runsOn(cpus[len(cpus)-1])
	t.ok(t.Host.SetVcpuaffinity(g.Domid, 0, a, none), "SetVcpuaffinity of a running vCPU")
	runsOn(cpus[0])
}

func checkNodeAffinity(t *T) {
	nodes, err := t.Host.GetNumainfo()
	t.ok(err, "GetNumainfo")
	g := t.still()
	is := func(what string, want libxl.Bitmap) {
		got, err := t.Host.DomainGetNodeaffinity(g.Domid)
		t.ok(err, "DomainGetNodeaffinity")
		equal(t, what, got.String(), want.String())
		dump := t.debugKey("q")
		if m := regexp.MustCompile(fmt.Sprintf(`NODE affinity for domain %d: \[([-\d,]*)\]`, g.Domid)).FindStringSubmatch(dump); m != nil {
			equal(t, what+" in the hypervisor's dump", m[1], want.String())
		} else {
			t.Logf("%s: the hypervisor's dump is not complete", what)
		}
	}
	set := func(what string, b, want libxl.Bitmap) {
		t.ok(t.Host.DomainSetNodeaffinity(g.Domid, b), what)
		is(what, want)
	}
	var all libxl.Bitmap
	for i := range nodes {
		all.Set(i)
		set(fmt.Sprintf("node %d alone", i), libxl.BitmapOf(i), libxl.BitmapOf(i))
	}
	wide := libxl.NewBitmap(4096) // wider than libxl reads
	wide.Set(len(nodes) - 1)
	set("a wide bitmap", wide, libxl.BitmapOf(len(nodes)-1))
	set("all nodes", all, all)

	wantCode(t, "no room", t.Host.DomainSetNodeaffinity(g.Domid, libxl.Bitmap{}), libxl.ErrorFail)
	wantCode(t, "no node", t.Host.DomainSetNodeaffinity(g.Domid, libxl.NewBitmap(8)), libxl.ErrorFail)
	wantCode(t, "a node that the host lacks", t.Host.DomainSetNodeaffinity(g.Domid, libxl.BitmapOf(len(nodes))), libxl.ErrorFail)
	wantCode(t, "no such domain", t.Host.DomainSetNodeaffinity(noDomid, all), libxl.ErrorFail)
	_, err = t.Host.DomainGetNodeaffinity(noDomid)
	wantCode(t, "DomainGetNodeaffinity of no domain", err, libxl.ErrorFail)
	is("after the errors", all)
}

func checkVcpuOnline(t *T) {
	kind := libxl.DomainTypePvh
	if info, err := t.Host.GetPhysinfo(); err == nil && !info.CapHvm {
		kind = libxl.DomainTypePv
	}
	g := t.create(t.config(kind))
	g.boot()
	is := func(online ...int) {
		want := libxl.BitmapOf(online...)
		for vcpu := range 2 {
			state, ok := xenstoreRead(fmt.Sprintf("/local/domain/%d/cpu/%d/availability", g.Domid, vcpu))
			if ok {
				equal(t, fmt.Sprintf("availability of vCPU %d", vcpu), state == "online", want.Test(vcpu))
			}
		}
		t.until("the vCPUs "+want.String()+" to be online", func() bool {
			vcpus, err := t.Host.ListVcpu(g.Domid)
			t.ok(err, "ListVcpu")
			return vcpus[0].Online == want.Test(0) && vcpus[1].Online == want.Test(1)
		})
		equal(t, "VcpuOnline", int(g.info().VcpuOnline), want.Count())
		t.until("the guest to say so", func() bool {
			return g.sh("cat /sys/devices/system/cpu/online") == want.String()
		})
	}
	is(0, 1)
	set := func(online ...int) {
		t.ok(t.Host.SetVcpuonline(t.ctx, g.Domid, libxl.BitmapOf(online...)), "SetVcpuonline")
		for _, vcpu := range online[1:] {
			// The kernel plugs it in, and leaves it to udev to put it on.
			g.await("the vCPU to be plugged in", fmt.Sprintf("echo 1 > /sys/devices/system/cpu/cpu%d/online", vcpu))
		}
		is(online...)
	}
	set(0)
	set(0, 1)
	wantCode(t, "no vCPU", t.Host.SetVcpuonline(t.ctx, g.Domid, libxl.Bitmap{}), libxl.ErrorFail)
	wantCode(t, "no vCPU, with room", t.Host.SetVcpuonline(t.ctx, g.Domid, libxl.NewBitmap(64)), libxl.ErrorFail)
	wantCode(t, "more than there are", t.Host.SetVcpuonline(t.ctx, g.Domid, libxl.BitmapOf(0, 1, 2)), libxl.ErrorFail)
	wantCode(t, "no such domain", t.Host.SetVcpuonline(t.ctx, noDomid, libxl.BitmapOf(0)), libxl.ErrorDomainNotfound)
	is(0, 1)
}

// schedLine is what xl says of the domain's parameters.
func (g *guest) schedLine(sched libxl.Scheduler) (words []string, ok bool) {
	command := map[libxl.Scheduler]string{
		libxl.SchedulerCredit: "sched-credit", libxl.SchedulerCredit2: "sched-credit2", libxl.SchedulerRtds: "sched-rtds",
	}[sched]
	lines, ok := g.t.xl(command, "-d", fmt.Sprint(g.Domid))
	if !ok {
		return nil, false
	}
	return lines[len(lines)-1][2:], true
}

func checkDomainSched(t *T) {
	g := t.still()
	sched, err := t.Host.GetScheduler()
	t.ok(err, "GetScheduler")
	if sched != libxl.SchedulerCredit && sched != libxl.SchedulerCredit2 {
		t.Cannot("the scheduler is %s, whose parameters the check of a vCPU's sets", sched)
	}
	is := func(weight, limit int) {
		got, err := t.Host.DomainSchedParamsGet(g.Domid)
		t.ok(err, "DomainSchedParamsGet")
		want := *libxl.NewDomainSchedParams()
		want.Sched, want.Weight, want.Cap = sched, weight, limit
		equal(t, "DomainSchedParamsGet", got, want)
		if words, ok := g.schedLine(sched); ok {
			equal(t, "weight and cap in xl's words", strings.Join(words, " "), fmt.Sprint(weight, " ", limit))
		}
	}
	set := func(change func(*libxl.DomainSchedParams)) error {
		p := libxl.NewDomainSchedParams()
		change(p)
		return t.Host.DomainSchedParamsSet(g.Domid, p)
	}
	is(256, 0)
	t.ok(set(func(p *libxl.DomainSchedParams) { p.Weight = 512 }), "Weight alone")
	is(512, 0)
	t.ok(set(func(p *libxl.DomainSchedParams) { p.Cap = 50 }), "Cap alone")
	is(512, 50)
	t.ok(set(func(p *libxl.DomainSchedParams) { p.Weight, p.Cap, p.Sched = 100, 150, sched }), "both, and the scheduler")
	is(100, 150)
	wantCode(t, "a weight of 0", set(func(p *libxl.DomainSchedParams) { p.Weight = 0 }), libxl.ErrorInval)
	wantCode(t, "a weight too large", set(func(p *libxl.DomainSchedParams) { p.Weight = 65536 }), libxl.ErrorInval)
	wantCode(t, "a cap of more than its vCPUs", set(func(p *libxl.DomainSchedParams) { p.Cap = 201 }), libxl.ErrorInval)
	other := libxl.SchedulerCredit + libxl.SchedulerCredit2 - sched
	wantCode(t, "another scheduler", set(func(p *libxl.DomainSchedParams) { p.Sched = other }), libxl.ErrorFail)
	wantCode(t, "a scheduler that is no more", set(func(p *libxl.DomainSchedParams) { p.Sched = libxl.SchedulerSedf }), libxl.ErrorFeatureRemoved)
	wantField(t, "a scheduler that is none", set(func(p *libxl.DomainSchedParams) { p.Sched = 77 }), "Sched")
	wantError(t, "no parameters", t.Host.DomainSchedParamsSet(g.Domid, nil))
	wantCode(t, "no such domain", t.Host.DomainSchedParamsSet(noDomid, libxl.NewDomainSchedParams()), libxl.ErrorInval)
	_, err = t.Host.DomainSchedParamsGet(noDomid)
	wantCode(t, "DomainSchedParamsGet of no domain", err, libxl.ErrorInval)
	is(100, 150)
}

func checkNoVcpuSched(t *T) {
	g := t.still()
	params, err := t.Host.DomainSchedParamsGet(g.Domid)
	t.ok(err, "DomainSchedParamsGet")
	if params.Sched == libxl.SchedulerRtds {
		t.Cannot("the scheduler is rtds, which has them")
	}
	one := &libxl.VcpuSchedParams{Vcpus: []libxl.SchedParams{{Period: 20000, Budget: 5000}}}
	_, err = t.Host.VcpuSchedParamsGet(g.Domid, 0)
	wantCode(t, "VcpuSchedParamsGet", err, libxl.ErrorInval)
	_, err = t.Host.VcpuSchedParamsGetAll(g.Domid)
	wantCode(t, "VcpuSchedParamsGetAll", err, libxl.ErrorInval)
	wantCode(t, "VcpuSchedParamsSet", t.Host.VcpuSchedParamsSet(g.Domid, one), libxl.ErrorInval)
	wantCode(t, "VcpuSchedParamsSetAll", t.Host.VcpuSchedParamsSetAll(g.Domid, one), libxl.ErrorInval)
}

func checkVcpuSched(t *T) {
	g := t.still()
	params, err := t.Host.DomainSchedParamsGet(g.Domid)
	t.ok(err, "DomainSchedParamsGet")
	if params.Sched != libxl.SchedulerRtds {
		g.toPool(t.pool(libxl.SchedulerRtds, libxl.BitmapOf(t.freeCPU())))
	}
	one := &libxl.VcpuSchedParams{Vcpus: []libxl.SchedParams{{Vcpuid: 1, Period: 20000, Budget: 5000}}}
	period := func(p libxl.VcpuSchedParams) (all [][2]int) {
		equal(t, "Sched", p.Sched, libxl.SchedulerRtds)
		for _, v := range p.Vcpus {
			all = append(all, [2]int{v.Period, v.Budget})
		}
		return all
	}
	is := func(what string, want ...[2]int) {
		p, err := t.Host.VcpuSchedParamsGetAll(g.Domid)
		t.ok(err, "VcpuSchedParamsGetAll")
		equal(t, what, fmt.Sprint(period(p)), fmt.Sprint(want))
		p, err = t.Host.VcpuSchedParamsGet(g.Domid, 1)
		t.ok(err, "VcpuSchedParamsGet")
		equal(t, what+", vCPU 1", fmt.Sprint(period(p)), fmt.Sprint(want[1:]))
	}
	first := [2]int{10000, 4000} // Xen's defaults
	is("at first", first, first)
	t.ok(t.Host.VcpuSchedParamsSet(g.Domid, one), "VcpuSchedParamsSet")
	is("one", first, [2]int{20000, 5000})
	one.Vcpus[0].Budget = 6000
	t.ok(t.Host.VcpuSchedParamsSetAll(g.Domid, one), "VcpuSchedParamsSetAll")
	is("all", [2]int{20000, 6000}, [2]int{20000, 6000})
	domain := libxl.NewDomainSchedParams()
	domain.Period, domain.Budget = 30000, 7000
	t.ok(t.Host.DomainSchedParamsSet(g.Domid, domain), "DomainSchedParamsSet")
	is("the domain", [2]int{30000, 7000}, [2]int{30000, 7000})

	bad := *one
	bad.Vcpus = []libxl.SchedParams{{Vcpuid: 1, Period: 1000, Budget: 1001}}
	wantCode(t, "more budget than period", t.Host.VcpuSchedParamsSet(g.Domid, &bad), libxl.ErrorInval)
	bad.Vcpus = []libxl.SchedParams{{Vcpuid: 9, Period: 1000, Budget: 1000}}
	wantCode(t, "no such vCPU", t.Host.VcpuSchedParamsSet(g.Domid, &bad), libxl.ErrorInval)
	bad.Vcpus = nil
	wantCode(t, "no vCPU", t.Host.VcpuSchedParamsSet(g.Domid, &bad), libxl.ErrorInval)
	wantCode(t, "no vCPU, all", t.Host.VcpuSchedParamsSetAll(g.Domid, &bad), libxl.ErrorInval)
	_, err = t.Host.VcpuSchedParamsGet(g.Domid)
	wantCode(t, "VcpuSchedParamsGet of no vCPU", err, libxl.ErrorInval)
	_, err = t.Host.VcpuSchedParamsGet(g.Domid, -1)
	wantCode(t, "VcpuSchedParamsGet of vCPU -1", err, libxl.ErrorInval)
	_, err = t.Host.VcpuSchedParamsGetAll(noDomid)
	wantCode(t, "VcpuSchedParamsGetAll of no domain", err, libxl.ErrorInval)
}
