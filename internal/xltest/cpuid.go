package xltest

import (
	"os"
	"slices"
	"strings"

	"github.com/go-xenlight/xenlight/libxl"
)

var cpuidChecks = []check{
	{domainConfigSection, "a CPUID policy hides from a guest what dom0's processor has, by name and by leaf", checkCpuid},
}

// cpuFlags is what /proc/cpuinfo says of the first processor.
func cpuFlags(info string) []string {
	for line := range strings.Lines(info) {
		if name, flags, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "flags" {
			return strings.Fields(flags)
		}
	}
	return nil
}

func checkCpuid(t *T) {
	info, err := os.ReadFile("/proc/cpuinfo")
	t.ok(err, "dom0's processor")
	for _, flag := range []string{"rdrand", "cx16", "lahf_lm"} {
		if !slices.Contains(cpuFlags(string(info)), flag) {
			t.Cannot("dom0's processor does not have %s", flag)
		}
	}
	c := t.config(libxl.DomainTypePvh)
	// Of leaf 1, ecx has bit 13 for cx16; the name adds bit 30 to the same leaf.
	c.BInfo.Cpuid = libxl.CpuidPolicyList{"0x1:ecx=xxxxxxxxxxxxxxxxxx0xxxxxxxxxxxxx", "rdrand=0"}
	g := t.create(c)
	g.boot()
	flags := cpuFlags(g.sh("cat /proc/cpuinfo"))
	for flag, want := range map[string]bool{"cx16": false, "rdrand": false, "lahf_lm": true} {
		equal(t, "the guest sees "+flag, slices.Contains(flags, flag), want)
	}
	kept, err := t.Host.RetrieveDomainConfiguration(t.ctx, g.Domid)
	t.ok(err, "RetrieveDomainConfiguration")
	equal(t, "leaves of the policy that is kept", len(kept.BInfo.Cpuid), 1)
	for _, leaf := range kept.BInfo.Cpuid {
		_, ecx, _ := strings.Cut(leaf, "ecx=")
		equal(t, "the leaf that is kept: "+leaf, ecx[:min(len(ecx), 32)], "x0xxxxxxxxxxxxxxxx0xxxxxxxxxxxxx")
	}

	bad := func(policy string) error {
		c := t.tiny(libxl.DomainTypePvh, "")
		c.BInfo.Cpuid = libxl.CpuidPolicyList{policy}
		domid, err := t.Host.DomainCreateNew(t.ctx, c)
		if err == nil {
			t.adopt(c, domid)
		}
		return err
	}
	for _, policy := range []string{"xltest=1", "0x1:ecx=0", "rdrand"} {
		wantField(t, "the policy "+policy, bad(policy), "BInfo.Cpuid[0]")
	}
}
