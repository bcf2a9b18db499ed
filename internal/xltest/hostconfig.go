package xltest

import (
	"regexp"
	"strings"

	"github.com/go-xenlight/xenlight/libxl"
)

var hostconfigChecks = []check{
	{hostconfigSection, "pools have the schedulers that the hypervisor was built with, and no others", checkSchedulers},
	{hostconfigSection, "credit's parameters are set in a pool of their own", checkCredit},
	{hostconfigSection, "credit2's parameters are set in a pool of their own", checkCredit2},
	{hostconfigSection, "the hypervisor's console says which debug keys were sent", checkDebugKeys},
	{hostconfigSection, "the hypervisor's console is forgotten once it is read with clear", checkClearConsole},
	{hostconfigSection, "the hypervisor's parameters are set, and xenhypfs has them", checkParameters},
}

// pool0Scheduler is what the hypervisor dumps of pool 0.
var pool0Scheduler = regexp.MustCompile(`(?s)Cpupool 0:.*?Scheduler: [^\n]* \((\w+)\)`)

func checkSchedulers(t *T) {
	if _, ok := t.tool("xenhypfs", "cat", "/buildinfo/config"); !ok {
		t.Cannot("xenhypfs is not there, which tells what the hypervisor was built with")
	}
	sched, err := t.Host.GetScheduler()
	t.ok(err, "GetScheduler")
	t.ok(t.Host.SendDebugKeys("r"), "SendDebugKeys")
	text, err := t.Host.XenConsoleRead(false)
	t.ok(err, "XenConsoleRead")
	dumps := pool0Scheduler.FindAllStringSubmatch(text, -1)
	if len(dumps) == 0 {
		t.Fatalf("the hypervisor's dump names no scheduler")
	}
	equal(t, "GetScheduler", sched.String(), dumps[len(dumps)-1][1])
	cpu := libxl.BitmapOf(t.freeCPU())
	for _, s := range []libxl.Scheduler{
		libxl.SchedulerCredit, libxl.SchedulerCredit2, libxl.SchedulerRtds, libxl.SchedulerArinc653, libxl.SchedulerNull,
	} {
		if t.panics(s) {
			t.Logf("a pool of %s would make the hypervisor panic", s)
			continue
		}
		name := "xltest-with-" + s.String()
		id, err := t.Host.CpupoolCreate(name, s, cpu, libxl.NewUuid(), libxl.CpupoolPoolidAny)
		if !t.compiledIn(s) {
			wantCode(t, "CpupoolCreate with "+s.String()+", which is not there", err, libxl.ErrorFail)
			if err == nil {
				t.ok(t.Host.CpupoolDestroy(id), "CpupoolDestroy")
			}
			continue
		}
		t.ok(err, "CpupoolCreate with "+s.String())
		t.poolIs(id, name, s, 0, cpu)
		t.Logf("the hypervisor has %s", s)
		t.ok(t.Host.CpupoolDestroy(id), "CpupoolDestroy")
	}
}

func checkCredit(t *T) {
	pool := t.pool(libxl.SchedulerCredit, libxl.BitmapOf(t.freeCPU()))
	is := func(want libxl.SchedCreditParams) {
		got, err := t.Host.SchedCreditParamsGet(pool)
		t.ok(err, "SchedCreditParamsGet")
		equal(t, "SchedCreditParamsGet", got, want)
	}
	want := libxl.SchedCreditParams{TsliceMs: 20, RatelimitUs: 2000, VcpuMigrDelayUs: 300}
	p := want
	t.ok(t.Host.SchedCreditParamsSet(pool, &p), "SchedCreditParamsSet")
	equal(t, "what was set", p, want)
	is(want)
	if lines, ok := t.xl("sched-credit", "-s", "-p", "xltest-credit"); ok {
		equal(t, "xl's words", strings.Join(lines[0][2:], " "), "tslice=20ms ratelimit=2000us migration-delay=300us")
	}
	for what, bad := range map[string]libxl.SchedCreditParams{
		"no time slice":             {},
		"a time slice too long":     {TsliceMs: 1001},
		"a rate limit too short":    {TsliceMs: 10, RatelimitUs: 99},
		"a rate limit of more time": {TsliceMs: 1, RatelimitUs: 1001},
		"a migration delay":         {TsliceMs: 10, VcpuMigrDelayUs: 100001},
	} {
		wantCode(t, what, t.Host.SchedCreditParamsSet(pool, &bad), libxl.ErrorInval)
	}
	is(want)
	wantError(t, "no parameters", t.Host.SchedCreditParamsSet(pool, nil))
	_, err := t.Host.SchedCredit2ParamsGet(pool)
	wantCode(t, "SchedCredit2ParamsGet of a pool with credit", err, libxl.ErrorFail)
	wantCode(t, "SchedCredit2ParamsSet of a pool with credit",
		t.Host.SchedCredit2ParamsSet(pool, &libxl.SchedCredit2Params{RatelimitUs: 1000}), libxl.ErrorFail)
	_, err = t.Host.SchedCreditParamsGet(4711)
	wantCode(t, "SchedCreditParamsGet of no pool", err, libxl.ErrorFail)

	// A domain there has parameters of credit.
	g := t.still()
	g.toPool(pool)
	d := libxl.NewDomainSchedParams()
	d.Weight, d.Cap = 300, 25
	t.ok(t.Host.DomainSchedParamsSet(g.Domid, d), "DomainSchedParamsSet")
	got, err := t.Host.DomainSchedParamsGet(g.Domid)
	t.ok(err, "DomainSchedParamsGet")
	d.Sched = libxl.SchedulerCredit
	equal(t, "DomainSchedParamsGet", got, *d)
	if words, ok := g.schedLine(libxl.SchedulerCredit); ok {
		equal(t, "weight and cap in xl's words", strings.Join(words, " "), "300 25")
	}
}

