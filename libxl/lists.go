package libxl

import (
	"fmt"
	"strings"
)

// StringList is libxl_string_list: strings in their order.
type StringList []string

// KeyValueList is libxl_key_value_list: values by their keys.
type KeyValueList map[string]string

// CpuidPolicyList is libxl_cpuid_policy_list: what a guest's CPUID
// instruction shall say, each element one key=value in the syntax of the option
// cpuid of xl.cfg, for example "avx2=0" or "maxleaf=0xd"; or a leaf with the bits
// of its registers, as in "0x7,0x0:ebx=" and 32 of the characters 0, 1, x, k and
// s. In JSON there are leaves only, and so in what comes back from libxl, which
// only RetrieveDomainConfiguration has.
//
// As DomainBuildInfo.Cpuid it replaces libxl_cpuid_set and
// libxl_cpuid_apply_policy, which do nothing since Xen 4.14.
type CpuidPolicyList []string

// Hwcap is libxl_hwcap: eight words of CPUID bits, as Xen collects them.
type Hwcap [8]uint32

// String returns the words as xl info prints them, with colons between them.
func (h Hwcap) String() string {
	words := make([]string, len(h))
	for i, w := range h {
		words[i] = fmt.Sprintf("%08x", w)
	}
	return strings.Join(words, ":")
}
