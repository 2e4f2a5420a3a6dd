package qemu

import "testing"

func TestClockParam(t *testing.T) {
	for text, want := range map[string]int{
		"processor\t: 0\ncpu MHz\t\t: 2596.128\nprocessor\t: 1\ncpu MHz\t\t: 1.0\n": 2596128,
		"": usualKHz, "cpu MHz : none\n": usualKHz, "cpu MHz : 1e9\n": usualKHz, "cpu MHz": usualKHz,
	} {
		if got := processorKHz(text); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
	for _, c := range []Config{{MicroVM: true, Accel: KVM}, {Accel: TCG}} {
		if got := c.clockParam(); got != "" {
			t.Errorf("%+v is told %q", c, got)
		}
	}
	if got := (Config{MicroVM: true, Accel: TCG}).clockParam(); got == "" {
		t.Error("an emulated microVM is not told its clock")
	}
}
