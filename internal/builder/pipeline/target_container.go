package pipeline

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"

	"ashlar/internal/builder/container"
	"ashlar/internal/contract/layout"
	"ashlar/internal/format/oci"
	"ashlar/internal/format/tarball"
	"ashlar/internal/format/xzstream"
	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/tree"
)

// The artefacts of containers.
const (
	OCIArchive = "oci.tar"
	lxcRoot    = "lxc-rootfs.tar.xz"
	lxcMeta    = "lxc-meta.tar.xz"
	nspawnRoot = "nspawn.tar.gz"
	nspawnFile = "machine.nspawn"
)

// containerInputs are what reaches the bytes of each: they differ in how it is
// packed.
func containerInputs() []string { return []string{"identity", "container", "packages", "files"} }

// containerInput is what the formats say of the image. It is named by the root:
// a container has no more of a generation.
func (b *build) containerInput(gen *generation) container.Input {
	return container.Input{Definition: b.p.def, Arch: b.arch, Epoch: b.epoch, Generation: gen.files[layout.GenRoot].Digest.String()[:16]}
}

func (b *build) containerTree(gen *generation) (*tree.Tree, error) {
	root, err := b.rootTree(gen)
	if err != nil {
		return nil, err
	}
	return container.Tree(root, b.p.def)
}

// makeOCI writes an image archive.
func makeOCI(ctx context.Context, b *build, gen *generation, dir string) error {
	t, err := b.containerTree(gen)
	if err != nil {
		return err
	}
	owners, err := b.owners(ctx)
	if err != nil {
		return err
	}
	own, err := b.overlayPaths(t)
	if err != nil {
		return err
	}
	in := b.containerInput(gen)
	config, err := in.Config()
	if err != nil {
		return err
	}
	groups := container.Split(t, owners, func(p string) bool { return own[p] })
	image := oci.Image{Config: config, Annotations: in.Labels(), Name: b.p.def.Name + ":latest", Layers: make([]oci.Layer, len(groups))}
	parallel, packing := errgroup.WithContext(ctx)
	parallel.SetLimit(b.env.workers())
	for n, g := range groups {
		parallel.Go(func() error {
			l, err := b.packed(packing, b.p.def.Container.Compressor, func(w io.Writer) error {
				return tarball.Write(w, g.Tree, tarball.Options{Paths: g.Paths, MTimeLimit: b.epoch})
			})
			if err != nil {
				return fmt.Errorf("make layer of %.200s: %w", g.By, err)
			}
			l.By = g.By
			image.Layers[n] = l
			return nil
		})
	}
	if err := parallel.Wait(); err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, OCIArchive), func(w io.Writer) error {
		return image.WriteArchive(cancelWriter{ctx, w}, b.epoch)
	})
}

// writeFile writes a new file.
func writeFile(path string, write func(io.Writer) error) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriterSize(f, 1<<20)
	if err := write(w); err != nil {
		return err
	}
	return w.Flush()
}

// owners says which paths the locked packages brought.
func (b *build) owners(ctx context.Context) ([]container.Owner, error) {
	unpacked, err := b.unpack(ctx, b.lock.Packages, nil)
	if err != nil {
		return nil, err
	}
	owners := make([]container.Owner, len(unpacked))
	for n, u := range unpacked {
		owners[n].Name = u.Control.Get("Package")
		for _, e := range u.Entries {
			owners[n].Entries = append(owners[n].Entries, e.Entry)
		}
	}
	return owners, nil
}

// overlayPaths are the files that the definition brings itself.
func (b *build) overlayPaths(t *tree.Tree) (map[string]bool, error) {
	own := map[string]bool{}
	top := filepath.Join(b.p.dir, b.p.def.Files.Dir)
	if _, err := os.Lstat(top); errors.Is(err, fs.ErrNotExist) {
		return own, nil
	}
	return own, filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		rel, err := filepath.Rel(top, path)
		if err != nil {
			return err
		}
		name, err := t.Resolve(filepath.ToSlash(rel))
		own[name] = true
		return err
	})
}

// packedKind names the store's records of compressed archives.
const packedKind = "packed"

// packedRecord is one of them, by what it holds and what compressed it.
type packedRecord struct {
	Digest digest.Digest `json:"digest"`
	Size   int64         `json:"size"`
}

