package libxl

import (
	"fmt"
	"iter"
	"math/bits"
	"slices"
	"strconv"
	"strings"
)

// Bitmap is libxl_bitmap, a set of small numbers such as CPUs or nodes. Its
// zero value is empty and ready for use. Copies share their bits: use Clone.
type Bitmap struct {
	bits []byte // bit n is bit n%8 of byte n/8
}

// maxParsedBit bounds what ParseBitmap accepts, far above any CPU or node.
const maxParsedBit = 1<<20 - 1

// NewBitmap returns an empty bitmap with room for the bits 0 to n-1; the room
// is rounded up to whole bytes, as libxl does.
func NewBitmap(n int) Bitmap {
	if n <= 0 {
		return Bitmap{}
	}
	return Bitmap{make([]byte, (n-1)/8+1)}
}

// BitmapOf returns a bitmap with the given bits set.
func BitmapOf(set ...int) Bitmap {
	var b Bitmap
	if len(set) > 0 {
		b = NewBitmap(slices.Max(set) + 1)
	}
	for _, bit := range set {
		b.Set(bit)
	}
	return b
}

// BitmapFromBytes returns a bitmap with the bits of data, copied: bit n is bit
// n%8 of byte n/8.
func BitmapFromBytes(data []byte) Bitmap { return Bitmap{slices.Clone(data)} }

// ParseBitmap reads numbers and ranges with commas between them, as in
// "0-3,5"; an empty string is an empty bitmap.
func ParseBitmap(s string) (Bitmap, error) {
	var b Bitmap
	if strings.TrimSpace(s) == "" {
		return b, nil
	}
	for part := range strings.SplitSeq(s, ",") {
		from, to, isRange := strings.Cut(part, "-")
		first, err := parseBit(from)
		last := first
		if err == nil && isRange {
			last, err = parseBit(to)
		}
		if err != nil || last < first {
			return Bitmap{}, fmt.Errorf("libxl: %q is no bitmap: bad range %q", s, part)
		}
		for bit := last; bit >= first; bit-- {
			b.Set(bit)
		}
	}
	return b, nil
}

func parseBit(s string) (int, error) {
	n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 64)
	if err == nil && n > maxParsedBit {
		err = strconv.ErrRange
	}
	return int(n), err
}

// Set sets a bit; the bitmap grows if needed. Like a slice index, a negative
// bit panics.
func (b *Bitmap) Set(bit int) {
	if bit < 0 {
		panic(fmt.Sprintf("libxl: bit %d of a bitmap", bit))
	}
	if n := bit/8 + 1; n > len(b.bits) {
		b.bits = append(b.bits, make([]byte, n-len(b.bits))...)
	}
	b.bits[bit/8] |= 1 << (bit % 8)
}

// Clear clears a bit. There is nothing to do for a bit outside the bitmap.
func (b *Bitmap) Clear(bit int) {
	if bit >= 0 && bit < b.Len() {
		b.bits[bit/8] &^= 1 << (bit % 8)
	}
}

// Test says whether a bit is set; one outside the bitmap is not.
func (b Bitmap) Test(bit int) bool {
	return bit >= 0 && bit < b.Len() && b.bits[bit/8]&(1<<(bit%8)) != 0
}

// Len is the number of bits that there is room for, a multiple of 8.
func (b Bitmap) Len() int { return 8 * len(b.bits) }

// Count is the number of bits set.
func (b Bitmap) Count() int {
	n := 0
	for _, x := range b.bits {
		n += bits.OnesCount8(x)
	}
	return n
}

// IsEmpty says whether no bit is set.
func (b Bitmap) IsEmpty() bool { return b.Count() == 0 }

// IsFull says whether all bits that there is room for are set; without room
// they are.
func (b Bitmap) IsFull() bool { return b.Count() == b.Len() }

// Fill sets all bits that there is room for.
func (b *Bitmap) Fill() {
	for i := range b.bits {
		b.bits[i] = 0xff
	}
}

// Reset clears all bits and keeps the room.
func (b *Bitmap) Reset() { clear(b.bits) }

// Or returns the bits that are set in b or in c, with the larger one's room.
func (b Bitmap) Or(c Bitmap) Bitmap {
	if len(b.bits) < len(c.bits) {
		b, c = c, b
	}
	b = b.Clone()
	for i, x := range c.bits {
		b.bits[i] |= x
	}
	return b
}

// And returns the bits that are set in b and in c, with the smaller one's room.
func (b Bitmap) And(c Bitmap) Bitmap {
	if len(b.bits) > len(c.bits) {
		b, c = c, b
	}
	b = b.Clone()
	for i := range b.bits {
		b.bits[i] &= c.bits[i]
	}
	return b
}

// AndNot returns the bits that are set in b and not in c, with b's room.
func (b Bitmap) AndNot(c Bitmap) Bitmap {
	b = b.Clone()
	for i := range min(len(b.bits), len(c.bits)) {
		b.bits[i] &^= c.bits[i]
	}
	return b
}

// Equal says whether the same bits are set, whatever the lengths.
func (b Bitmap) Equal(c Bitmap) bool {
	for i := range max(len(b.bits), len(c.bits)) {
		var x, y byte
		if i < len(b.bits) {
			x = b.bits[i]
		}
		if i < len(c.bits) {
			y = c.bits[i]
		}
		if x != y {
			return false
		}
	}
	return true
}

// Clone returns a copy with bits of its own.
func (b Bitmap) Clone() Bitmap { return Bitmap{slices.Clone(b.bits)} }

// All returns the bits that are set, in ascending order.
func (b Bitmap) All() iter.Seq[int] {
	return func(yield func(int) bool) {
		for i, x := range b.bits {
			for ; x != 0; x &= x - 1 {
				if !yield(8*i + bits.TrailingZeros8(x)) {
					return
				}
			}
		}
	}
}

// Bytes returns a copy of the bits: bit n is bit n%8 of byte n/8.
func (b Bitmap) Bytes() []byte { return slices.Clone(b.bits) }

// Hex returns the bits as one hexadecimal number, bit 0 its lowest, with two
// digits for each byte of room: 0x0f for the bits 0 to 3.
func (b Bitmap) Hex() string {
	big := slices.Clone(b.bits)
	slices.Reverse(big)
	return fmt.Sprintf("0x%x", big)
}

// String returns the bits in the form that ParseBitmap reads.
func (b Bitmap) String() string {
	var s strings.Builder
	first, last := -1, -1
	flush := func() {
		if first < 0 {
			return
		}
		if s.Len() > 0 {
			s.WriteByte(',')
		}
		s.WriteString(strconv.Itoa(first))
		if last > first {
			s.WriteString("-" + strconv.Itoa(last))
		}
	}
	for bit := range b.All() {
		if bit != last+1 || first < 0 {
			flush()
			first = bit
		}
		last = bit
	}
	flush()
	return s.String()
}
