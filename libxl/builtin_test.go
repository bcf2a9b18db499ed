package libxl

import (
	"bytes"
	"slices"
	"testing"
)

func TestUuidKeepsLeadingZeros(t *testing.T) {
	const s = "00a00b0c-0001-0203-0405-060708090a0b"
	u, err := ParseUuid(s)
	if err != nil {
		t.Fatal(err)
	}
	if want := (Uuid{0x00, 0xa0, 0x0b, 0x0c, 0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 6, 7, 8, 9, 10, 11}); u != want {
		t.Errorf("parsed as % x", u[:])
	}
	if u.String() != s {
		t.Errorf("printed as %s", u)
	}
	upper, err := ParseUuid("00A00B0C-0001-0203-0405-060708090A0B")
	if err != nil || upper != u {
		t.Errorf("in capitals: %s, %v", upper, err)
	}
	var back Uuid
	if text, err := u.MarshalText(); err != nil || back.UnmarshalText(text) != nil || back != u {
		t.Errorf("as text: %s", back)
	}
}

func TestBadUuidsAreRefused(t *testing.T) {
	for _, s := range []string{"", "00a00b0c0001020304050607080900a0", "00a00b0c-0001-0203-0405-060708090a0",
		"00a00b0c-0001-0203-0405-060708090a0bb", "00a00b0c_0001-0203-0405-060708090a0b",
		"g0a00b0c-0001-0203-0405-060708090a0b", "{0a00b0c-0001-0203-0405-060708090a0}", "00a00b0c-0001-0203-0405-06070809 a0b"} {
		if u, err := ParseUuid(s); err == nil || !u.IsNil() {
			t.Errorf("%q is read as %s, %v", s, u, err)
		}
	}
}

func TestNewUuidIsRandomVersion4(t *testing.T) {
	a, b := NewUuid(), NewUuid()
	if a == b || a.IsNil() || a[6]>>4 != 4 || a[8]>>6 != 2 {
		t.Errorf("%s, %s", a, b)
	}
	if id := NewMsVmGenid(); id.IsZero() || len(id.String()) != 32 || !(MsVmGenid{}).IsZero() {
		t.Errorf("generation ID %s", id)
	}
}

func TestMac(t *testing.T) {
	m, err := ParseMac("00:16:3E:0a:0B:0c")
	if want := (Mac{0, 0x16, 0x3e, 10, 11, 12}); err != nil || m != want || m.String() != "00:16:3e:0a:0b:0c" {
		t.Errorf("%s, %v", m, err)
	}
	var back Mac
	if text, err := m.MarshalText(); err != nil || back.UnmarshalText(text) != nil || back != m {
		t.Errorf("as text: %s", back)
	}
	for _, s := range []string{"", "00:16:3e:0a:0b", "00:16:3e:0a:0b:0c:0d", "00-16-3e-0a-0b-0c", "00:16:3e:0a:0b:0", "0:016:3e:0a:0b:0c", "00:16:3e:0a:0b:0g"} {
		if m, err := ParseMac(s); err == nil || !m.IsZero() {
			t.Errorf("%q is read as %s, %v", s, m, err)
		}
	}
	a, b := NewMac(), NewMac()
	if a == b || !bytes.Equal(a[:3], []byte{0x00, 0x16, 0x3e}) || a[3] > 0x7f {
		t.Errorf("new addresses %s, %s", a, b)
	}
}

func TestBitmapText(t *testing.T) {
	for _, test := range []struct {
		s, canonical string
		bits         []int
	}{
		{"", "", nil},
		{"0", "0", []int{0}},
		{"0-3,5", "0-3,5", []int{0, 1, 2, 3, 5}},
		{"7,8", "7-8", []int{7, 8}},
		{" 9 , 1-2,2-3", "1-3,9", []int{1, 2, 3, 9}},
		{"63-64", "63-64", []int{63, 64}},
	} {
		b, err := ParseBitmap(test.s)
		if err != nil {
			t.Error(err)
			continue
		}
		if got := slices.Collect(b.All()); !slices.Equal(got, test.bits) {
			t.Errorf("%q is read as %v, want %v", test.s, got, test.bits)
		}
		if b.String() != test.canonical || b.Count() != len(test.bits) || b.IsEmpty() != (len(test.bits) == 0) {
			t.Errorf("%q prints as %q, has %d bits", test.s, b, b.Count())
		}
		if !b.Equal(BitmapOf(test.bits...)) {
			t.Errorf("BitmapOf(%v) is %s", test.bits, BitmapOf(test.bits...))
		}
	}
	for _, s := range []string{",", "1,", "-", "3-", "-3", "3-1", "a", "1--2", "1048576", "0-99999999999999999999", "0x1", "+1"} {
		if b, err := ParseBitmap(s); err == nil {
			t.Errorf("%q is read as %s", s, b)
		}
	}
}

func TestBitmapBytesAreThoseOfC(t *testing.T) {
	b := BitmapOf(0, 9, 15)
	if got := b.Bytes(); !bytes.Equal(got, []byte{0x01, 0x82}) {
		t.Errorf("bytes are % x", got)
	}
	data := []byte{0x80}
	c := BitmapFromBytes(data)
	data[0] = 0
	if !c.Test(7) || c.Len() != 8 {
		t.Error("the bytes are shared with the caller")
	}
	for n, want := range map[int]int{-1: 0, 0: 0, 1: 8, 8: 8, 9: 16} {
		if got := NewBitmap(n).Len(); got != want {
			t.Errorf("NewBitmap(%d) has %d bits, want %d", n, got, want)
		}
	}
}

