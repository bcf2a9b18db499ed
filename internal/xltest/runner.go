// Package xltest exercises package xenlight on a real Xen host, section by
// section of libxl's function list, and leaves the host as it was.
//
// It touches only domains that it has created: each has a UUID of xltest's own,
// which is compared before anything is done to the domain.
package xltest

import (
	"context"
	"fmt"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/go-xenlight/xenlight"
	"github.com/go-xenlight/xenlight/libxl"
)

// Options say what to test with.
type Options struct {
	Kernel  string         // a Linux kernel that boots as PV and PVH guest
	Ramdisk string         // its initramfs
	Ready   string         // the line that the guest prints when it is up
	Tiny    string         // the kernel of internal/tinyguest
	Run     *regexp.Regexp // checks whose "section/name" matches; nil for all
	Section string         // checks of sections whose name contains this
	Load    Load           // of the section "under load"
	Strict  bool           // a soak must be able to make all of its checks
	Last    bool           // end with the death of xenstored, after which the host is of no use
	Timeout time.Duration  // of each check
}

// Status is how a check ended.
type Status string

// The ways to end.
const (
	Passed     Status = "passed"
	Failed     Status = "failed"
	Untestable Status = "cannot be tested here"
)

// Result tells how one check ended.
type Result struct {
	Section string   `json:"section"`
	Name    string   `json:"name"`
	Status  Status   `json:"status"`
	Seconds float64  `json:"seconds"`
	Details []string `json:"details,omitempty"`
	// Copies are the functions that copies of the program were seen to be in.
	Copies []string `json:"copies,omitempty"`
	// Again is how often the check was made before, and failed because an emulated
	// processor had erred.
	Again int `json:"again,omitempty"`
}

// A check tests one thing. Its section is the heading in libxl's function list.
type check struct {
	section, name string
	run           func(*T)
}

// Checks lists the checks that would be made, "section/name", in their order.
func Checks(o Options) []string {
	var names []string
	for _, c := range allChecks() {
		if o.selects(c) {
			names = append(names, c.section+"/"+c.name)
		}
	}
	return names
}

func allChecks() []check {
	return slices.Concat(
		openChecks,
		hostChecks,
		domainChecks,
		createErrorChecks,
		nameChecks,
		diskChecks,
		networkChecks,
		usbChecks,
		pciChecks,
		deviceChecks,
		execChecks,
		qemuChecks,
		specialChecks,
		topologyChecks,
		vcpuChecks,
		cpupoolChecks,
		hostconfigChecks,
		numaChecks,
		tinyChecks,
		secondaryChecks,
		saveChecks,
		dataChecks,
		cpuidChecks,
		loopChecks,
		daemonChecks,
		eventChecks,
		reuseChecks,
		noticeChecks,
		callbackChecks,
		loadChecks,
		stormChecks,
		crowdChecks,
		faultChecks,
		cutChecks,
	)
}

// selects tells whether a check is to be made.
func (o *Options) selects(c check) bool {
	return (o.Run == nil || o.Run.MatchString(c.section+"/"+c.name)) && strings.Contains(c.section, o.Section)
}

// Run runs the checks on a host, reports each result as soon as it is there, and
// ends with the check that the host is as it was.
func Run(ctx context.Context, host *xenlight.Host, o Options, report func(Result)) {
	found, err := takeSnapshot(host)
	for _, c := range allChecks() {
		if o.selects(c) {
			report(runCheck(ctx, host, o, c))
		}
	}
	report(runCheck(ctx, host, o, check{"host left as found", "domains, xenstore, loop devices, children, descriptors", func(t *T) {
		if err != nil {
			t.Fatalf("%v", err)
		}
		t.unchanged(found)
	}}))
	if o.Last {
		report(runCheck(ctx, host, o, disasterCheck))
	}
}

// tries is how often a check is made, at most.
const tries = 3

