package xzstream

import (
	"bytes"
	"errors"
	"io"
	"os/exec"
	"testing"

	"github.com/mikelolasagasti/xz"

	"ashlar/internal/format/imagetest"
	"ashlar/internal/foundation/digest"
	"ashlar/internal/testenv"
)

func stored(t testing.TB, data []byte, cut int) []byte {
	t.Helper()
	var b bytes.Buffer
	w := NewWriter(&b)
	for rest := data; len(rest) > 0; rest = rest[min(cut, len(rest)):] {
		if _, err := w.Write(rest[:min(cut, len(rest))]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err == nil {
		t.Error("a stream ends twice")
	}
	return b.Bytes()
}

// TestForeignReaders has xz and a library read streams of all lengths about chunks.
func TestForeignReaders(t *testing.T) {
	tool := testenv.RequireTool(t, "xz")
	for _, size := range []int{0, 1, 2, 3, 4, 5, maxChunk - 1, maxChunk, maxChunk + 1, 3*maxChunk + 77} {
		data := imagetest.Noise(uint64(size), size)
		raw := stored(t, data, 10_007)
		if !bytes.Equal(raw, stored(t, data, size+1)) {
			t.Errorf("%d bytes: the stream depends on the writes", size)
		}
		cmd := exec.Command(tool, "-dc")
		cmd.Stdin = bytes.NewReader(raw)
		if back, err := cmd.Output(); err != nil || !bytes.Equal(back, data) {
			t.Errorf("%d bytes: xz gives %d, %v", size, len(back), err)
		}
		r, err := xz.NewReader(bytes.NewReader(raw), 0)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := io.ReadAll(r); err != nil || !bytes.Equal(back, data) {
			t.Errorf("%d bytes: the library gives %d, %v", size, len(back), err)
		}
	}
}

func TestGolden(t *testing.T) {
	const want = "bdd8434c45b6037b82c02e8e1ac79a947efd31c0155c3e35083fb9939fab6d49"
	if got := digest.Of(stored(t, imagetest.Words(1, 200_000), 1<<20)).String(); got != want {
		t.Errorf("the stream has digest %s, want %s", got, want)
	}
}

type full struct{ room int }

var errFull = errors.New("no space left on device")

func (f *full) Write(p []byte) (int, error) {
	if f.room -= len(p); f.room < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestFullDisk(t *testing.T) {
	for room := range 40 {
		w := NewWriter(&full{room})
		_, err := w.Write([]byte("some bytes"))
		if err := errors.Join(err, w.Close()); !errors.Is(err, errFull) {
			t.Errorf("room for %d bytes: %v", room, err)
		}
	}
	w := NewWriter(&full{maxChunk / 2})
	if _, err := w.Write(make([]byte, 2*maxChunk)); !errors.Is(err, errFull) {
		t.Errorf("a chunk too many: %v", err)
	}
}
