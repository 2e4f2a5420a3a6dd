package pipeline

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"ashlar/internal/builder/definition"
	"ashlar/internal/builder/store"
	"ashlar/internal/contract/layout"
	"ashlar/internal/contract/machine"
	"ashlar/internal/format/imagetest"
	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/progress"
	"ashlar/internal/foundation/tree"
	"ashlar/internal/testenv"
)

// images are all formats with all their compressors.
func images(t *testing.T) []definition.Image {
	t.Helper()
	var list []definition.Image
	for _, text := range []string{
		"", "compressor = \"gzip\"", "compressor = \"lz4\"", "compressor = \"none\"", "verity = false",
		"format = \"erofs\"", "format = \"erofs\"\ncompressor = \"zstd\"", "format = \"erofs\"\ncompressor = \"none\"", "format = \"erofs\"\nverity = false",
	} {
		def, err := definition.Parse(DefinitionName, []byte("name = \"web\"\nbase.suite = \"trixie\"\n[image]\n"+text+"\n"))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, def.Image)
	}
	return list
}

// buildOf is a build that can write images and nothing else.
func buildOf(t *testing.T, i definition.Image, workers int) *build {
	t.Helper()
	st, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return &build{
		env: &Env{Store: st, Workers: workers},
		p:   &project{def: &definition.Definition{Name: "web", Image: i}, sum: digest.Of([]byte("lock"))},
		dir: t.TempDir(), epoch: 1_900_000_000,
	}
}

// TestWriteImage writes an image of each kind: with one worker and with three it
// is the same; what OpenImage finds in it is what was written; and veritysetup verifies it
// by what the manifest will say, and no more when one bit is turned.
func TestWriteImage(t *testing.T) {
	tr := imagetest.Sample(t)
	names := map[string]bool{}
	for _, i := range images(t) {
		t.Run(strings.ReplaceAll(described(i), " ", "_"), func(t *testing.T) {
			w, err := imageWriterOf(i)
			if err != nil {
				t.Fatal(err)
			}
			names[fmt.Sprint(w.encoder, i.Verity)] = true
			var sums [2]digest.Digest
			var e tree.Entry
			var path string
			for n, workers := range []int{1, 3} {
				b := buildOf(t, i, workers)
				made, trees, err := b.writeImage(t.Context(), layout.GenRoot, tr.Clone(), progress.Discard{})
				if err != nil {
					t.Fatal(err)
				}
				sums[n], e, path = made.Digest, made, string(made.Source.(tree.HostFile))
				if i.Verity != (len(trees) == 1) {
					t.Fatalf("hash trees %+v", trees)
				}
				if i.Verity && n == 1 {
					said, err := machine.ParseVerity(strings.TrimPrefix(trusted(trees), " "+layout.ParamVerity+"="))
					if err != nil || len(said) != 1 || said[0].Root != trees[0].Root {
						t.Errorf("the kernel is told %+v, %v", said, err)
					}
					judgeTree(t, path, said[0])
				}
			}
			if sums[0] != sums[1] || e.Size%4096 != 0 {
				t.Errorf("with one worker %v, with three %v; %d bytes", sums[0], sums[1], e.Size)
			}
			checkParts(t, i, path, tr)
		})
	}
	if len(names) != len(images(t)) {
		t.Errorf("encoders %v do not tell formats apart", names)
	}
}

// judgeTree has cryptsetup's program look at an image.
func judgeTree(t *testing.T, path string, v machine.Verity) {
	t.Helper()
	tool := testenv.RequireTool(t, "veritysetup")
	verify := func(name string) ([]byte, error) {
		return exec.Command(tool, "verify", name, name, v.Root.String(), fmt.Sprintf("--hash-offset=%d", v.Blocks*4096)).CombinedOutput()
	}
	if out, err := verify(path); err != nil {
		t.Errorf("veritysetup: %v: %s", err, out)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[5000] ^= 1
	if out, err := verify(imagetest.File(t, data)); err == nil {
		t.Errorf("veritysetup verifies an image with a bit turned: %s", out)
	}
}

func checkParts(t *testing.T, i definition.Image, path string, want *tree.Tree) {
	t.Helper()
	image, err := OpenImage(path)
	if err != nil {
		t.Fatal(err)
	}
	defer image.Close()
	parts := 1
	if i.Verity {
		parts = 2
	}
	if image.Kind != i.Format || len(image.Parts) != parts || image.Parts[0].Format != i.Format {
		t.Fatalf("it is a %s of %+v", image.Kind, image.Parts)
	}
	if diff := imagetest.Differences(t, capped(t, want), image.Parts[0].Tree); diff != "" {
		t.Error(diff)
	}
	if last := image.Parts[parts-1]; last.Offset+last.Size != image.Size || i.Verity && last.Format != "verity" {
		t.Errorf("the last part ends at %d of %d bytes: %+v", last.Offset+last.Size, image.Size, last)
	}
}

// capped is the tree with no time after the build's.
func capped(t *testing.T, tr *tree.Tree) *tree.Tree {
	t.Helper()
	tr = tr.Clone()
	err := tr.Walk(func(e *tree.Entry) error {
		e.MTime = min(e.MTime, 1_900_000_000)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// TestOldKernel refuses images that the kernel of the build cannot read.
func TestOldKernel(t *testing.T) {
	for _, c := range []struct {
		compressor, release string
		ok                  bool
	}{
		{"zstd", "6.12.117+deb13-cloud-amd64", true}, {"zstd", "6.10-rc1", true}, {"zstd", "6.1.0-37-amd64", false},
		{"lz4", "6.1.0-37-amd64", true}, {"lz4", "5.15.0-1-generic", false}, {"none", "5.15.0-1-generic", true}, {"zstd", "custom", true},
	} {
		b := buildOf(t, definition.Image{Format: "erofs", Compressor: c.compressor, BlockSize: "16K"}, 1)
		_, err := b.imageWriter(c.release)
		if (err == nil) != c.ok || err != nil && !strings.Contains(err.Error(), "the kernel is "+c.release) {
			t.Errorf("%s on %s: %v", c.compressor, c.release, err)
		}
	}
}
