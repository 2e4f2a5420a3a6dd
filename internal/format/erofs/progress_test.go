package erofs

import (
	"testing"

	"ashlar/internal/format/imagetest"
)

func TestProgress(t *testing.T) {
	var r imagetest.Recorder
	writeImage(t, sample(t), Options{Compressor: compressor(t, "lz4", 1), Fragments: true, Progress: &r})
	r.Check(t, "erofs", 5)
}
