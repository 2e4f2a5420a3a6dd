package oci

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"ashlar/internal/format/tarball"
	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/tree"
)

// Layer is a finished layer.
type Layer struct {
	MediaType string
	Digest    digest.Digest // of the compressed bytes
	Size      int64
	DiffID    digest.Digest // of the tar
	Source    tree.Content  // the compressed bytes
	By        string        // what it holds, for the history
}

// Image is what is written. Of Config, RootFS and History follow from the layers.
type Image struct {
	Config      Config
	Annotations map[string]string // of the manifest
	Name        string            // "web:latest": the reference in index.json, or ""
	Layers      []Layer           // the lowest first
}

// Layout gives the image layout as a tree: directories, small files and the
// layers by reference. Times are those of the image's creation.
func (i Image) Layout(epoch int64) (*tree.Tree, error) {
	t := &tree.Tree{}
	put := func(name string, data []byte) error {
		e := tree.NewFile(name, 0o644, data)
		e.MTime = epoch
		return errors.Join(t.AddParents(name, 0o755, epoch), t.Put(e))
	}
	blob := func(v any) (Descriptor, error) {
		data, err := json.Marshal(v)
		if err != nil {
			return Descriptor{}, err
		}
		sum := digest.Of(data)
		return Descriptor{Digest: text(sum), Size: int64(len(data))}, put(blobDir+"/"+sum.String(), data)
	}
	manifest := Manifest{SchemaVersion: 2, MediaType: MediaManifest, Annotations: i.Annotations, Layers: []Descriptor{}}
	config := i.Config
	config.RootFS, config.History = RootFS{Type: "layers", DiffIDs: []string{}}, nil
	for _, l := range i.Layers {
		manifest.Layers = append(manifest.Layers, Descriptor{MediaType: l.MediaType, Digest: text(l.Digest), Size: l.Size})
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, text(l.DiffID))
		config.History = append(config.History, History{Created: config.Created, CreatedBy: l.By})
		e := tree.Entry{Path: blobDir + "/" + l.Digest.String(), Kind: tree.File, Mode: 0o644, MTime: epoch, Size: l.Size, Digest: l.Digest, Source: l.Source}
		if err := errors.Join(t.AddParents(e.Path, 0o755, epoch), t.Put(e)); err != nil {
			return nil, err
		}
	}
	var err error
	if manifest.Config, err = blob(config); err != nil {
		return nil, fmt.Errorf("write image config: %w", err)
	}
	manifest.Config.MediaType = MediaConfig
	entry, err := blob(manifest)
	if err != nil {
		return nil, fmt.Errorf("write image manifest: %w", err)
	}
	entry.MediaType, entry.Platform = MediaManifest, &config.Platform
	if i.Name != "" {
		entry.Annotations = map[string]string{annotationRef: i.Name}
	}
	index, err := json.Marshal(Index{SchemaVersion: 2, MediaType: MediaIndex, Manifests: []Descriptor{entry}})
	if err != nil {
		return nil, fmt.Errorf("write image index: %w", err)
	}
	return t, errors.Join(put(indexFile, index), put(layoutFile, []byte(layoutText)))
}

// dockerEntry is a row of manifest.json in what "docker save" writes.
type dockerEntry struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// WriteArchive writes the image as one tar.
func (i Image) WriteArchive(w io.Writer, epoch int64) error {
	t, err := i.Layout(epoch)
	if err != nil {
		return err
	}
	manifest, _, err := (&Layout{open: treeOpener(t)}).Manifest(nil)
	if err != nil {
		return err
	}
	row := dockerEntry{Config: blobName(manifest.Config)}
	if i.Name != "" {
		row.RepoTags = []string{i.Name}
	}
	for _, l := range manifest.Layers {
		row.Layers = append(row.Layers, blobName(l))
	}
	data, err := json.Marshal([]dockerEntry{row})
	if err != nil {
		return fmt.Errorf("write %s: %w", dockerFile, err)
	}
	e := tree.NewFile(dockerFile, 0o644, data)
	e.MTime = epoch
	if err := t.Put(e); err != nil {
		return err
	}
	paths := []string{}
	for _, p := range t.Paths() {
		if p != "." {
			paths = append(paths, p)
		}
	}
	return tarball.Write(w, t, tarball.Options{Paths: paths})
}

func blobName(d Descriptor) string { return blobDir + "/" + d.Digest[len(digestPrefix):] }

// treeOpener opens the files of a layout that is a tree.
func treeOpener(t *tree.Tree) opener {
	return func(name string) (io.ReadCloser, int64, error) {
		e := t.Get(name)
		if e == nil || e.Kind != tree.File {
			return nil, 0, fmt.Errorf("%s: no such file", name)
		}
		r, err := e.Open()
		return r, e.Size, err
	}
}
