package pipeline

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"ashlar/internal/builder/definition"
	"ashlar/internal/builder/lock"
	"ashlar/internal/builder/store"
	"ashlar/internal/contract/imageinfo"
	"ashlar/internal/foundation/atomicfile"
	"ashlar/internal/foundation/digest"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

type diskSize struct{ system, state int64 }

func diskSizes(d definition.Disk) (s diskSize, err error) {
	if d.System != "" {
		if s.system, err = definition.ParseSize(d.System); err != nil {
			return s, fmt.Errorf("disk.system: %w", err)
		}
	}
	if s.state, err = definition.ParseSize(d.State); err != nil {
		return s, fmt.Errorf("disk.state: %w", err)
	}
	return s, nil
}

// blockCache keeps compressed blocks in the store.
type blockCache struct{ st *store.Store }

func (c blockCache) Get(key string) ([]byte, bool) {
	data, ok, err := c.st.Record(blockKind, key)
	return data, ok && err == nil
}

// Put may fail, on a full disk say: then the block is compressed again next time.
func (c blockCache) Put(key string, block []byte) { _ = c.st.SetRecord(blockKind, key, block) }

// fetchPackages brings packages into the store.
func (e *Env) fetchPackages(ctx context.Context, l *lock.Lock, lists ...[]lock.Package) error {
	var requests []store.Request
	for _, d := range l.DownloadsOf(e.extraMirrors, lists...) {
		requests = append(requests, store.Request{Digest: d.Digest, Size: d.Size, URLs: d.URLs, Name: d.Name})
	}
	return e.Store.Fetch(ctx, requests, store.FetchOptions{Offline: e.Offline, Progress: e.Progress, Client: e.Client})
}

// mirrorVariables names the environment variables that put a mirror before
// those of an archive.
var mirrorVariables = map[string]string{
	"debian":          "ASHLAR_MIRROR_DEBIAN",
	"debian-security": "ASHLAR_MIRROR_DEBIAN_SECURITY",
	"ubuntu":          "ASHLAR_MIRROR_UBUNTU",
}

func (e *Env) extraMirrors(archive string) []string {
	var urls []string
	if url, ok := e.vendorMirror(archive); ok {
		urls = append(urls, url)
	}
	if variable, ok := mirrorVariables[archive]; ok {
		if url := e.Getenv(variable); url != "" {
			urls = append(urls, url)
		}
	}
	return urls
}

// publishSparse copies a file, holes and all, and gives its digest.
func publishSparse(from, to string) (imageinfo.File, error) {
	if err := copySparseFile(from, to); err != nil {
		return imageinfo.File{}, err
	}
	return sparseFile(to)
}

func copySparseFile(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	return atomicfile.Write(to, atomicfile.Options{}, func(dst *os.File) error {
		size, err := eachData(src, func(r *io.SectionReader, at int64) error {
			_, err := io.Copy(io.NewOffsetWriter(dst, at), r)
			return err
		})
		if err != nil {
			return fmt.Errorf("copy to %s: %w", dst.Name(), err)
		}
		return dst.Truncate(size)
	})
}

// sparseFile gives a file's size and digest without reading its holes.
func sparseFile(name string) (row imageinfo.File, err error) {
	f, err := os.Open(name)
	if err != nil {
		return row, err
	}
	defer f.Close()
	h := sha256.New()
	zeros, done := make([]byte, 1<<20), int64(0)
	skip := func(to int64) {
		for done < to {
			n := min(to-done, int64(len(zeros)))
			h.Write(zeros[:n])
			done += n
		}
	}
	size, err := eachData(f, func(r *io.SectionReader, at int64) error {
		skip(at)
		n, err := io.Copy(h, r)
		done += n
		return err
	})
	skip(size)
	return imageinfo.File{Name: filepath.Base(name), Size: size, Digest: digest.Digest(h.Sum(nil))}, err
}

// eachData visits the data between a file's holes and gives the file's size.
func eachData(f *os.File, visit func(r *io.SectionReader, at int64) error) (size int64, err error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	for at := int64(0); at < info.Size(); {
		start, err := unix.Seek(int(f.Fd()), at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			break
		}
		if err != nil {
			return 0, fmt.Errorf("find data in %s: %w", f.Name(), err)
		}
		end, err := unix.Seek(int(f.Fd()), start, unix.SEEK_HOLE)
		if err != nil {
			return 0, fmt.Errorf("find hole in %s: %w", f.Name(), err)
		}
		if err := visit(io.NewSectionReader(f, start, end-start), start); err != nil {
			return 0, err
		}
		at = end
	}
	return info.Size(), nil
}
