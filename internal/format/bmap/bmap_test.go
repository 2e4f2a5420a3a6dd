package bmap

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ashlar/internal/format/imagetest"
	"ashlar/internal/testenv"
)

const size = 40*blockSize + 512

func image() []byte { return imagetest.Noise(1, size) }

func used() []Extent {
	return []Extent{{20 * blockSize, 3 * blockSize}, {0, 5000}, {5000, 1}, {7 * blockSize, 10}, {22*blockSize + 1, 2 * blockSize}, {9, 0}, {size - 10, 10}}
}

func make2(t testing.TB) *Map {
	t.Helper()
	m, err := Make(bytes.NewReader(image()), size, used())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestMake(t *testing.T) {
	m := make2(t)
	var got [][2]int64
	for _, r := range m.Ranges {
		got = append(got, [2]int64{r.First, r.Last})
	}
	if diff := cmp.Diff([][2]int64{{0, 1}, {7, 7}, {20, 24}, {40, 40}}, got); diff != "" || m.Mapped() != 9 {
		t.Errorf("%d blocks: %s", m.Mapped(), diff)
	}
	if e := m.Extent(m.Ranges[3]); e != (Extent{40 * blockSize, 512}) {
		t.Errorf("the last range lies at %v", e)
	}
	back, err := Parse(m.Marshal())
	if diff := cmp.Diff(m, back); diff != "" || err != nil {
		t.Errorf("%v: %s", err, diff)
	}
	if _, err := Make(bytes.NewReader(nil), size, used()); err == nil {
		t.Error("an image that ends early is mapped")
	}
	for _, e := range []Extent{{-1, 5}, {0, size + 1}, {size, 1}, {5, -1}} {
		if _, err := Make(bytes.NewReader(image()), size, []Extent{e}); err == nil {
			t.Errorf("%v is mapped", e)
		}
	}
}

// TestBmaptool has bmap-tools write by the map: into a file of other bytes, of
// which those in no range stay.
func TestBmaptool(t *testing.T) {
	dir := t.TempDir()
	raw, text, to := filepath.Join(dir, "image"), filepath.Join(dir, "image.bmap"), filepath.Join(dir, "to")
	for name, data := range map[string][]byte{raw: image(), text: make2(t).Marshal(), to: bytes.Repeat([]byte{0xee}, size)} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tool := testenv.RequireTool(t, "bmaptool")
	if out, err := exec.Command(tool, "copy", "--bmap", text, raw, to).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	got, err := os.ReadFile(to)
	if err != nil {
		t.Fatal(err)
	}
	m, want := make2(t), image()
	for _, r := range m.Ranges {
		e := m.Extent(r)
		if !bytes.Equal(got[e.Offset:e.Offset+e.Size], want[e.Offset:e.Offset+e.Size]) {
			t.Errorf("blocks %d to %d differ", r.First, r.Last)
		}
	}
	spoilt := image()
	spoilt[7*blockSize] ^= 1
	if err := os.WriteFile(raw, spoilt, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(tool, "copy", "--bmap", text, raw, to).CombinedOutput(); err == nil {
		t.Errorf("bmaptool takes a changed image: %s", out)
	}
}

func TestParseRefuses(t *testing.T) {
	good := string(make2(t).Marshal())
	for want, change := range map[string][2]string{
		"version":      {`version="2.0"`, `version="1.4"`},
		"with sums":    {"sha256", "sha1"},
		"sum is wrong": {"<BlocksCount> 41", "<BlocksCount> 42"},
		"parse digest": {`<BmapFileChecksum> `, `<BmapFileChecksum> f`},
		"EOF":          {"</bmap>", ""},
	} {
		if _, err := Parse([]byte(strings.Replace(good, change[0], change[1], 1))); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	for name, spoil := range map[string]func(*Map){
		"order":  func(m *Map) { m.Ranges[1].First, m.Ranges[1].Last = 0, 0 },
		"end":    func(m *Map) { m.Ranges[3].Last++ },
		"blocks": func(m *Map) { m.BlockSize = 17 },
	} {
		m := make2(t)
		spoil(m)
		if back, err := Parse(m.Marshal()); err == nil {
			t.Errorf("%s: %+v", name, back)
		}
	}
}

// FuzzParse: what is read can be written and read again.
func FuzzParse(f *testing.F) {
	f.Add(make2(f).Marshal())
	f.Add((&Map{BlockSize: 512}).Marshal())
	f.Add([]byte("<bmap version=\"2.0\"><ChecksumType>sha256</ChecksumType></bmap>"))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := Parse(text)
		if err != nil {
			return
		}
		if back, err := Parse(m.Marshal()); err != nil || !cmp.Equal(m, back) {
			t.Errorf("%+v came back as %+v, %v", m, back, err)
		}
	})
}
