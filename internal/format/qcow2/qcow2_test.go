package qcow2

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ashlar/internal/format/imagetest"
	"ashlar/internal/foundation/digest"
	"ashlar/internal/testenv"
)

// disk has text, noise, holes, and an end within a cluster.
func disk(size int) []byte {
	data := make([]byte, size)
	copy(data[5000:], imagetest.Words(1, 300_000))
	copy(data[10*cluster-7:], imagetest.Noise(2, 150_000))
	copy(data[20*cluster:], imagetest.Words(3, 3*cluster))
	copy(data[size-sector:], "the end")
	return data
}

const size = 40*cluster + 3*sector

func writeImage(t testing.TB, data []byte, opt Options) []byte {
	t.Helper()
	opt.Size = int64(len(data))
	m := &imagetest.Memory{}
	if err := Write(t.Context(), m, bytes.NewReader(data), opt); err != nil {
		t.Fatal(err)
	}
	return m.Data
}

func judge(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command(testenv.RequireTool(t, "qemu-img"), args...).CombinedOutput()
	if err != nil {
		t.Errorf("qemu-img %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func TestQEMUReadsTheSame(t *testing.T) {
	raw := imagetest.File(t, disk(size))
	for _, opt := range []Options{{}, {Zstd: true}, {Zstd: true, Workers: 3}} {
		image := imagetest.File(t, writeImage(t, disk(size), opt))
		if out := judge(t, "check", "-f", "qcow2", image); !strings.Contains(out, "No errors were found on the image.") {
			t.Errorf("%+v: qemu-img check: %s", opt, out)
		}
		judge(t, "compare", "-f", "raw", "-F", "qcow2", raw, image)
	}
}

// TestWeReadTheirs reads images that QEMU made, of other clusters and forms.
func TestWeReadTheirs(t *testing.T) {
	want := disk(size)
	raw := imagetest.File(t, want)
	for _, c := range [][]string{
		{}, {"-c"}, {"-c", "-o", "compression_type=zstd"}, {"-o", "compat=0.10"}, {"-c", "-o", "cluster_size=4096"}, {"-o", "cluster_size=2M,preallocation=metadata"},
	} {
		name := filepath.Join(t.TempDir(), "theirs")
		judge(t, append(append([]string{"convert", "-f", "raw", "-O", "qcow2"}, c...), raw, name)...)
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		got, err := readAll(data)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%q: %d bytes, %v", c, len(got), err)
		}
	}
}

func readAll(data []byte) ([]byte, error) {
	image, err := Open(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	const most = 16 << 20
	return io.ReadAll(io.NewSectionReader(image, 0, min(image.Size, most)))
}

func TestRoundTrip(t *testing.T) {
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 1))
		want := make([]byte, (1+rng.IntN(2000))*sector)
		for range rng.IntN(12) {
			n := rng.IntN(len(want))
			copy(want[rng.IntN(len(want)):], imagetest.Words(rng.Uint64(), n/2))
			copy(want[rng.IntN(len(want)):], imagetest.Noise(rng.Uint64(), n/3))
		}
		for _, opt := range []Options{{}, {Zstd: true, Workers: 1 + rng.IntN(4)}} {
			got, err := readAll(writeImage(t, want, opt))
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("seed %d, %+v: %d bytes of %d, %v", seed, opt, len(got), len(want), err)
			}
		}
	}
	if got, err := readAll(writeImage(t, nil, Options{})); err != nil || len(got) != 0 {
		t.Errorf("an empty disk: %d bytes, %v", len(got), err)
	}
}

func TestGolden(t *testing.T) {
	for want, opt := range map[string]Options{
		"e5229fb34964da3eb1df0c355ab1d4ec1bf5a692d20061f7a07107b8db94e446": {},
		"84eee8ae084f444fcdeb146f54d9158a66e384d2194073d4aad10c6b37a8162d": {Zstd: true, Workers: 2},
	} {
		if got := digest.Of(writeImage(t, disk(size), opt)).String(); got != want {
			t.Errorf("%+v: digest %s, want %s", opt, got, want)
		}
	}
}