// runCheck makes a check, and again if it has failed because an emulated processor
// has erred. The result says so.
func runCheck(ctx context.Context, host *xenlight.Host, o Options, c check) Result {
	r, fault := try(ctx, host, o, c)
	for r.Status == Failed && fault != "" && r.Again < tries-1 {
		first := r
		r, fault = try(ctx, host, o, c)
		r.Again = first.Again + 1
		r.Seconds += first.Seconds
		r.Details = slices.Concat(first.Details, []string{"so it was made again"}, r.Details)
	}
	return r
}

// try makes a check once, and tells of the fault of an emulated processor if that
// has made it fail.
func try(ctx context.Context, host *xenlight.Host, o Options, c check) (r Result, fault string) {
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	t := &T{ctx: ctx, Host: host, o: o}
	start := time.Now()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer t.noticeFault() // the clean-up tells more of what guests have said
		defer t.cleanUp()
		defer t.recover()
		c.run(t)
	}()
	<-done
	r = Result{Section: c.section, Name: c.name, Status: Passed, Seconds: time.Since(start).Seconds(), Details: t.details, Copies: t.copies}
	switch {
	case t.failed:
		r.Status = Failed
	case t.untestable:
		r.Status = Untestable
	}
	return r, t.fault
}

// T is what a check works with; its methods are those of testing.T.
type T struct {
	Host *xenlight.Host

	ctx                context.Context
	o                  Options
	details            []string
	failed, untestable bool
	cleanups           []func()
	copies             []string
	guests             []libxl.Domid
	fault              string // of the emulated processor, which has hit one of them
}

// Errorf fails the check.
func (t *T) Errorf(format string, args ...any) {
	t.failed = true
	t.Logf(format, args...)
}

// Fatalf fails and ends the check.
func (t *T) Fatalf(format string, args ...any) {
	t.Errorf(format, args...)
	runtime.Goexit()
}

// Cannot ends the check, saying why it cannot be made on this host.
func (t *T) Cannot(format string, args ...any) {
	t.untestable = true
	t.Logf(format, args...)
	runtime.Goexit()
}

// Logf adds a line to the result.
func (t *T) Logf(format string, args ...any) {
	t.details = append(t.details, fmt.Sprintf(format, args...))
}

// inCopy notes that a copy of the program has called a function with success:
// these calls do not return, and are not counted in this process. It is also for
// what has done its work in this one, but ends with an error only.
func (t *T) inCopy(function string) {
	if !t.failed {
		t.copies = append(t.copies, function)
	}
}

// Cleanup has a function called after the check, the last one first.
func (t *T) Cleanup(f func()) { t.cleanups = append(t.cleanups, f) }

// cleanUp goes on when one of the functions panics or ends the check.
func (t *T) cleanUp() {
	last := len(t.cleanups) - 1
	if last < 0 {
		return
	}
	f := t.cleanups[last]
	t.cleanups = t.cleanups[:last]
	defer t.cleanUp()
	defer t.recover()
	f()
}

func (t *T) recover() {
	if p := recover(); p != nil {
		t.failed = true
		t.Logf("panic: %v\n%s", p, debug.Stack())
	}
}

// ok ends the check if there is an error.
func (t *T) ok(err error, what string) {
	if err != nil {
		t.Fatalf("%s: %v%s", what, err, logOf(err))
	}
}

// until polls a condition, with the check's deadline. It does not wait for a guest
// that an emulated processor has reset.
func (t *T) until(what string, condition func() bool) {
	tick, look := time.NewTicker(50*time.Millisecond), time.NewTicker(10*time.Second)
	defer tick.Stop()
	defer look.Stop()
	for !condition() {
		select {
		case <-t.ctx.Done():
			t.Fatalf("waiting for %s: %v", what, t.ctx.Err())
		case <-look.C:
			if fault := t.emulationFault(); fault != "" {
				t.Fatalf("waiting for %s: %s", what, fault)
			}
		case <-tick.C:
		}
	}
}

// logOf gives the lines of libxl that an error carries.
func logOf(err error) string {
	var b strings.Builder
	if e := asError(err); e != nil {
		for _, l := range e.Log[:min(len(e.Log), 10)] {
			fmt.Fprintf(&b, "\n    libxl: %s", l)
		}
	}
	return b.String()
}
