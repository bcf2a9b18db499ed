package libxl

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
)

// Uuid is libxl_uuid. Its zero value is the nil UUID, which libxl takes for
// "not set".
type Uuid [16]byte

// NewUuid returns a random UUID (version 4).
func NewUuid() Uuid {
	var u Uuid
	rand.Read(u[:])
	u[6] = u[6]&0x0f | 0x40
	u[8] = u[8]&0x3f | 0x80
	return u
}

// ParseUuid reads a UUID written as 8-4-4-4-12 hexadecimal digits.
func ParseUuid(s string) (Uuid, error) {
	var u Uuid
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return Uuid{}, fmt.Errorf("libxl: %q is no UUID", s)
	}
	digits := s[:8] + s[9:13] + s[14:18] + s[19:23] + s[24:]
	if _, err := hex.Decode(u[:], []byte(digits)); err != nil {
		return Uuid{}, fmt.Errorf("libxl: %q is no UUID", s)
	}
	return u, nil
}

// IsNil says whether all bytes are zero.
func (u Uuid) IsNil() bool { return u == Uuid{} }

// Compare orders UUIDs by their bytes: negative if u comes before v, 0 if they
// are the same.
func (u Uuid) Compare(v Uuid) int { return bytes.Compare(u[:], v[:]) }

// String returns the UUID in lower case, 36 characters long.
func (u Uuid) String() string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}

// MarshalText implements encoding.TextMarshaler.
func (u Uuid) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (u *Uuid) UnmarshalText(b []byte) (err error) {
	*u, err = ParseUuid(string(b))
	return err
}

// MsVmGenid is libxl_ms_vm_genid, the generation ID that Microsoft's guests
// watch to learn that they were cloned or restored. All zero means none.
type MsVmGenid [16]byte

// NewMsVmGenid returns a random generation ID.
func NewMsVmGenid() MsVmGenid {
	var id MsVmGenid
	rand.Read(id[:])
	return id
}

// IsZero says whether there is no generation ID.
func (id MsVmGenid) IsZero() bool { return id == MsVmGenid{} }

// String returns the bytes as 32 hexadecimal digits.
func (id MsVmGenid) String() string { return hex.EncodeToString(id[:]) }