func checkCredit2(t *T) {
	pool := t.pool(libxl.SchedulerCredit2, libxl.BitmapOf(t.freeCPU()))
	p := libxl.SchedCredit2Params{RatelimitUs: 1500}
	t.ok(t.Host.SchedCredit2ParamsSet(pool, &p), "SchedCredit2ParamsSet")
	equal(t, "what was set", p.RatelimitUs, 1500)
	wantCode(t, "a rate limit too short", t.Host.SchedCredit2ParamsSet(pool, &libxl.SchedCredit2Params{RatelimitUs: 99}), libxl.ErrorInval)
	wantCode(t, "a rate limit too long", t.Host.SchedCredit2ParamsSet(pool, &libxl.SchedCredit2Params{RatelimitUs: 500001}), libxl.ErrorInval)
	got, err := t.Host.SchedCredit2ParamsGet(pool)
	t.ok(err, "SchedCredit2ParamsGet")
	equal(t, "SchedCredit2ParamsGet", got.RatelimitUs, 1500)
	if lines, ok := t.xl("sched-credit2", "-s", "-p", "xltest-credit2"); ok {
		equal(t, "xl's words", strings.Join(lines[0][2:], " "), "ratelimit=1500us")
	}
	_, err = t.Host.SchedCreditParamsGet(pool)
	wantCode(t, "SchedCreditParamsGet of a pool with credit2", err, libxl.ErrorFail)
	wantCode(t, "SchedCreditParamsSet of a pool with credit2",
		t.Host.SchedCreditParamsSet(pool, &libxl.SchedCreditParams{TsliceMs: 10}), libxl.ErrorFail)
	_, err = t.Host.SchedCredit2ParamsGet(4711)
	wantCode(t, "SchedCredit2ParamsGet of no pool", err, libxl.ErrorFail)
}

func checkDebugKeys(t *T) {
	help := t.debugKey("h")
	if !strings.Contains(help, "key 'h'") {
		t.Errorf("the hypervisor does not list its keys: %q", help)
	}
	t.ok(t.Host.SendDebugKeys("hh"), "SendDebugKeys of two")
	t.ok(t.Host.SendDebugKeys(""), "SendDebugKeys of none")
	wantField(t, "a key that C cannot have", t.Host.SendDebugKeys("h\x00h"), "keys")
	text, err := t.Host.XenConsoleRead(false)
	t.ok(err, "XenConsoleRead")
	again, err := t.Host.XenConsoleRead(false)
	t.ok(err, "XenConsoleRead again")
	if len(text) > 200 && !strings.Contains(again, text[len(text)-200:]) {
		t.Errorf("the second reading lacks the end of the first")
	}
	if lines, ok := t.xl("dmesg"); ok {
		var words []string
		for _, l := range lines {
			words = append(words, l...)
		}
		equal(t, "xl dmesg", strings.Contains(strings.Join(words, " "), strings.Join(strings.Fields(again[len(again)/2:])[1:], " ")), true)
	}
	t.Logf("%d bytes", len(again))
}

func checkClearConsole(t *T) {
	if !throwAway() {
		t.Cannot("it would take the hypervisor's messages from others on this host")
	}
	before, err := t.Host.XenConsoleRead(true)
	t.ok(err, "XenConsoleRead with clear")
	if before == "" {
		t.Fatalf("there was nothing to read")
	}
	after, err := t.Host.XenConsoleRead(false)
	t.ok(err, "XenConsoleRead")
	if len(after) > len(before)/2 {
		t.Errorf("%d bytes are there after %d were cleared", len(after), len(before))
	}
	t.debugKey("h")
}

func checkParameters(t *T) {
	level := func() string {
		lines, ok := t.tool("xenhypfs", "cat", "/params/loglvl")
		if !ok {
			t.Cannot("xenhypfs is not there, which tells what was set")
		}
		return strings.Join(lines[0], " ")
	}
	before := level()
	t.Cleanup(func() { t.ok(t.Host.SetParameters("loglvl="+before), "SetParameters back") })
	for _, want := range []string{"error/info", "error/warning"} {
		t.ok(t.Host.SetParameters("  loglvl="+want+" "), "SetParameters")
		equal(t, "loglvl", level(), want)
	}
	t.ok(t.Host.SetParameters(""), "SetParameters of none")
	for _, bad := range []string{"loglvl", "loglvl=error quiet", "\tx"} {
		wantField(t, "no value: "+bad, t.Host.SetParameters(bad), "params")
	}
	wantCode(t, "no such parameter", t.Host.SetParameters("xltest=1"), libxl.ErrorFail)
	wantCode(t, "no such switch", t.Host.SetParameters("no-xltest"), libxl.ErrorFail)
	wantCode(t, "no such level", t.Host.SetParameters("loglvl=xltest"), libxl.ErrorFail)
}
