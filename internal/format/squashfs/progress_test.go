package squashfs

import (
	"testing"

	"ashlar/internal/format/imagetest"
)

func TestProgress(t *testing.T) {
	var r imagetest.Recorder
	writeImage(t, imagetest.Sample(t), Options{Compressor: None(), Progress: &r})
	r.Check(t, "squashfs", 5)
}
