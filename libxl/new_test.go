package libxl

import (
	"reflect"
	"testing"
)

func TestNewGivesTheDefaultsOfLibxl(t *testing.T) {
	cfg := NewDomainConfig()
	hvm := NewDomainBuildInfoTypeUnionHvm()
	for _, test := range []struct {
		name      string
		got, want any
	}{
		{"CInfo.Type", cfg.CInfo.Type, DomainTypeInvalid},
		{"BInfo.Type", cfg.BInfo.Type, DomainTypeInvalid},
		{"BInfo.TypeUnion", cfg.BInfo.TypeUnion, nil},
		{"BInfo.MaxMemkb", cfg.BInfo.MaxMemkb, MemkbDefault},
		{"BInfo.TimerMode", cfg.BInfo.TimerMode, TimerModeDefault},
		{"BInfo.MaxGrantFrames", cfg.BInfo.MaxGrantFrames, MaxGrantDefault},
		{"BInfo.MaxGrantVersion", cfg.BInfo.MaxGrantVersion, -1},
		{"BInfo.ArchArm.NrSpis", cfg.BInfo.ArchArm.NrSpis, NrSpisDefault},
		{"BInfo.Altp2MCount", cfg.BInfo.Altp2MCount, Altp2MCountDefault},
		{"BInfo.XenstoreFeatureMask", cfg.BInfo.XenstoreFeatureMask, uint32(0xffffffff)},
		{"BInfo.SchedParams.Weight", cfg.BInfo.SchedParams.Weight, DomainSchedParamWeightDefault},
		{"BInfo.SchedParams.Sched", cfg.BInfo.SchedParams.Sched, SchedulerUnknown},
		{"BInfo.Acpi", cfg.BInfo.Acpi, DefboolDefault},
		{"OnCrash", cfg.OnCrash, ActionOnShutdownDestroy},
		{"Disks", len(cfg.Disks), 0},
		{"Hdtype", hvm.Hdtype, HdtypeIde},
		{"MmioHoleMemkb", hvm.MmioHoleMemkb, MemkbDefault},
		{"Rdm.Policy", hvm.Rdm.Policy, RdmReservePolicyInvalid},
		{"TimerMode", NewDomainBuildInfo().TimerMode, TimerModeUnknown},
		{"SlackMemkb", NewDomainBuildInfoTypeUnionPv().SlackMemkb, MemkbDefault},
		{"DeviceNic.Devid", NewDeviceNic().Devid, Devid(-1)},
		{"DeviceDisk.Backend", NewDeviceDisk().Backend, DiskBackendUnknown},
		{"IomemRange.Gfn", NewIomemRange().Gfn, InvalidGfn},
		{"DomainRestoreParams.StreamVersion", NewDomainRestoreParams().StreamVersion, uint32(1)},
		{"Dominfo.ShutdownReason", NewDominfo().ShutdownReason, ShutdownReasonUnknown},
		{"SchedParams.Vcpuid", NewSchedParams().Vcpuid, SchedParamVcpuIndexDefault},
		{"Event.Type", NewEvent().Type, EventType(0)},
		{"EventTypeUnionDiskEject.Disk.BackendDomid", NewEventTypeUnionDiskEject().Disk.BackendDomid, Domid(0)},
		{"Physinfo", *NewPhysinfo(), Physinfo{}},
	} {
		if !reflect.DeepEqual(test.got, test.want) {
			t.Errorf("%s is %v, want %v", test.name, test.got, test.want)
		}
	}
}

// Each kind of union has members of its own only: these must compile.
var (
	_ DomainBuildInfoTypeUnion        = (*DomainBuildInfoTypeUnionPvh)(nil)
	_ ChannelinfoConnectionUnion      = (*ChannelinfoConnectionUnionPty)(nil)
	_ DeviceChannelConnectionUnion    = (*DeviceChannelConnectionUnionSocket)(nil)
	_ EventTypeUnion                  = (*EventTypeUnionDomainShutdown)(nil)
	_ DeviceUsbdevTypeUnion           = (*DeviceUsbdevTypeUnionHostdev)(nil)
	_ PsrHwInfoTypeUnion              = (*PsrHwInfoTypeUnionMba)(nil)
	_ interface{ isEventTypeUnion() } = EventTypeUnion(nil)
)