func TestBitmapChanges(t *testing.T) {
	var b Bitmap
	b.Set(10)
	b.Set(3)
	d := b.Clone()
	b.Clear(10)
	b.Clear(1000)
	b.Clear(-1)
	if b.Test(10) || !b.Test(3) || b.Test(1000) || b.Test(-1) || b.Len() != 16 {
		t.Errorf("bitmap is %s, %d long", b, b.Len())
	}
	if !d.Test(10) {
		t.Error("a clone has changed with its original")
	}
	if !b.Equal(BitmapOf(3)) || b.Equal(d) || !(Bitmap{}).Equal(NewBitmap(64)) {
		t.Error("Equal minds the length, or misses a bit")
	}
	for bit := range BitmapOf(1, 2, 3).All() {
		if bit == 2 {
			break
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("Set(-1) does not panic")
		}
	}()
	b.Set(-1)
}

func TestBitmapsTogether(t *testing.T) {
	a, b := BitmapOf(1, 3), BitmapOf(3, 9)
	tests := []struct {
		name      string
		got       Bitmap
		text, hex string
		room      int
	}{
		{"a", a, "1,3", "0x0a", 8},
		{"b", b, "3,9", "0x0208", 16},
		{"a or b", a.Or(b), "1,3,9", "0x020a", 16},
		{"b or a", b.Or(a), "1,3,9", "0x020a", 16},
		{"a and b", a.And(b), "3", "0x08", 8},
		{"b and a", b.And(a), "3", "0x08", 8},
		{"a or nothing", a.Or(Bitmap{}), "1,3", "0x0a", 8},
		{"a and nothing", a.And(Bitmap{}), "", "0x", 0},
		{"a without b", a.AndNot(b), "1", "0x02", 8},
		{"b without a", b.AndNot(a), "9", "0x0200", 16},
		{"a without nothing", a.AndNot(Bitmap{}), "1,3", "0x0a", 8},
		{"nothing without a", Bitmap{}.AndNot(a), "", "0x", 0},
	}
	for _, test := range tests {
		if test.got.String() != test.text || test.got.Hex() != test.hex || test.got.Len() != test.room {
			t.Errorf("%s is %q, %s, with room for %d, want %q, %s, %d", test.name,
				test.got, test.got.Hex(), test.got.Len(), test.text, test.hex, test.room)
		}
	}
	// What they return shares no bits.
	for _, c := range []Bitmap{a.Or(b), a.And(b), a.AndNot(Bitmap{})} {
		c.Fill()
	}
	if a.String() != "1,3" || b.String() != "3,9" {
		t.Errorf("a is %s and b is %s after changing others", a, b)
	}
}

func TestBitmapFull(t *testing.T) {
	b := NewBitmap(12)
	if b.IsFull() {
		t.Error("an empty bitmap with room is full")
	}
	b.Fill()
	if !b.IsFull() || b.Count() != 16 {
		t.Errorf("filled, it has %s", b)
	}
	b.Clear(7)
	if b.IsFull() {
		t.Error("it is full without bit 7")
	}
	b.Reset()
	if !b.IsEmpty() || b.Len() != 16 {
		t.Errorf("reset, it has %q and room for %d", b, b.Len())
	}
	if !(Bitmap{}).IsFull() {
		t.Error("libxl takes a bitmap without room for full")
	}
}

func TestUuidsHaveAnOrder(t *testing.T) {
	low, high := Uuid{0, 1}, Uuid{0x80}
	if low.Compare(high) >= 0 || high.Compare(low) <= 0 || low.Compare(low) != 0 {
		t.Errorf("%s and %s are in the wrong order", low, high)
	}
}

func TestDomidOfGuests(t *testing.T) {
	for domid, want := range map[Domid]bool{0: false, 1: true, 0x7fef: true, 0x7ff0: false, InvalidDomid: false, RandomDomid: false} {
		if domid.ValidGuest() != want {
			t.Errorf("%d could be a guest's: %t, want %t", domid, domid.ValidGuest(), want)
		}
	}
}

func TestDefbool(t *testing.T) {
	for _, test := range []struct {
		d         Defbool
		s         string
		val, fail bool
	}{
		{DefboolDefault, "<default>", false, true},
		{DefboolTrue, "True", true, false},
		{DefboolFalse, "False", false, false},
		{5, "True", true, false},
		{-5, "False", false, false},
	} {
		val, err := test.d.Val()
		if test.d.String() != test.s || val != test.val || (err != nil) != test.fail || test.d.IsDefault() != test.fail {
			t.Errorf("%d: %s, %t, %v", test.d, test.d, val, err)
		}
	}
	var d Defbool
	d.SetDefault(true)
	d.SetDefault(false)
	if d != DefboolTrue {
		t.Errorf("SetDefault has changed what was set: %s", d)
	}
	d.Set(false)
	if d != DefboolFalse || DefboolOf(true) != DefboolTrue {
		t.Errorf("Set(false) gives %s", d)
	}
	if d.Unset(); !d.IsDefault() {
		t.Errorf("Unset gives %s", d)
	}
}

func TestHwcapPrintsAsXlDoes(t *testing.T) {
	h := Hwcap{0xbfebfbff, 1}
	if want := "bfebfbff:00000001:00000000:00000000:00000000:00000000:00000000:00000000"; h.String() != want {
		t.Errorf("got %s", h)
	}
}
