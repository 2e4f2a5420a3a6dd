package oci

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ashlar/internal/format/imagetest"
	"ashlar/internal/format/tarball"
	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/tree"
	"ashlar/internal/testenv"
)

const epoch = 1_700_000_000

// sample is what tar holds of imagetest's.
func sample(t testing.TB) *tree.Tree {
	t.Helper()
	tr := imagetest.Sample(t)
	tr.Remove("dev/sock")
	return tr
}

// layer makes a layer of some paths of a tree.
func layer(t testing.TB, compression string, tr *tree.Tree, paths ...string) Layer {
	t.Helper()
	var b bytes.Buffer
	l, err := MakeLayer(&b, compression, func(w io.Writer) error {
		return tarball.Write(w, tr, tarball.Options{Paths: paths})
	})
	if err != nil {
		t.Fatal(err)
	}
	l.Source, l.By = tree.Bytes(b.Bytes()), "test"
	return l
}

// twoLayers is the sample as an image, the data by themselves.
func twoLayers(t testing.TB, compression string) Image {
	t.Helper()
	tr := sample(t)
	var data, rest []string
	for _, p := range tr.Paths() {
		if strings.HasPrefix(p, "data/") {
			data = append(data, p)
		} else {
			rest = append(rest, p)
		}
	}
	return Image{Name: "sample:latest", Annotations: map[string]string{"org.opencontainers.image.title": "sample"},
		Config: Config{Created: Created(epoch), Platform: Platform{Architecture: "amd64", OS: "linux"},
			Config: Run{Entrypoint: []string{"/bin/ping"}, Env: []string{"A=b"}, ExposedPorts: map[string]struct{}{"80/tcp": {}}, Labels: map[string]string{"k": "v"}}},
		Layers: []Layer{layer(t, compression, tr, append([]string{".", "data"}, data...)...), layer(t, compression, tr, rest...)}}
}