// packed compresses an archive, or takes it from the store. write is called
// once to see what it holds, and once more if that is new.
func (b *build) packed(ctx context.Context, compression string, write func(io.Writer) error) (oci.Layer, error) {
	raw, err := sumOf(func(w io.Writer) error { return write(cancelWriter{ctx, w}) })
	if err != nil {
		return oci.Layer{}, err
	}
	media, err := oci.MediaTypeOf(compression)
	if err != nil {
		return oci.Layer{}, err
	}
	key := digest.Of([]byte(compression + " " + raw.String() + " " + b.in["program"].String())).String()
	st := b.env.Store
	if data, ok, err := st.Record(packedKind, key); err == nil && ok && !b.env.NoCache {
		var r packedRecord
		if json.Unmarshal(data, &r) == nil && st.HasSize(r.Digest, r.Size) {
			return oci.Layer{MediaType: media, Digest: r.Digest, Size: r.Size, DiffID: raw, Source: st.Blob(r.Digest)}, nil
		}
	}
	path := filepath.Join(b.dir, "packed-"+key)
	var l oci.Layer
	err = writeFile(path, func(w io.Writer) (err error) {
		l, err = oci.MakeLayer(cancelWriter{ctx, w}, compression, write)
		return err
	})
	if err != nil {
		return oci.Layer{}, err
	}
	if l.DiffID != raw {
		return oci.Layer{}, errors.New("the archive changed while it was written")
	}
	if err := b.storePacked(path, key, l); err != nil {
		return oci.Layer{}, err
	}
	l.Source = st.Blob(l.Digest)
	return l, os.Remove(path)
}

func (b *build) storePacked(path, key string, l oci.Layer) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	sum, _, err := b.env.Store.Put(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return b.env.noStoreRoom(err)
	}
	if sum != l.Digest {
		return fmt.Errorf("keep %s: it changed on the disk", path)
	}
	data, err := json.Marshal(packedRecord{l.Digest, l.Size})
	if err != nil {
		return err
	}
	return b.env.noStoreRoom(b.env.Store.SetRecord(packedKind, key, data))
}

func sumOf(write func(io.Writer) error) (digest.Digest, error) {
	r, w := io.Pipe()
	go func() { w.CloseWithError(write(w)) }()
	sum, _, err := digest.Reader(bufio.NewReaderSize(r, 1<<20))
	return sum, errors.Join(err, r.Close())
}

// writePacked writes the whole tree as a compressed archive.
func (b *build) writePacked(ctx context.Context, t *tree.Tree, path string) error {
	l, err := b.packed(ctx, oci.Gzip, func(w io.Writer) error {
		return tarball.Write(w, t, tarball.Options{MTimeLimit: b.epoch})
	})
	if err != nil {
		return err
	}
	r, err := l.Source.Open()
	if err != nil {
		return err
	}
	err = writeFile(path, func(w io.Writer) error {
		_, err := io.Copy(cancelWriter{ctx, w}, r)
		return err
	})
	return errors.Join(err, r.Close())
}

// makeLXC writes a template: lxc-create reads nothing but xz, which takes long
// to make and is stored here instead.
func makeLXC(ctx context.Context, b *build, gen *generation, dir string) error {
	t, err := b.containerTree(gen)
	if err != nil {
		return err
	}
	meta, err := container.LXCMeta(b.containerInput(gen))
	if err != nil {
		return err
	}
	for name, t := range map[string]*tree.Tree{lxcRoot: t, lxcMeta: meta} {
		err := writeFile(filepath.Join(dir, name), func(w io.Writer) error {
			x := xzstream.NewWriter(cancelWriter{ctx, w})
			return errors.Join(tarball.Write(x, t, tarball.Options{MTimeLimit: b.epoch}), x.Close())
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// makeOpenVZ writes a template under the name that vzctl takes its words from.
func makeOpenVZ(ctx context.Context, b *build, gen *generation, dir string) error {
	t, err := b.containerTree(gen)
	if err != nil {
		return err
	}
	name, err := container.OpenVZName(b.containerInput(gen))
	if err != nil {
		return err
	}
	return b.writePacked(ctx, t, filepath.Join(dir, name))
}

// makeNspawn writes what machinectl imports and its settings.
func makeNspawn(ctx context.Context, b *build, gen *generation, dir string) error {
	t, err := b.containerTree(gen)
	if err != nil {
		return err
	}
	settings := "[Exec]\nBoot=no\nParameters=" + strings.Join(container.Command(b.p.def.Init), " ") + "\nKillSignal=SIGRTMIN+3\n"
	err = os.WriteFile(filepath.Join(dir, nspawnFile), []byte(settings), 0o644)
	return errors.Join(err, b.writePacked(ctx, t, filepath.Join(dir, nspawnRoot)))
}
