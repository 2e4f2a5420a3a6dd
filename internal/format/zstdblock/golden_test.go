package zstdblock

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"
)

// golden are the digests of all frames of inputs(), for each level. Images
// and caches depend on these bytes: a change that moves a digest raises Version.
var golden = map[string]string{
	"ashlar-zstd 1 fast":    "419eb752794f3f57cd1248213eb8b07b5eaade2cd20e9dafa6300e9f49654f6d",
	"ashlar-zstd 1 default": "1c63cdd3bf224ceda19e4d7f298a02a180786883b1e1bac8c08d2d588bc46c81",
	"ashlar-zstd 1 high":    "06eec4668f498ebf923240efc491d55686589717d7d2a092c25da9675f64a617",
	"ashlar-zstd 1 best":    "f1bd8b262a076719a492ebaed14e98e005eb7651e7902e4c1b7caffa59b04bdf",
}

// checkGolden compares the frames of all inputs with what they were.
func checkGolden(t *testing.T, level Level, frames []byte) {
	t.Helper()
	sum := sha256.Sum256(frames)
	if got, want := hex.EncodeToString(sum[:]), golden[level.Identity()]; got != want {
		t.Errorf("%s: %d bytes with digest %s, want %s", level.Identity(), len(frames), got, want)
	}
}

// TestGoldenInputs tells a change of the inputs from a change of the encoder.
func TestGoldenInputs(t *testing.T) {
	hash := sha256.New()
	for _, in := range inputs() {
		hash.Write(in.data)
	}
	const want = "a1537476ad63b10a42edfa20a1a476a294b5638632acca353fbaf7ea3a64dcb4"
	if got := hex.EncodeToString(hash.Sum(nil)); got != want {
		t.Errorf("the inputs have digest %s, want %s", got, want)
	}
}
