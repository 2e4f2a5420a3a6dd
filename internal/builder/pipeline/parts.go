package pipeline

import (
	"context"
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
	data, ok, err := c.st.Record("block", key)
	return data, ok && err == nil
}

// Put may fail, on a full disk say: then the block is compressed again next time.
func (c blockCache) Put(key string, block []byte) { _ = c.st.SetRecord("block", key, block) }

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
	src, err := os.Open(from)
	if err != nil {
		return imageinfo.File{}, err
	}
	defer src.Close()
	info, err := src.Stat()
	if err != nil {
		return imageinfo.File{}, err
	}
	err = atomicfile.Write(to, atomicfile.Options{}, func(dst *os.File) error {
		return copySparse(dst, src, info.Size())
	})
	if err != nil {
		return imageinfo.File{}, err
	}
	if _, err := src.Seek(0, io.SeekStart); err != nil {
		return imageinfo.File{}, err
	}
	d, _, err := digest.Reader(src)
	return imageinfo.File{Name: filepath.Base(to), Size: info.Size(), Digest: d}, err
}

// copySparse copies the data between a file's holes.
func copySparse(dst, src *os.File, size int64) error {
	for at := int64(0); at < size; {
		start, err := unix.Seek(int(src.Fd()), at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			break
		}
		if err != nil {
			return fmt.Errorf("find data in %s: %w", src.Name(), err)
		}
		end, err := unix.Seek(int(src.Fd()), start, unix.SEEK_HOLE)
		if err != nil {
			return fmt.Errorf("find hole in %s: %w", src.Name(), err)
		}
		if _, err := io.Copy(io.NewOffsetWriter(dst, start), io.NewSectionReader(src, start, end-start)); err != nil {
			return fmt.Errorf("copy to %s: %w", dst.Name(), err)
		}
		at = end
	}
	return dst.Truncate(size)
}
