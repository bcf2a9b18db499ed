package xenlight

import (
	"testing"

	"github.com/go-xenlight/xenlight/libxl"
)

func TestArmHasNoHvmGuests(t *testing.T) {
	c := libxl.NewDomainConfig()
	c.CInfo.Type, c.BInfo.TypeUnion = libxl.DomainTypeHvm, libxl.NewDomainBuildInfoTypeUnionHvm()
	if err := checkCreate(c, "amd64"); err != nil {
		t.Errorf("amd64: %v", err)
	}
	if forArch(c, "amd64") != c {
		t.Error("a configuration is changed without need")
	}
	if arm := forArch(c, "arm64"); !c.BInfo.Acpi.IsDefault() || arm.BInfo.Acpi != libxl.DefboolOf(false) {
		t.Errorf("ACPI on Arm: %v, and %v in the caller's configuration", arm.BInfo.Acpi, c.BInfo.Acpi)
	}
	c.BInfo.Acpi.Set(true)
	if forArch(c, "arm64") != c {
		t.Error("ACPI on Arm is not as asked for")
	}
	if err := checkCreate(c, "arm64"); err == nil || err.Error() != "CInfo.Type: hvm: guests on Arm are pvh" {
		t.Errorf("arm64: %v", err)
	}
}

func TestAcpiThatAStoredConfigurationLeaves(t *testing.T) {
	for stored, want := range map[string]bool{
		"":                                       false, // libxl says itself that there is none
		"{}\x00":                                 true,
		`{"c_info": {"name": "a"}}`:              true,
		`{"b_info": {"acpi": "<default>"}}`:      true,
		`{"b_info": {"acpi": "False"}}` + "\x00": false,
		`{"b_info": {"acpi": "True"}}`:           false,
		`{"b_info": `:                            true,
		`{"b_info": {"acpi": "True"}, "new": 1}`: false,
	} {
		if got := leavesAcpi([]byte(stored)); got != want {
			t.Errorf("%q: got %t, want %t", stored, got, want)
		}
	}
}
