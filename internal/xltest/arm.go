package xltest

import (
	"io"
	"runtime"
	"slices"

	"github.com/go-xenlight/xenlight/libxl"
)

// onArm tells whether the hypervisor is Xen on Arm, which has one kind of guests,
// called PVH, and knows nothing of NUMA and PCI.
const onArm = runtime.GOARCH == "arm64"

// needHvm ends the check where no guest has a device model.
func (t *T) needHvm() {
	if onArm {
		t.Cannot("there are no HVM guests on Arm")
	}
}

// needSave ends the check where no guest can be saved.
func (t *T) needSave() {
	if onArm {
		t.Cannot("Xen on Arm can neither save nor restore guests")
	}
}

// roomy is config of a guest with memory to give back. On Arm Linux needs nearly all
// of what the others have.
func (t *T) roomy(kind libxl.DomainType) *libxl.DomainConfig {
	c := t.config(kind)
	if onArm {
		c.BInfo.MaxMemkb, c.BInfo.TargetMemkb = 2*c.BInfo.MaxMemkb, 2*c.BInfo.TargetMemkb
	}
	return c
}

func checkArmGuests(t *T) {
	if !onArm {
		t.Cannot("this host is not Arm")
	}
	c := t.tiny(libxl.DomainTypePvh, "")
	c.CInfo.Type, c.BInfo.TypeUnion = libxl.DomainTypePv, libxl.NewDomainBuildInfoTypeUnionPv()
	g := t.create(c)
	equal(t, "CInfo.Type", c.CInfo.Type, libxl.DomainTypePvh)
	equal(t, "BInfo.Type", c.BInfo.Type, libxl.DomainTypePvh)
	g.start()
	g.expect("tiny: up pvh")

	// 4.20 would end the process.
	c.CInfo.Type, c.BInfo.TypeUnion = libxl.DomainTypeHvm, libxl.NewDomainBuildInfoTypeUnionHvm()
	_, err := t.Host.DomainCreateNew(t.ctx, c)
	wantField(t, "DomainCreateNew of an hvm guest", err, "CInfo.Type")
}

func checkArmSaves(t *T) {
	if !onArm {
		t.Cannot("this host is not Arm")
	}
	g := t.startTiny(libxl.DomainTypePvh, "")
	err := t.Host.DomainSuspend(t.ctx, g.Domid, io.Discard)
	wantCode(t, "DomainSuspend", err, libxl.ErrorGuestTimedout)
	if e := asError(err); e == nil || !slices.ContainsFunc(e.Log, contains("Function not implemented")) {
		t.Errorf("no line of libxl's log tells why a guest cannot be saved:%s", logOf(err))
	}
	equal(t, "Shutdown after DomainSuspend", g.info().Shutdown, false)
	g.count(3)
	t.ok(t.Host.DomainSuspendOnly(t.ctx, g.Domid), "DomainSuspendOnly")
	g.suspended()
	t.ok(t.Host.DomainResume(t.ctx, g.Domid, true), "DomainResume")
	g.expect("tiny: resumed")
	g.count(4)
}
