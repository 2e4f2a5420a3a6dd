package block

import (
	"errors"
	"io/fs"
	"os"
	"testing"

	"ashlar/internal/foundation/digest"
)

// TestVerityLine compares a table with one of the kernel's documentation, whose
// numbers it has but for the hash area's place.
func TestVerityLine(t *testing.T) {
	root, err := digest.Parse("4392712ba01368efdf14b05c76f9e4df0d53664630b5d48632ed17a137f39076")
	if err != nil {
		t.Fatal(err)
	}
	table := VerityTable{Device: "8:1", Blocks: 262144, Root: root, Salt: []byte{0x12, 0x34, 0, 0xff}}
	const want = "1 8:1 8:1 4096 4096 262144 262145 sha256 4392712ba01368efdf14b05c76f9e4df0d53664630b5d48632ed17a137f39076 123400ff"
	if got := table.line(); got != want {
		t.Errorf("the table is\n%s, want\n%s", got, want)
	}
	table.Salt = nil
	if got := table.line(); got != want[:len(want)-8]+"-" {
		t.Errorf("without a salt:\n%s", got)
	}
}

// TestMapVerityWithout says what is missing where the kernel has no device mapper.
func TestMapVerityWithout(t *testing.T) {
	if _, err := os.Stat(dmControl); err == nil {
		return // machines in QEMU make and break mappings: e2e's TestVerity
	}
	if _, err := MapVerity("ashlar-test", VerityTable{Device: "7:0", Blocks: 1}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}
