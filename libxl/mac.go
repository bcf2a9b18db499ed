package libxl

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
)

// Mac is libxl_mac, an Ethernet address. Its zero value means "not set": libxl
// chooses one then.
type Mac [6]byte

// NewMac returns a random address from the range that belongs to Xen,
// 00:16:3e:00:00:00 to 00:16:3e:7f:ff:ff.
func NewMac() Mac {
	m := Mac{0x00, 0x16, 0x3e}
	rand.Read(m[3:])
	m[3] &= 0x7f
	return m
}

// ParseMac reads an address written as six pairs of hexadecimal digits with
// colons between them.
func ParseMac(s string) (Mac, error) {
	var m Mac
	if len(s) != 17 {
		return Mac{}, fmt.Errorf("libxl: %q is no MAC address", s)
	}
	for i := range m {
		pair := s[3*i : 3*i+2]
		if _, err := hex.Decode(m[i:i+1], []byte(pair)); err != nil || i > 0 && s[3*i-1] != ':' {
			return Mac{}, fmt.Errorf("libxl: %q is no MAC address", s)
		}
	}
	return m, nil
}

// IsZero says whether all bytes are zero.
func (m Mac) IsZero() bool { return m == Mac{} }

// String returns the address in lower case, as in 00:16:3e:01:02:03.
func (m Mac) String() string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
}

// MarshalText implements encoding.TextMarshaler.
func (m Mac) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *Mac) UnmarshalText(b []byte) (err error) {
	*m, err = ParseMac(string(b))
	return err
}