// TestLargeDisk needs several L2 tables and gets few bytes.
func TestLargeDisk(t *testing.T) {
	const large = 3 << 30
	r := sparseDisk{at: large - cluster, data: imagetest.Words(1, cluster)}
	m := &imagetest.Memory{}
	if err := Write(t.Context(), m, r, Options{Size: large, Zstd: true, Workers: 2}); err != nil {
		t.Fatal(err)
	}
	if len(m.Data) > 8*cluster {
		t.Errorf("%d bytes", len(m.Data))
	}
	image, err := Open(bytes.NewReader(m.Data))
	if err != nil || image.Size != large {
		t.Fatal(err)
	}
	got := make([]byte, cluster)
	if _, err := image.ReadAt(got, large-cluster); err != nil || !bytes.Equal(got, r.data) {
		t.Errorf("the last cluster: %v", err)
	}
	if n, err := image.ReadAt(got, large-5); n != 5 || !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %d, %v", n, err)
	}
	judge(t, "check", "-f", "qcow2", imagetest.File(t, m.Data))
}

// sparseDisk is zero but for one place.
type sparseDisk struct {
	at   int64
	data []byte
}

func (s sparseDisk) ReadAt(p []byte, at int64) (int, error) {
	clear(p)
	if at < s.at+int64(len(s.data)) && s.at < at+int64(len(p)) {
		copy(p[max(0, s.at-at):], s.data[max(0, at-s.at):])
	}
	return len(p), nil
}

func TestFails(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	data := disk(size)
	for name, err := range map[string]error{
		"sectors": Write(t.Context(), nil, nil, Options{Size: 513}),
		"large":   Write(t.Context(), nil, nil, Options{Size: maxDisk + sector}),
		"short":   Write(t.Context(), &imagetest.Memory{}, bytes.NewReader(data), Options{Size: size + sector}),
		"full":    Write(t.Context(), &imagetest.FullDisk{Room: 5 * cluster}, bytes.NewReader(data), Options{Size: size}),
		"context": Write(ended, &imagetest.Memory{}, bytes.NewReader(data), Options{Size: size}),
	} {
		if err == nil || !strings.HasPrefix(err.Error(), "write qcow2 image: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRefuses(t *testing.T) {
	good := writeImage(t, disk(size), Options{Zstd: true})
	for want, spoil := range map[string]func(b []byte){
		"not a qcow2 image":    func(b []byte) { b[0] = 0 },
		"version 4":            func(b []byte) { b[7] = 4 },
		"clusters of 2^8":      func(b []byte) { b[23] = 8 },
		"backing file":         func(b []byte) { b[15] = 1 },
		"encrypted":            func(b []byte) { b[35] = 1 },
		"features 0x18":        func(b []byte) { b[79] |= 1 << 4 },
		"compression type 2":   func(b []byte) { b[104] = 2 },
		"L1 table of 0":        func(b []byte) { b[39] = 0 },
		"read L1 table":        func(b []byte) { b[40] = 1 },
		"compressed cluster":   func(b []byte) { clear(b[cluster : cluster+100]) },
		"L2 table: unexpected": func(b []byte) { clear(b[len(b)-3*cluster:]); b[len(b)-3*cluster+1] = 1 },
	} {
		bad := bytes.Clone(good)
		spoil(bad)
		if _, err := readAll(bad); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}

// FuzzOpen reads images that someone changed to their end or an error.
func FuzzOpen(f *testing.F) {
	text := append(imagetest.Words(1, 2000), make([]byte, 48)...)
	f.Add(writeImage(f, text, Options{Zstd: true})[:headerSize])
	// Clusters of 512 bytes: header, L1 table, L2 table, a compressed cluster.
	tiny := make([]byte, 4*512)
	copy(tiny, writeImage(f, text, Options{})[:headerSize])
	tiny[23], tiny[42], tiny[43], tiny[46] = 9, 0, 0, 2
	tiny[512+6], tiny[1024+6], tiny[1024+15] = 4, 6, 1
	f.Add(tiny)
	f.Fuzz(func(_ *testing.T, data []byte) { _, _ = readAll(data) })
}
