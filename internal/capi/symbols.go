package capi

import "github.com/go-xenlight/xenlight/internal/abi"

// Symbols lists the functions that a libxenlight of a release must have to be
// loaded. It is for tests that make one.
func Symbols(r abi.Release) []string {
	names := []string{"xtl_createlogger_stdiostream", "xtl_logger_destroy", "libxl_domain_build_info_to_json",
		"libxl_cpuid_parse_config", "libxl_cpuid_parse_config_xend"}
	for i := range fnTable {
		if f := &fnTable[i]; f.since <= r && f.here() {
			names = append(names, f.name)
		}
	}
	for _, f := range structFns {
		if f.since > r {
			continue
		}
		for _, name := range []string{f.init, f.dispose, f.unionInit} {
			if name != "" {
				names = append(names, name)
			}
		}
	}
	return names
}
