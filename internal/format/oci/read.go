package oci

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
)

// Bounds of what is read into memory.
const (
	maxJSON    = 4 << 20 // as registries bound manifests
	maxLayers  = 512
	maxDepth   = 3       // of indexes in indexes
	maxMembers = 1 << 16 // of an archive: blobs
)

// opener opens a file of a layout by its name and gives its size.
type opener func(name string) (io.ReadCloser, int64, error)

// Layout is an image layout to read from.
type Layout struct {
	open  opener
	close func() error
}

// Close ends the reading.
func (l *Layout) Close() error {
	if l.close == nil {
		return nil
	}
	return l.close()
}

// Open opens a layout: a directory, or an archive.
func Open(path string) (*Layout, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("open image: %w", err)
	}
	if info.IsDir() {
		return &Layout{open: dirOpener(path)}, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open image: %w", err)
	}
	l, err := OpenArchive(f)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open image %s: %w", path, err), f.Close())
	}
	l.close = f.Close
	return l, nil
}

func dirOpener(dir string) opener {
	return func(name string) (io.ReadCloser, int64, error) {
		f, err := os.Open(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil {
			return nil, 0, err
		}
		info, err := f.Stat()
		if err == nil && !info.Mode().IsRegular() {
			err = fmt.Errorf("%s is no file", name)
		}
		if err != nil {
			return nil, 0, errors.Join(err, f.Close())
		}
		return f, info.Size(), nil
	}
}

// ReadSeekerAt is an archive: an *os.File, a *bytes.Reader.
type ReadSeekerAt interface {
	io.ReadSeeker
	io.ReaderAt
}

// OpenArchive opens an archive, of which the members' places are noted.
func OpenArchive(r ReadSeekerAt) (*Layout, error) {
	members := map[string]*io.SectionReader{}
	tr := tar.NewReader(r)
	for n := 0; ; n++ {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read image archive: %w", err)
		}
		if n >= maxMembers {
			return nil, fmt.Errorf("read image archive: more than %d members", maxMembers)
		}
		if h.Typeflag != tar.TypeReg || h.Size < 0 {
			continue
		}
		at, err := r.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, fmt.Errorf("read image archive: %w", err)
		}
		members[filepath.ToSlash(filepath.Clean(h.Name))] = io.NewSectionReader(r, at, h.Size)
	}
	if members[indexFile] == nil {
		return nil, fmt.Errorf("read image archive: it has no %s", indexFile)
	}
	return &Layout{open: func(name string) (io.ReadCloser, int64, error) {
		m := members[name]
		if m == nil {
			return nil, 0, fmt.Errorf("%s: no such member", name)
		}
		return io.NopCloser(io.NewSectionReader(m, 0, m.Size())), m.Size(), nil
	}}, nil
}

// Blob opens what a descriptor points to; its size is that of the descriptor.
// The reader fails at the end if the bytes are not those of the digest.
func (l *Layout) Blob(d Descriptor) (io.ReadCloser, error) {
	sum, err := d.Sum()
	if err != nil {
		return nil, fmt.Errorf("read blob: %w", err)
	}
	r, size, err := l.open(blobDir + "/" + sum.String())
	if err != nil {
		return nil, fmt.Errorf("read blob: %w", err)
	}
	if size != d.Size {
		return nil, errors.Join(fmt.Errorf("read blob %s: it has %d bytes, %d are said", sum, size, d.Size), r.Close())
	}
	return &checked{ReadCloser: r, sum: newSummer(io.Discard), want: d.Digest}, nil
}

// checked compares the digest when all is read.
type checked struct {
	io.ReadCloser
	sum  *summer
	want string
}

// Read implements io.Reader.
func (c *checked) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	if _, sumErr := c.sum.Write(p[:n]); sumErr != nil {
		return n, sumErr
	}
	if errors.Is(err, io.EOF) {
		if bad := sameDigest(c.sum.sum(), c.want); bad != nil {
			return n, bad
		}
	}
	return n, err
}

func (l *Layout) readJSON(d Descriptor, into any) error {
	if d.Size < 0 || d.Size > maxJSON {
		return fmt.Errorf("read blob %.80s: %d bytes, at most %d are expected", d.Digest, d.Size, maxJSON)
	}
	r, err := l.Blob(d)
	if err != nil {
		return err
	}
	data, err := io.ReadAll(r)
	if err = errors.Join(err, r.Close()); err != nil {
		return fmt.Errorf("read blob %.80s: %w", d.Digest, err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("read blob %.80s: %w", d.Digest, err)
	}
	return nil
}

// Index reads index.json.
func (l *Layout) Index() (Index, error) {
	var index Index
	r, size, err := l.open(indexFile)
	if err != nil {
		return index, fmt.Errorf("read image: %w", err)
	}
	if size > maxJSON {
		return index, errors.Join(fmt.Errorf("read %s: %d bytes, at most %d are expected", indexFile, size, maxJSON), r.Close())
	}
	data, err := io.ReadAll(io.LimitReader(r, maxJSON))
	if err = errors.Join(err, r.Close()); err == nil {
		err = json.Unmarshal(data, &index)
	}
	if err != nil {
		return index, fmt.Errorf("read %s: %w", indexFile, err)
	}
	return index, nil
}

// Manifest gives the image for a platform; nil is Linux on the architecture of
// this program, and an index with one image has it for everybody.
func (l *Layout) Manifest(p *Platform) (Manifest, Descriptor, error) {
	if p == nil {
		p = &Platform{OS: "linux", Architecture: runtime.GOARCH}
	}
	var m Manifest
	index, err := l.Index()
	if err != nil {
		return m, Descriptor{}, err
	}
	for range maxDepth {
		d, err := choose(index, *p)
		if err != nil {
			return m, d, err
		}
		switch d.MediaType {
		case MediaManifest, dockerManifest:
			if err := l.readJSON(d, &m); err != nil {
				return m, d, err
			}
			if len(m.Layers) > maxLayers {
				return m, d, fmt.Errorf("read image: %d layers, at most %d are expected", len(m.Layers), maxLayers)
			}
			return m, d, nil
		case MediaIndex, dockerIndex:
			index = Index{}
			if err := l.readJSON(d, &index); err != nil {
				return m, d, err
			}
		default:
			return m, d, fmt.Errorf("read image: a manifest of type %.100q is not known", d.MediaType)
		}
	}
	return m, Descriptor{}, fmt.Errorf("read image: indexes in indexes, more than %d deep", maxDepth)
}

func choose(index Index, p Platform) (Descriptor, error) {
	if len(index.Manifests) == 1 {
		return index.Manifests[0], nil
	}
	for _, d := range index.Manifests {
		if d.Platform != nil && d.Platform.OS == p.OS && d.Platform.Architecture == p.Architecture && (p.Variant == "" || p.Variant == d.Platform.Variant) {
			return d, nil
		}
	}
	return Descriptor{}, fmt.Errorf("read image: of %d images none is for %s/%s", len(index.Manifests), p.OS, p.Architecture)
}

// Config reads the config of an image.
func (l *Layout) Config(m Manifest) (Config, error) {
	var c Config
	if err := l.readJSON(m.Config, &c); err != nil {
		return c, fmt.Errorf("read image config: %w", err)
	}
	if len(c.RootFS.DiffIDs) != len(m.Layers) {
		return c, fmt.Errorf("read image config: %d layers, the manifest has %d", len(c.RootFS.DiffIDs), len(m.Layers))
	}
	return c, nil
}
