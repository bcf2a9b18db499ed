package xltest

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/go-xenlight/xenlight/libxl"
)

const hostSection = "Libxl and host-related functionality"

var hostChecks = []check{
	{hostSection, "GetVersionInfo describes the running hypervisor", checkVersionInfo},
	{hostSection, "GetMaxCpus, GetOnlineCpus and GetMaxNodes agree with GetPhysinfo", checkCounts},
	{hostSection, "GetFreeMemory agrees with GetPhysinfo", checkFreeMemory},
	{hostSection, "GetPhysinfo knows the capabilities that the hypervisor names", checkPhysinfo},
	{hostSection, "many goroutines may ask at once", checkConcurrentCalls},
}

func checkVersionInfo(t *T) {
	v, err := t.Host.GetVersionInfo()
	t.ok(err, "GetVersionInfo")
	equal(t, "release", fmt.Sprintf("%d.%d%s", v.XenVersionMajor, v.XenVersionMinor, v.XenVersionExtra),
		sys(t, "version/major")+"."+sys(t, "version/minor")+sys(t, "version/extra"))
	equal(t, "Capabilities", strings.TrimSpace(v.Capabilities), sys(t, "properties/capabilities"))
	equal(t, "Changeset", v.Changeset, sys(t, "properties/changeset"))
	equal(t, "CompileDate", v.CompileDate, sys(t, "compilation/compile_date"))
	equal(t, "Pagesize", v.Pagesize, os.Getpagesize())
	equal(t, "the library's release", t.Host.Release(), fmt.Sprintf("%d.%d", v.XenVersionMajor, v.XenVersionMinor))
	again, err := t.Host.GetVersionInfo()
	t.ok(err, "GetVersionInfo")
	equal(t, "the second answer", again, v)
}

// sys is what the kernel says about the hypervisor.
func sys(t *T, file string) string {
	b, err := os.ReadFile("/sys/hypervisor/" + file)
	t.ok(err, "the kernel's view")
	return strings.TrimSpace(string(b))
}

func equal[V comparable](t *T, what string, got, want V) {
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func checkCounts(t *T) {
	info, err := t.Host.GetPhysinfo()
	t.ok(err, "GetPhysinfo")
	maxCpus, err := t.Host.GetMaxCpus()
	t.ok(err, "GetMaxCpus")
	online, err := t.Host.GetOnlineCpus()
	t.ok(err, "GetOnlineCpus")
	nodes, err := t.Host.GetMaxNodes()
	t.ok(err, "GetMaxNodes")
	equal(t, "GetMaxCpus", maxCpus, int(info.MaxCpuId)+1)
	equal(t, "GetOnlineCpus", online, int(info.NrCpus))
	if nodes < int(info.NrNodes) || nodes < 1 {
		t.Errorf("GetMaxNodes: got %d, but there are %d nodes", nodes, info.NrNodes)
	}
}

func checkFreeMemory(t *T) {
	const page = 4 // kB
	// Another toolstack may take or free memory between the two calls.
	t.until("two answers to agree", func() bool {
		before, err := t.Host.GetPhysinfo()
		t.ok(err, "GetPhysinfo")
		free, err := t.Host.GetFreeMemory()
		t.ok(err, "GetFreeMemory")
		if free == 0 || free > before.TotalPages*page {
			t.Fatalf("GetFreeMemory: %d kB of %d kB", free, before.TotalPages*page)
		}
		return free == (before.FreePages-before.OutstandingPages)*page || free == before.FreePages*page
	})
}

func checkPhysinfo(t *T) {
	info, err := t.Host.GetPhysinfo()
	t.ok(err, "GetPhysinfo")
	capabilities := sys(t, "properties/capabilities")
	// Arm's names say nothing of it: there are no other guests.
	equal(t, "CapHvm", info.CapHvm, onArm || strings.Contains(capabilities, "hvm-"))
	equal(t, "CapPv", info.CapPv, !onArm)
	if info.CpuKhz == 0 || info.NrCpus == 0 || info.CoresPerSocket == 0 || info.TotalPages < info.FreePages {
		t.Errorf("impossible: %+v", info)
	}
	total, err := strconv.ParseUint(strings.TrimSpace(meminfoKB("MemTotal")), 10, 64)
	t.ok(err, "MemTotal")
	if info.TotalPages*4 < total {
		t.Errorf("the host has %d kB, dom0 alone %d kB", info.TotalPages*4, total)
	}
}

func meminfoKB(key string) string {
	b, _ := os.ReadFile("/proc/meminfo")
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, key+":"); ok {
			return strings.TrimSuffix(strings.TrimSpace(v), " kB")
		}
	}
	return ""
}

func checkConcurrentCalls(t *T) {
	want, err := t.Host.GetVersionInfo()
	t.ok(err, "GetVersionInfo")
	errs := make([]error, 32)
	var group sync.WaitGroup
	for i := range errs {
		group.Go(func() {
			for range 10 {
				got, err := t.Host.GetVersionInfo()
				if err == nil && got != want {
					err = fmt.Errorf("GetVersionInfo: got %+v", got)
				}
				var domains []libxl.Dominfo
				if err == nil {
					domains, err = t.Host.ListDomain()
				}
				if err == nil && (len(domains) == 0 || domains[0].Domid != 0) {
					err = fmt.Errorf("ListDomain: got %+v", domains)
				}
				if err != nil {
					errs[i] = err
					return
				}
			}
		})
	}
	group.Wait()
	for _, err := range errs {
		t.ok(err, "one of many calls at once")
	}
}
