// Package registry carries images of containers to registries and from them: an
// image archive or layout as format/oci writes it, on the one side, and what speaks
// the distribution protocol of the Open Container Initiative on the other. Who one
// is says Docker's config.json with its credential helpers.
//
// Blobs go before the manifest that names them, so that what breaks off leaves no
// image behind; what comes is checked against its digests and gets its name when it is whole.
package registry

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	oras "oras.land/oras-go/v2"
	ocistore "oras.land/oras-go/v2/content/oci"
	orasregistry "oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"

	"ashlar/internal/format/oci"
	"ashlar/internal/format/tarball"
	"ashlar/internal/foundation/atomicfile"
	"ashlar/internal/foundation/tree"
)

// Options of Push and Pull. The zero value works.
type Options struct {
	Client    *http.Client // nil: the default one
	PlainHTTP bool         // also for hosts that are not this one
	Version   string       // of ashlar, for the server's log
	Arch      string       // Pull: of an image for several; Go's name, "" is this program's
}

// ErrReference tells of a name that is none of an image in a registry.
var ErrReference = errors.New(`want HOST/NAME[:TAG], as "ghcr.io/me/web:1"`)

// manyBlobs is how many blobs travel at once.
const manyBlobs = 3

// repository opens the place that a reference names.
func repository(ref string, opt Options) (*remote.Repository, error) {
	host, _, ok := strings.Cut(ref, "/")
	if !ok || !strings.ContainsAny(host, ".:") && host != "localhost" {
		return nil, fmt.Errorf("image %q: %w", ref, ErrReference)
	}
	parsed, err := orasregistry.ParseReference(ref)
	if err != nil {
		return nil, fmt.Errorf("image %q: %w: %w", ref, ErrReference, err)
	}
	if parsed.Reference == "" {
		parsed.Reference = "latest"
	}
	client := opt.Client
	if client == nil {
		client = http.DefaultClient
	}
	keys, err := credentials.NewStoreFromDocker(credentials.StoreOptions{})
	if err != nil {
		return nil, fmt.Errorf("read Docker's credentials: %w", err)
	}
	authorized := &auth.Client{Client: client, Cache: auth.NewCache(), Credential: credentials.Credential(keys)}
	authorized.SetUserAgent("ashlar/" + opt.Version)
	return &remote.Repository{Client: authorized, Reference: parsed, PlainHTTP: opt.PlainHTTP || isThisHost(parsed.Host())}, nil
}

// isThisHost reports whether a registry is on this machine, which speaks no TLS as a rule.
func isThisHost(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Push copies the image of an archive or layout to a registry and gives its
// reference by digest.
func Push(ctx context.Context, path, ref string, opt Options) (string, error) {
	repo, err := repository(ref, opt)
	if err != nil {
		return "", err
	}
	layout, err := oci.Open(path)
	if err != nil {
		return "", err
	}
	_, image, err := layout.Manifest(nil)
	if err = errors.Join(err, layout.Close()); err != nil {
		return "", fmt.Errorf("read image %s: %w", path, err)
	}
	source, err := openSource(ctx, path)
	if err != nil {
		return "", fmt.Errorf("read image %s: %w", path, err)
	}
	copying := oras.CopyOptions{CopyGraphOptions: oras.CopyGraphOptions{Concurrency: manyBlobs}}
	d, err := oras.Copy(ctx, source, image.Digest, repo, repo.Reference.Reference, copying)
	if err != nil {
		return "", fmt.Errorf("push to %s: %w", repo.Reference, err)
	}
	return repo.Reference.Registry + "/" + repo.Reference.Repository + "@" + d.Digest.String(), nil
}

func openSource(ctx context.Context, path string) (oras.ReadOnlyTarget, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return ocistore.NewFromFS(ctx, os.DirFS(path))
	}
	return ocistore.NewFromTar(ctx, path)
}

// Pull copies an image from a registry into a new archive and gives its
// reference by digest. An archive of that name is replaced when the other is whole.
func Pull(ctx context.Context, ref, path string, opt Options) (_ string, err error) {
	repo, err := repository(ref, opt)
	if err != nil {
		return "", err
	}
	work, err := os.MkdirTemp(filepath.Dir(path), ".ashlar-pull-")
	if err != nil {
		return "", fmt.Errorf("pull image: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	store, err := ocistore.NewWithContext(ctx, work)
	if err != nil {
		return "", fmt.Errorf("pull image: %w", err)
	}
	copying := oras.CopyOptions{CopyGraphOptions: oras.CopyGraphOptions{Concurrency: manyBlobs}}
	arch := opt.Arch
	if arch == "" {
		arch = runtime.GOARCH
	}
	copying.WithTargetPlatform(&ocispec.Platform{OS: "linux", Architecture: arch})
	d, err := oras.Copy(ctx, repo, repo.Reference.Reference, store, filepath.Base(repo.Reference.Repository)+":latest", copying)
	if err != nil {
		return "", fmt.Errorf("pull %s: %w", repo.Reference, err)
	}
	if err := archive(work, path); err != nil {
		return "", fmt.Errorf("write %s: %w", path, err)
	}
	return repo.Reference.Registry + "/" + repo.Reference.Repository + "@" + d.Digest.String(), nil
}

// archive packs a layout.
func archive(dir, path string) error {
	t := &tree.Tree{}
	var paths []string
	err := filepath.WalkDir(dir, func(host string, entry fs.DirEntry, err error) error {
		if err != nil || host == dir {
			return err
		}
		name, err := filepath.Rel(dir, host)
		if err != nil {
			return err
		}
		e := tree.NewDir(filepath.ToSlash(name), 0o755)
		switch {
		case entry.IsDir() && entry.Name() == "ingest": // what oras was about to take
			return filepath.SkipDir
		case !entry.IsDir():
			info, err := entry.Info()
			if err != nil {
				return err
			}
			e = tree.Entry{Path: filepath.ToSlash(name), Kind: tree.File, Mode: 0o644, Size: info.Size(), Source: tree.HostFile(host)}
		}
		paths = append(paths, e.Path)
		return t.Put(e)
	})
	if err != nil {
		return err
	}
	return atomicfile.Write(path, atomicfile.Options{}, func(f *os.File) error {
		return tarball.Write(f, t, tarball.Options{Paths: paths})
	})
}
