package zstdblock

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"ashlar/internal/testenv"
)

// debian gives blocks of the files of Debian packages, cut and packed as
// squashfs does it.
func debian(t testing.TB, packages ...string) [][]byte {
	t.Helper()
	var blocks [][]byte
	var tail []byte
	dir := testenv.Debian(t, "stable").Unpack(t, packages...)
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		for ; len(data) >= maxBlock; data = data[maxBlock:] {
			blocks = append(blocks, data[:maxBlock])
		}
		if len(tail)+len(data) > maxBlock {
			blocks = append(blocks, tail)
			tail = nil
		}
		tail = append(tail, data...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return append(blocks, tail)
}

// TestDebian compresses real packages at each level, lets two decoders read
// them, and holds sizes to what levels promise: each is smaller than the one
// before.
func TestDebian(t *testing.T) {
	blocks := debian(t, "dash", "base-files")
	whole := bytes.Join(blocks, nil)
	last := len(whole) * 45 / 100
	for _, level := range Levels() {
		e := New(level)
		var frames []byte
		for _, b := range blocks {
			frames = e.Encode(frames, b)
		}
		if got := decode(t, frames); !bytes.Equal(got, whole) {
			t.Errorf("%v: the library decodes otherwise", level)
		}
		if got := decodeByProgram(t, frames); !bytes.Equal(got, whole) {
			t.Errorf("%v: zstd decodes otherwise", level)
		}
		t.Logf("%v: %d of %d bytes", level, len(frames), len(whole))
		if len(frames) >= last {
			t.Errorf("%v: %d of %d bytes, want less than %d", level, len(frames), len(whole), last)
		}
		last = len(frames)
	}
}

// BenchmarkEncode measures each level on blocks of real packages.
func BenchmarkEncode(b *testing.B) {
	blocks := debian(b, "bash", "libc6", "perl-base")
	size := 0
	for _, block := range blocks {
		size += len(block)
	}
	for _, level := range Levels() {
		b.Run(level.String(), func(b *testing.B) {
			e := New(level)
			out := make([]byte, 0, 2*maxBlock)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			sum := 0
			for b.Loop() {
				sum = 0
				for _, block := range blocks {
					sum += len(e.Encode(out, block))
				}
			}
			b.ReportMetric(float64(sum)/float64(size), "ratio")
		})
	}
}
