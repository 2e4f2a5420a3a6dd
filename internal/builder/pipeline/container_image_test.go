package pipeline

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ashlar/internal/format/imagetest"
	"ashlar/internal/format/oci"
	"ashlar/internal/format/tarball"
	"ashlar/internal/foundation/tree"
)

// TestOpenContainerImage looks into an image archive, and leaves another tar alone.
func TestOpenContainerImage(t *testing.T) {
	want := imagetest.Small(t, 300)
	path := filepath.Join(t.TempDir(), "packed")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	l, err := oci.MakeLayer(f, oci.Zstd, func(w io.Writer) error { return tarball.Write(w, want, tarball.Options{}) })
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	l.Source = tree.HostFile(path)
	image := oci.Image{Layers: []oci.Layer{l}, Config: oci.Config{Platform: oci.Platform{OS: "linux", Architecture: "amd64"}}}
	open := func(write func(w io.Writer) error) (*Image, error) {
		name := filepath.Join(t.TempDir(), "image.tar")
		if err := writeFile(name, write); err != nil {
			t.Fatal(err)
		}
		return OpenImage(name)
	}
	got, err := open(func(w io.Writer) error { return image.WriteArchive(w, 5) })
	if err != nil {
		t.Fatal(err)
	}
	defer got.Close()
	if got.Kind != "oci" || len(got.Parts) != 1 {
		t.Fatalf("it is a %s of %d parts", got.Kind, len(got.Parts))
	}
	if diff := imagetest.Differences(t, want, got.Parts[0].Tree); diff != "" {
		t.Error(diff)
	}
	other, err := open(func(w io.Writer) error { return tarball.Write(w, want, tarball.Options{}) })
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if other.Kind != KindOther {
		t.Errorf("a tar is a %s", other.Kind)
	}
	broken := image
	broken.Layers = []oci.Layer{l}
	broken.Layers[0].DiffID[0] ^= 1
	if _, err := open(func(w io.Writer) error { return broken.WriteArchive(w, 5) }); err == nil || !strings.Contains(err.Error(), "do not have the digest") {
		t.Errorf("a wrong layer: %v", err)
	}
}
