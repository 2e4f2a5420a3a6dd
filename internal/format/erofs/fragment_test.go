package erofs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"ashlar/internal/format/imagetest"
	"ashlar/internal/foundation/tree"
)

// manyFiles has files of all sizes around a unit of 64 KiB.
func manyFiles(t testing.TB) *tree.Tree {
	t.Helper()
	tr := &tree.Tree{}
	imagetest.Put(t, tr, tree.NewDir(".", 0o755))
	for i := range 200 {
		size := i * 37
		if i%10 == 0 {
			size = i * 1111
		}
		imagetest.Put(t, tr, tree.NewFile(fmt.Sprintf("%03d", i), 0o644, imagetest.Words(uint64(i), size)))
	}
	for _, size := range []int{maxAlone, maxAlone + 1, minUnit - 1, minUnit, minUnit + 1, 3 * minUnit, 20*minUnit + 5} {
		imagetest.Put(t, tr, tree.NewFile(fmt.Sprint("unit ", size), 0o644, imagetest.Words(uint64(size), size)))
	}
	return tr
}

// TestFragmentsStaySteady changes one small file: few segments may change.
func TestFragmentsStaySteady(t *testing.T) {
	tr := manyFiles(t)
	opt := Options{Compressor: compressor(t, "lz4", 1), Fragments: true, Cache: &imagetest.BlockMap{}}
	_, first := writeImage(t, tr, opt)
	worst, sum := 0, 0
	for i := range 40 {
		changed := tr.Clone()
		imagetest.Put(t, changed, tree.NewFile(fmt.Sprintf("%03d", i*5), 0o644, imagetest.Words(uint64(1000+i), 100+i*97)))
		opt := opt
		opt.Cache = &readOnly{opt.Cache}
		_, stats := writeImage(t, changed, opt)
		missed := stats.Segments - stats.CacheHits
		sum, worst = sum+missed, max(worst, missed)
	}
	t.Logf("of %d segments a changed file changes %.1f, at most %d", first.Segments, float64(sum)/40, worst)
	if sum > 3*40 {
		t.Errorf("a changed file changes %.1f of %d segments, want 3 at most", float64(sum)/40, first.Segments)
	}
}

// readOnly is a cache that keeps nothing new.
type readOnly struct{ BlockCache }

// Put implements BlockCache.
func (*readOnly) Put(string, []byte) {}

// TestFragmentsSave holds the size against that of the same files without fragments.
func TestFragmentsSave(t *testing.T) {
	tr := manyFiles(t)
	opt := Options{Compressor: frames(t)}
	_, alone := writeImage(t, tr, opt)
	opt.Fragments = true
	data, packed := writeImage(t, tr, opt)
	if packed.Inodes != alone.Inodes || packed.Size >= alone.Size {
		t.Errorf("%d inodes, %d bytes with fragments; %d inodes, %d bytes without", packed.Inodes, packed.Size, alone.Inodes, alone.Size)
	}
	if got, want := imagetest.Describe(t, readImage(t, data)), imagetest.Describe(t, tr); got != want {
		t.Error("the files do not come back")
	}
}

// stream is content that cannot seek.
type stream []byte

// Open implements tree.Content.
func (s stream) Open() (io.ReadCloser, error) {
	return io.NopCloser(io.MultiReader(bytes.NewReader(s))), nil
}

func TestFragmentsOfStreams(t *testing.T) {
	opt := Options{Compressor: compressor(t, "lz4", 1), Fragments: true}
	tr := manyFiles(t)
	want, _ := writeImage(t, tr, opt)
	err := tr.Walk(func(e *tree.Entry) error {
		if data, ok := e.Source.(tree.Bytes); ok {
			e.Source = stream(data)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := writeImage(t, tr, opt); !bytes.Equal(got, want) {
		t.Error("contents that cannot seek give another image")
	}
	for name, c := range map[string]struct {
		size   int64
		source tree.Content
		want   string
	}{
		"short":      {5000, tree.Bytes(imagetest.Words(1, 4999)), "has not the 5000 bytes"},
		"long":       {5000, tree.Bytes(imagetest.Words(1, 5001)), "has not the 5000 bytes"},
		"long end":   {minUnit + 500, tree.Bytes(imagetest.Words(1, minUnit+501)), "has not the 66036 bytes"},
		"no end":     {minUnit + 500, stream(imagetest.Words(1, minUnit)), "has not the 66036 bytes"},
		"unreadable": {5000, imagetest.Broken{Err: errors.New("disk on fire")}, "disk on fire"},
	} {
		bad := tr.Clone()
		imagetest.Put(t, bad, tree.Entry{Path: "bad", Kind: tree.File, Size: c.size, Source: c.source})
		if _, err := Write(t.Context(), &imagetest.Memory{}, bad, opt); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want an error with %q", name, err, c.want)
		}
	}
	if _, err := Write(t.Context(), &imagetest.Memory{}, tr, Options{Fragments: true}); err == nil {
		t.Error("fragments without a compressor are taken")
	}
}
