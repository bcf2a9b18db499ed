package capi

import (
	"fmt"
	"slices"
	"unsafe"

	"github.com/ebitengine/purego"

	"github.com/go-xenlight/xenlight/internal/abi"
	"github.com/go-xenlight/xenlight/libxl"
)

// CPUIDPolicy reads the CPUID policy of a configuration that libxl has filled. It
// is opaque, so Get cannot; but libxl tells what is in it, as JSON.
func (l *Lib) CPUIDPolicy(ctx Ctx, v Value[libxl.DomainConfig]) (libxl.CpuidPolicyList, error) {
	info := unsafe.Add(v.b.p, l.offset(abi.DomainConfig, "b_info"))
	policy := unsafe.Add(info, l.offset(abi.DomainBuildInfo, "cpuid"))
	if *(*uintptr)(policy) == 0 {
		return nil, nil
	}
	r, _, _ := purego.SyscallN(l.buildInfoToJSON, uintptr(ctx), uintptr(info))
	if r == 0 {
		return nil, fmt.Errorf("libxl cannot tell the CPUID policy")
	}
	var b libxl.DomainBuildInfo
	err := b.UnmarshalJSON([]byte(l.TakeString(ptr(r))))
	return b.Cpuid, err
}

// offset is where a member lies.
func (l *Lib) offset(s *abi.Struct, member string) uint32 {
	i := slices.IndexFunc(s.Fields, func(f abi.Field) bool { return f.Name == member })
	return l.Codec.Layout(s).Members[i].Off
}