func archive(t testing.TB, i Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := i.WriteArchive(&b, epoch); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestGolden(t *testing.T) {
	for compression, want := range map[string]string{
		Gzip: "f509ee6aff7db8932d2ed0151b5f352f5f7c1778cf7472d0c5317ad70f703f0e",
		Zstd: "3fcc0943406818f51b555f350ba5fa6838354e4df7108af76db6e6603d12ac82",
	} {
		if got := digest.Of(archive(t, twoLayers(t, compression))).String(); got != want {
			t.Errorf("%s: the archive has digest %s, want %s", compression, got, want)
		}
	}
}

// TestCompressorCuts: how a stream is cut into writes does not reach its bytes.
func TestCompressorCuts(t *testing.T) {
	data := append(imagetest.Words(1, 5<<20), imagetest.Noise(2, 12345)...)
	for _, compression := range []string{Gzip, Zstd} {
		var all [][]byte
		for _, cut := range []int{len(data), 100_003, 1 << 20} {
			var b bytes.Buffer
			c, err := NewCompressor(&b, compression)
			if err != nil {
				t.Fatal(err)
			}
			for rest := data; len(rest) > 0; rest = rest[min(cut, len(rest)):] {
				if _, err := c.Write(rest[:min(cut, len(rest))]); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			all = append(all, b.Bytes())
		}
		if !bytes.Equal(all[0], all[1]) || !bytes.Equal(all[0], all[2]) {
			t.Errorf("%s: the bytes depend on the writes", compression)
		}
		media, err := MediaTypeOf(compression)
		if err != nil {
			t.Fatal(err)
		}
		r, err := decompress(bytes.NewReader(all[0]), media)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := io.ReadAll(r); err != nil || !bytes.Equal(back, data) {
			t.Errorf("%s: read back %d bytes, %v", compression, len(back), err)
		}
	}
	if _, err := NewCompressor(io.Discard, "lzma"); err == nil {
		t.Error("lzma is taken")
	}
	var empty bytes.Buffer
	c, err := NewCompressor(&empty, Zstd)
	if err != nil || c.Close() != nil || empty.Len() == 0 {
		t.Errorf("nothing compressed is no frame: %v", err)
	}
}

func TestRoundTrip(t *testing.T) {
	for _, compression := range []string{Gzip, Zstd} {
		l, err := OpenArchive(bytes.NewReader(archive(t, twoLayers(t, compression))))
		if err != nil {
			t.Fatal(err)
		}
		m, d, err := l.Manifest(nil)
		if err != nil || d.Platform.Architecture != "amd64" {
			t.Fatalf("%+v, %v", d, err)
		}
		config, err := l.Config(m)
		if err != nil || config.Config.Entrypoint[0] != "/bin/ping" || config.Created != "2023-11-14T22:13:20Z" {
			t.Errorf("config %+v, %v", config, err)
		}
		got, err := l.Tree(t.Context(), m, tarball.Limits{}, InMemory)
		if err != nil {
			t.Fatal(err)
		}
		if diff := imagetest.Differences(t, sample(t), got); diff != "" {
			t.Errorf("%s: %s", compression, diff)
		}
	}
}

func run(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(testenv.RequireTool(t, name), args...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v: %s", name, args, err, out)
	}
	return out
}

// TestForeignReaders has skopeo look at the archive and copy it, also as what
// older programs load, and umoci unpack it.
func TestForeignReaders(t *testing.T) {
	testenv.RequireRoot(t) // owners and devices
	for _, compression := range []string{Gzip, Zstd} {
		t.Run(compression, func(t *testing.T) {
			dir := t.TempDir()
			file := imagetest.File(t, archive(t, twoLayers(t, compression)))
			var seen struct {
				Name, Created, Architecture, Os string
				Labels                          map[string]string
				Layers, Env                     []string
			}
			if err := json.Unmarshal(run(t, "skopeo", "inspect", "oci-archive:"+file), &seen); err != nil {
				t.Fatal(err)
			}
			if seen.Architecture != "amd64" || seen.Os != "linux" || seen.Labels["k"] != "v" || len(seen.Layers) != 2 || seen.Created != "2023-11-14T22:13:20Z" {
				t.Errorf("skopeo sees %+v", seen)
			}
			run(t, "skopeo", "--insecure-policy", "copy", "oci-archive:"+file, "oci:"+dir+"/layout:sample")
			if compression == Gzip {
				run(t, "skopeo", "--insecure-policy", "copy", "docker-archive:"+file, "oci:"+dir+"/docker:sample")
				// This umoci is older than zstd layers.
				run(t, "umoci", "unpack", "--image", dir+"/layout:sample", dir+"/bundle")
				want, got := sample(t), imagetest.HostTree(t, dir+"/bundle/rootfs")
				want.Get("bin").Xattrs, got.Get("bin").Xattrs = nil, nil // an empty value, and what is overlayfs' own
				if diff := imagetest.Differences(t, want, got); diff != "" {
					t.Error(diff)
				}
			}
			l, err := Open(dir + "/layout")
			if err != nil {
				t.Fatal(err)
			}
			m, _, err := l.Manifest(nil)
			if err != nil {
				t.Fatal(err)
			}
			got, err := l.Tree(context.Background(), m, tarball.Limits{}, InMemory)
			if err != nil {
				t.Fatal(err)
			}
			if diff := imagetest.Differences(t, sample(t), got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// tarOf makes a layer of headers.
func tarOf(t testing.TB, headers ...tar.Header) Layer {
	t.Helper()
	var b bytes.Buffer
	l, err := MakeLayer(&b, Gzip, func(w io.Writer) error {
		tw := tar.NewWriter(w)
		for _, h := range headers {
			if err := tw.WriteHeader(&h); err != nil {
				return err
			}
		}
		return tw.Close()
	})
	if err != nil {
		t.Fatal(err)
	}
	l.Source = tree.Bytes(b.Bytes())
	return l
}

func TestWhiteouts(t *testing.T) {
	names := func(list ...string) Layer {
		var headers []tar.Header
		for _, name := range list {
			headers = append(headers, tar.Header{Name: name, Typeflag: tar.TypeFifo})
		}
		return tarOf(t, headers...)
	}
	image := Image{Layers: []Layer{
		names("a/gone", "a/kept", "b/old/deep", "b/both", "c/x"),
		names("a/.wh.gone", "a/.wh.never", "b/new", "b/.wh..wh..opq", "b/both", ".wh.c", ".wh.", ".wh..wh.plnk"),
		names("c/again"),
	}}
	l, err := OpenArchive(bytes.NewReader(archive(t, image)))
	if err != nil {
		t.Fatal(err)
	}
	m, _, err := l.Manifest(nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := l.Tree(t.Context(), m, tarball.Limits{}, InMemory)
	if err != nil {
		t.Fatal(err)
	}
	if paths, want := strings.Join(got.Paths(), " "), ". a a/kept b b/both b/new c c/again"; paths != want {
		t.Errorf("left are %s, want %s", paths, want)
	}
}

func TestRefuses(t *testing.T) {
	image := twoLayers(t, Gzip)
	layout := func(change func(tr *tree.Tree)) *Layout {
		tr, err := image.Layout(epoch)
		if err != nil {
			t.Fatal(err)
		}
		change(tr)
		return &Layout{open: treeOpener(tr)}
	}
	set := func(name string, data []byte) func(*tree.Tree) {
		return func(tr *tree.Tree) { imagetest.Put(t, tr, tree.NewFile(name, 0o644, data)) }
	}
	blob := blobDir + "/" + image.Layers[0].Digest.String()
	damaged, err := io.ReadAll(mustOpen(t, image.Layers[0].Source))
	if err != nil {
		t.Fatal(err)
	}
	damaged[len(damaged)-20] ^= 1
	wrongDiff := image
	wrongDiff.Layers = append([]Layer(nil), image.Layers...)
	wrongDiff.Layers[0].DiffID = digest.Of([]byte("other"))
	for name, c := range map[string]struct {
		l    *Layout
		want string
	}{
		"no index":  {layout(func(tr *tree.Tree) { tr.Remove(indexFile) }), "index.json: no such file"},
		"no json":   {layout(set(indexFile, []byte("{"))), "read index.json"},
		"large":     {layout(set(indexFile, make([]byte, maxJSON+1))), "at most 4194304 are expected"},
		"none":      {layout(set(indexFile, []byte(`{"manifests":[]}`))), "of 0 images none is for linux/"},
		"algorithm": {layout(set(indexFile, []byte(`{"manifests":[{"mediaType":"`+MediaManifest+`","digest":"sha512:00","size":1}]}`))), "only SHA-256"},
		"size":      {layout(set(indexFile, []byte(`{"manifests":[{"mediaType":"`+MediaManifest+`","digest":"sha256:00","size":99999999}]}`))), "99999999 bytes, at most"},
		"type":      {layout(set(indexFile, []byte(`{"manifests":[{"mediaType":"text/plain"}]}`))), `"text/plain" is not known`},
		"cut layer": {layout(set(blob, damaged[:100])), "it has 100 bytes"},
		"bad layer": {layout(set(blob, damaged)), "unpack layer 1 of 2"},
	} {
		m, _, err := c.l.Manifest(nil)
		if err == nil {
			_, err = c.l.Tree(t.Context(), m, tarball.Limits{}, InMemory)
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", name, err, c.want)
		}
	}
	l, err := OpenArchive(bytes.NewReader(archive(t, wrongDiff)))
	if err != nil {
		t.Fatal(err)
	}
	m, _, err := l.Manifest(nil)
	if err == nil {
		_, err = l.Tree(t.Context(), m, tarball.Limits{}, InMemory)
	}
	if err == nil || !strings.Contains(err.Error(), "do not have the digest") {
		t.Errorf("a wrong DiffID: %v", err)
	}
	if _, err := OpenArchive(bytes.NewReader(make([]byte, 1024))); err == nil || !strings.Contains(err.Error(), "has no index.json") {
		t.Errorf("an empty archive: %v", err)
	}
	if _, err := Open(filepath.Join(t.TempDir(), "absent")); err == nil {
		t.Error("what is not there is opened")
	}
}

func mustOpen(t *testing.T, c tree.Content) io.Reader {
	t.Helper()
	r, err := c.Open()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestOpenDirectory reads a layout that lies in a directory.
func TestOpenDirectory(t *testing.T) {
	dir := t.TempDir()
	tr, err := twoLayers(t, Gzip).Layout(epoch)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range tr.Paths() {
		e := tr.Get(p)
		if e.IsDir() {
			if err := os.MkdirAll(filepath.Join(dir, p), 0o755); err != nil {
				t.Fatal(err)
			}
			continue
		}
		data, err := e.ReadAll(1 << 24)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, p), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	l, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	m, _, err := l.Manifest(&Platform{OS: "linux", Architecture: "s390x"}) // an only image is for everybody
	if err != nil || len(m.Layers) != 2 {
		t.Errorf("%+v, %v", m, err)
	}
}

// FuzzOpenArchive reads an archive of anything, layers and all.
func FuzzOpenArchive(f *testing.F) {
	small := imagetest.Small(f, 300)
	for _, compression := range []string{Gzip, Zstd} {
		f.Add(archive(f, Image{Name: "s", Config: Config{Platform: Platform{Architecture: "amd64", OS: "linux"}}, Layers: []Layer{layer(f, compression, small, small.Paths()...)}}))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := OpenArchive(bytes.NewReader(data))
		if err != nil {
			return
		}
		m, _, err := l.Manifest(nil)
		if err != nil {
			return
		}
		if _, err := l.Tree(t.Context(), m, tarball.Limits{Entries: 100, Bytes: 1 << 20}, InMemory); err != nil {
			return
		}
	})
}

// FuzzLayer unpacks anything as the upper of two layers.
func FuzzLayer(f *testing.F) {
	raw := func(headers ...tar.Header) []byte {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, h := range headers {
			if err := w.WriteHeader(&h); err != nil {
				f.Fatal(err)
			}
		}
		return b.Bytes()
	}
	f.Add(raw(tar.Header{Name: "d/.wh.zeros", Typeflag: tar.TypeReg}, tar.Header{Name: ".wh.d", Typeflag: tar.TypeReg}))
	f.Add(raw(tar.Header{Name: "d/.wh..wh..opq", Typeflag: tar.TypeReg}, tar.Header{Name: "d", Typeflag: tar.TypeSymlink, Linkname: "s"}))
	f.Fuzz(func(t *testing.T, data []byte) {
		tr := imagetest.Small(t, 300)
		if err := applyTar(tr, bytes.NewReader(data), tarball.Limits{Entries: 100, Bytes: 1 << 20}, InMemory); err != nil {
			return
		}
		imagetest.Describe(t, tr) // every link leads somewhere
		for _, p := range tr.Paths() {
			if strings.HasPrefix(filepath.Base(p), whiteout) {
				t.Errorf("%s is left in the tree", p)
			}
		}
	})
}
