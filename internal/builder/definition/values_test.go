package definition

import (
	"testing"
	"time"
)

func TestParseSize(t *testing.T) {
	good := map[string]int64{"0": 0, "512": 512, "4K": 4096, "64M": 64 << 20, "2G": 2 << 30, "1T": 1 << 40, "8191P": -1, "9007199254740991": 1<<53 - 1}
	for text, want := range good {
		got, err := ParseSize(text)
		if want < 0 {
			if err == nil {
				t.Errorf("ParseSize(%q) = %d, want an error", text, got)
			}
			continue
		}
		if err != nil || got != want {
			t.Errorf("ParseSize(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "K", "-1", "+1", "1.5M", "64MB", "64 M", "M64", "9999999T", "1e3", "0x10", "1_000", "9223372036854775808"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("ParseSize(%q) = %d, want an error", text, got)
		}
	}
}

func TestParseMode(t *testing.T) {
	good := map[string]uint32{"0755": 0o755, "644": 0o644, "4755": 0o4755, "7777": 0o7777, "000": 0}
	for text, want := range good {
		if got, err := ParseMode(text); err != nil || got != want {
			t.Errorf("ParseMode(%q) = %o, %v, want %o", text, got, err, want)
		}
	}
	for _, text := range []string{"", "7", "75", "07555", "0o755", "0888", "rwx", "-755", "+755", "7_55"} {
		if got, err := ParseMode(text); err == nil {
			t.Errorf("ParseMode(%q) = %o, want an error", text, got)
		}
	}
}

func TestParseDuration(t *testing.T) {
	good := map[string]time.Duration{"1s": time.Second, "90s": 90 * time.Second, "1m30s": 90 * time.Second, "24h": 24 * time.Hour}
	for text, want := range good {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("ParseDuration(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "90", "0s", "-5s", "100ms", "1500ms", "25h", "a day"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("ParseDuration(%q) = %v, want an error", text, got)
		}
	}
}
