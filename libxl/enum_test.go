package libxl

import (
	"encoding"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// enumType is what the generator gives to an enumeration.
type enumType interface {
	~int32
	fmt.Stringer
	encoding.TextMarshaler
	IsValid() bool
}

// beyondASCII puts in letters that Unicode takes for k and s in capitals.
var beyondASCII = strings.NewReplacer("k", "\u212a", "s", "\u017f")

func roundTrip[T enumType, P interface {
	*T
	encoding.TextUnmarshaler
}](t *testing.T, values []T, parse func(string) (T, error)) {
	t.Helper()
	if len(values) == 0 {
		t.Errorf("%T has no values", *new(T))
	}
	for _, v := range values {
		s := v.String()
		if s != strings.ToLower(s) || !v.IsValid() {
			t.Errorf("%T %d: String is %q, IsValid %t", v, int32(v), s, v.IsValid())
		}
		for _, form := range []string{s, strings.ToUpper(s)} {
			if got, err := parse(form); err != nil || got != v {
				t.Errorf("%T: %q is read as %d, %v; want %d", v, form, int32(got), err, int32(v))
			}
		}
		text, err := v.MarshalText()
		if err != nil {
			t.Errorf("%T %s: %v", v, s, err)
		}
		var back T
		if err := P(&back).UnmarshalText(text); err != nil || back != v {
			t.Errorf("%T: text %q gives %d, %v; want %d", v, text, int32(back), err, int32(v))
		}
	}
	unknown := T(12345)
	if want := fmt.Sprintf("%s(12345)", strings.TrimPrefix(fmt.Sprintf("%T", unknown), "libxl.")); unknown.String() != want {
		t.Errorf("an unknown value prints as %s, want %s", unknown.String(), want)
	}
	if _, err := unknown.MarshalText(); err == nil || unknown.IsValid() {
		t.Errorf("%T: an unknown value is taken as valid", unknown)
	}
	s := values[0].String()
	for _, name := range []string{"no such name", "", s + " ", s[1:], s + "\x00"} {
		if got, err := parse(name); err == nil || got != 0 {
			t.Errorf("%T: an unknown name, %q, is read as %d, %v", unknown, name, int32(got), err)
		}
	}
	for _, v := range values {
		if name := beyondASCII.Replace(v.String()); name != v.String() {
			if got, err := parse(name); err == nil {
				t.Errorf("%T: %q is read as %d, which libxl does not do", unknown, name, int32(got))
			}
		}
	}
}

func TestEnumsRoundTrip(t *testing.T) {
	roundTrip(t, ErrorValues(), ErrorFromString)
	roundTrip(t, DomainTypeValues(), DomainTypeFromString)
	roundTrip(t, RdmReserveStrategyValues(), RdmReserveStrategyFromString)
	roundTrip(t, RdmReservePolicyValues(), RdmReservePolicyFromString)
	roundTrip(t, ChannelConnectionValues(), ChannelConnectionFromString)
	roundTrip(t, DeviceModelVersionValues(), DeviceModelVersionFromString)
	roundTrip(t, ConsoleTypeValues(), ConsoleTypeFromString)
	roundTrip(t, DiskFormatValues(), DiskFormatFromString)
	roundTrip(t, DiskBackendValues(), DiskBackendFromString)
	roundTrip(t, DiskSpecificationValues(), DiskSpecificationFromString)
	roundTrip(t, DiskTransportValues(), DiskTransportFromString)
	roundTrip(t, NicTypeValues(), NicTypeFromString)
	roundTrip(t, P9TypeValues(), P9TypeFromString)
	roundTrip(t, ActionOnShutdownValues(), ActionOnShutdownFromString)
	roundTrip(t, TriggerValues(), TriggerFromString)
	roundTrip(t, TscModeValues(), TscModeFromString)
	roundTrip(t, GfxPassthruKindValues(), GfxPassthruKindFromString)
	roundTrip(t, TimerModeValues(), TimerModeFromString)
	roundTrip(t, BiosTypeValues(), BiosTypeFromString)
	roundTrip(t, SchedulerValues(), SchedulerFromString)
	roundTrip(t, ShutdownReasonValues(), ShutdownReasonFromString)
	roundTrip(t, VgaInterfaceTypeValues(), VgaInterfaceTypeFromString)
	roundTrip(t, VendorDeviceValues(), VendorDeviceFromString)
	roundTrip(t, ViridianEnlightenmentValues(), ViridianEnlightenmentFromString)
	roundTrip(t, HdtypeValues(), HdtypeFromString)
	roundTrip(t, CheckpointedStreamValues(), CheckpointedStreamFromString)
	roundTrip(t, VuartTypeValues(), VuartTypeFromString)
	roundTrip(t, VkbBackendValues(), VkbBackendFromString)
	roundTrip(t, VirtioTransportValues(), VirtioTransportFromString)
	roundTrip(t, PassthroughValues(), PassthroughFromString)
	roundTrip(t, SmbiosTypeValues(), SmbiosTypeFromString)
	roundTrip(t, GicVersionValues(), GicVersionFromString)
	roundTrip(t, TeeTypeValues(), TeeTypeFromString)
	roundTrip(t, SveTypeValues(), SveTypeFromString)
	roundTrip(t, ArmSciTypeValues(), ArmSciTypeFromString)
	roundTrip(t, Altp2MModeValues(), Altp2MModeFromString)
	roundTrip(t, UsbctrlTypeValues(), UsbctrlTypeFromString)
	roundTrip(t, UsbdevTypeValues(), UsbdevTypeFromString)
	roundTrip(t, VsndPcmFormatValues(), VsndPcmFormatFromString)
	roundTrip(t, VsndStreamTypeValues(), VsndStreamTypeFromString)
	roundTrip(t, EventTypeValues(), EventTypeFromString)
	roundTrip(t, PsrCmtTypeValues(), PsrCmtTypeFromString)
	roundTrip(t, PsrCbmTypeValues(), PsrCbmTypeFromString)
	roundTrip(t, PsrFeatTypeValues(), PsrFeatTypeFromString)
}

func TestEnumValuesAreThoseOfC(t *testing.T) {
	for _, test := range []struct {
		got  fmt.Stringer
		n    int32
		want string
	}{
		{DomainTypeInvalid, int32(DomainTypeInvalid), "-1 invalid"},
		{DomainTypePvh, int32(DomainTypePvh), "3 pvh"},
		{SveType128, int32(SveType128), "128 128"},
		{SveTypeHw, int32(SveTypeHw), "-1 hw"},
		{GicVersionV3, int32(GicVersionV3), "48 v3"},
		{P9TypeXen9Pfsd, int32(P9TypeXen9Pfsd), "2 xen_9pfsd"},
		{DeviceModelVersionQemuXen, int32(DeviceModelVersionQemuXen), "2 qemu_xen"},
		{TriggerS3Resume, int32(TriggerS3Resume), "6 s3resume"},
	} {
		if got := fmt.Sprintf("%d %s", test.n, test.got); got != test.want {
			t.Errorf("got %s, want %s", got, test.want)
		}
	}
}

func TestErrorCodesAreErrors(t *testing.T) {
	err := fmt.Errorf("pause: %w", ErrorDomainNotfound)
	if !errors.Is(err, ErrorDomainNotfound) || errors.Is(err, ErrorInval) {
		t.Error("errors.Is does not tell codes apart")
	}
	if code, ok := errors.AsType[Error](err); !ok || code != -21 {
		t.Errorf("errors.AsType finds %d, %t", int32(code), ok)
	}
	for _, test := range []struct {
		err  Error
		want string
	}{
		{ErrorInval, "libxl: invalid parameter (ERROR_INVAL)"},
		{-99, "libxl: unknown error -99"},
	} {
		if got := test.err.Error(); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
	for _, e := range ErrorValues() {
		if errorTexts[e] == "" {
			t.Errorf("%s has no text: write one in error.go", e.String())
		}
	}
}
