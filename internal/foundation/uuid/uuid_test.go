package uuid

import "testing"

func TestDeriveGolden(t *testing.T) {
	// First 16 bytes of sha256(u64be(3) "web" u64be(6) "system"), version 8.
	const want = "c883cdee-e832-8a55-93cb-02096a12e56d"
	got := Derive("web", "system")
	if got[6]>>4 != 8 || got[8]>>6 != 2 {
		t.Errorf("%s: version %d, variant %d", got, got[6]>>4, got[8]>>6)
	}
	if got.String() != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if Derive("ab", "c") == Derive("a", "bc") {
		t.Error("parts run together")
	}
}

func TestTextForm(t *testing.T) {
	u := MustParse("C12A7328-F81F-11D2-BA4B-00A0C93EC93B")
	if got := u.String(); got != "c12a7328-f81f-11d2-ba4b-00a0c93ec93b" {
		t.Errorf("String gives %s", got)
	}
	mixed := u.MixedEndian()
	// The bytes that UEFI puts on disk for the EFI system partition.
	want := [16]byte{0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b}
	if mixed != want {
		t.Errorf("MixedEndian gives % x", mixed)
	}
	if FromMixedEndian(mixed) != u {
		t.Error("FromMixedEndian is not the inverse")
	}
	for _, bad := range []string{"", "c12a7328", "c12a7328-f81f-11d2-ba4b-00a0c93ec93g", "c12a7328xf81f-11d2-ba4b-00a0c93ec93b"} {
		if _, err := Parse(bad); err == nil {
			t.Errorf("Parse(%q) succeeds", bad)
		}
	}
}
