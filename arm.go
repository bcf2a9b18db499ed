package xenlight

import (
	"bytes"
	"encoding/json"
	"runtime"

	"github.com/go-xenlight/xenlight/internal/capi"
	"github.com/go-xenlight/xenlight/libxl"
)

// forArch is the configuration with what libxl forgets: on Arm it stores the
// domain's without its default for ACPI, and libxl_set_memory_target ends the
// process when it comes upon that.
func forArch(cfg *libxl.DomainConfig, arch string) *libxl.DomainConfig {
	if arch != "arm64" || cfg == nil || !cfg.BInfo.Acpi.IsDefault() {
		return cfg
	}
	cfg = cfg.Clone()
	cfg.BInfo.Acpi.Set(false)
	return cfg
}

// mustSayAcpi refuses a domain on Arm, made by another program, whose stored
// configuration leaves ACPI at its default.
func (f *frame) mustSayAcpi() {
	if runtime.GOARCH != "arm64" {
		return
	}
	name := f.str("the name of the configuration", "libxl-json")
	if f.err != nil {
		return
	}
	var stored []byte
	rc, err := f.h.loop.Call(f.h.loop.Life(), func(c capi.Ctx) int32 { return f.retrieve(c, name, &stored) })
	switch {
	case err != nil:
		f.check(err)
	case rc == 0 && leavesAcpi(stored): // if there is none, libxl will say so
		f.refuse("domid", "libxl cannot do this on Arm: the domain was created with ACPI at its default")
	}
}

// leavesAcpi tells whether a configuration that libxl has stored leaves ACPI at its
// default. One that cannot be read may.
func leavesAcpi(stored []byte) bool {
	stored = bytes.TrimRight(stored, "\x00")
	if len(stored) == 0 {
		return false
	}
	var c struct { // not libxl.DomainConfig, which a newer libxl may have more of
		BInfo struct {
			Acpi string `json:"acpi"`
		} `json:"b_info"`
	}
	err := json.Unmarshal(stored, &c)
	said := c.BInfo.Acpi == libxl.DefboolTrue.String() || c.BInfo.Acpi == libxl.DefboolFalse.String()
	return err != nil || !said
}
