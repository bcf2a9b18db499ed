package libxl

import (
	"fmt"
	"strings"
)

// StringList is libxl_string_list.
type StringList []string

// KeyValueList is libxl_key_value_list.
type KeyValueList map[string]string

// CpuidPolicyList is libxl_cpuid_policy_list: what a guest's CPUID
// instruction shall say, each element one key=value in the syntax of the option
// cpuid of xl.cfg, for example "avx2=0" or "maxleaf=0xd"; or a leaf with the bits
// of its registers, as in "0x7,0x0:ebx=" and 32 of the characters 0, 1, x, k and
// s. It goes to libxl only: a list that comes from libxl cannot be read back. In
// JSON there are leaves only.
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
