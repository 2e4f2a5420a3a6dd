package main

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"ashlar/internal/builder/lock"
	"ashlar/internal/contract/layout"
)

// setup is what the measurements share.
type setup struct {
	options
	vendored string   // packages, as `ashlar vendor` exports them
	names    []string // of the packages of the root and of the kernel
	count    int      // of the root's packages
	repo     string   // URL of the same packages for apt
	tree     string   // what mmdebstrap made of them last
	warm     string   // a store that has built the server
	server   *http.Server
	measured map[string]cost // what several rows of a round have in common
}

// small packages that the server does not have, one a round.
var small = []string{"tree", "pv", "bc", "figlet", "sl", "cowsay", "hello"}

func prepare(ctx context.Context, o options) (*setup, error) {
	s := &setup{options: o, vendored: o.work + "/vendored", tree: o.work + "/theirs", warm: o.work + "/warm", measured: map[string]cost{}}
	if err := copyDefinition(o.server, o.work+"/server"); err != nil {
		return nil, err
	}
	s.options.server = o.work + "/server"
	if _, err := run(ctx, o.work, nil, o.ashlar, "-q", "vendor", s.options.server, s.vendored); err != nil {
		return nil, err
	}
	if err := s.readLock(); err != nil {
		return nil, err
	}
	if err := s.serve(ctx); err != nil {
		return nil, err
	}
	if _, err := run(ctx, o.work, s.env(s.warm), o.ashlar, "-q", "build", s.options.server); err != nil {
		return nil, err
	}
	for n := range o.rounds {
		if err := s.lockWith(ctx, small[n%len(small)]); err != nil {
			return nil, err
		}
	}
	_, err := s.mmdebstrap(ctx)
	return s, err
}

func copyDefinition(from, to string) error {
	return errors.Join(os.RemoveAll(to), os.CopyFS(to, withoutOut{os.DirFS(from)}))
}

// withoutOut hides what was built there.
type withoutOut struct{ fs.FS }

func (w withoutOut) ReadDir(name string) ([]fs.DirEntry, error) {
	list, err := fs.ReadDir(w.FS, name)
	var kept []fs.DirEntry
	for _, e := range list {
		if name != "." || e.Name() != "out" {
			kept = append(kept, e)
		}
	}
	return kept, err
}

func (s *setup) close() { _ = s.server.Close() }

func (s *setup) env(store string) []string {
	return []string{"ASHLAR_STORE=" + store, "ASHLAR_VENDOR=" + s.vendored}
}

func (s *setup) readLock() error {
	data, err := os.ReadFile(s.options.server + "/ashlar.lock")
	if err != nil {
		return err
	}
	l, err := lock.Parse(data)
	if err != nil {
		return err
	}
	a := l.Arches["amd64"]
	s.count = len(a.Packages)
	for _, list := range [][]lock.Package{a.Packages, a.Kernel} {
		for _, p := range list {
			s.names = append(s.names, p.Name)
		}
	}
	return nil
}

// serve makes an archive for apt of the same packages, on loopback.
func (s *setup) serve(ctx context.Context) error {
	if _, err := run(ctx, s.vendored, nil, "sh", "-c", "apt-ftparchive packages . > Packages && apt-ftparchive -o APT::FTPArchive::Release::Codename=trixie release . > Release"); err != nil {
		return err
	}
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.server = &http.Server{Handler: http.FileServer(http.Dir(s.vendored)), ReadHeaderTimeout: time.Minute}
	go func() { _ = s.server.Serve(listener) }() // ends with close
	s.repo = "deb [trusted=yes] http://" + listener.Addr().String() + " ./"
	return nil
}

// lockWith locks the server with one package more, and brings that package.
func (s *setup) lockWith(ctx context.Context, name string) error {
	dir := s.work + "/with-" + name
	if err := copyDefinition(s.options.server, dir); err != nil {
		return err
	}
	toml, err := os.ReadFile(dir + "/ashlar.toml")
	if err != nil {
		return err
	}
	text := strings.Replace(string(toml), `"nginx"`, `"`+name+`", "nginx"`, 1)
	if err := os.WriteFile(dir+"/ashlar.toml", []byte(text), 0o644); err != nil {
		return err
	}
	if _, err := run(ctx, s.work, nil, s.ashlar, "-q", "lock", dir); err != nil {
		return err
	}
	_, err = run(ctx, s.work, s.env(s.warm), s.ashlar, "-q", "fetch", dir)
	return err
}

// mmdebstrap makes the tree anew by the tools of Debian.
func (s *setup) mmdebstrap(ctx context.Context) (cost, error) {
	if err := os.RemoveAll(s.tree); err != nil {
		return cost{}, err
	}
	return run(ctx, s.work, nil, "mmdebstrap", "--variant=essential", "--mode=root", "--quiet", "--dpkgopt=force-unsafe-io",
		"--include="+strings.Join(s.names, ","), "trixie", s.tree, s.repo)
}

// mksquashfs packs that tree as ashlar's default does, but for the encoder.
func (s *setup) mksquashfs(ctx context.Context) (cost, error) {
	out := s.work + "/theirs.squashfs"
	if err := os.RemoveAll(out); err != nil {
		return cost{}, err
	}
	c, err := run(ctx, s.work, nil, "mksquashfs", s.tree, out, "-comp", "zstd", "-Xcompression-level", "15", "-b", "256K", "-noappend", "-quiet", "-no-progress", "-no-xattrs")
	if err != nil {
		return c, err
	}
	info, err := os.Stat(out)
	c.bytes = info.Size()
	return c, err
}

// mkerofs packs the tree as EROFS, compressed with lz4hc as our writer is with lz4.
func (s *setup) mkerofs(ctx context.Context, _ int) (cost, error) {
	out := s.work + "/theirs.erofs"
	if err := os.RemoveAll(out); err != nil {
		return cost{}, err
	}
	c, err := run(ctx, s.work, nil, "mkfs.erofs", "-zlz4hc", "-C65536", "-x-1", out, s.tree)
	if err != nil {
		return c, err
	}
	info, err := os.Stat(out)
	if err != nil {
		return c, err
	}
	c.bytes = info.Size()
	return c, nil
}

// build runs ashlar on the server and gives the size of the root image.
func (s *setup) build(ctx context.Context, dir, store string, args ...string) (cost, error) {
	c, err := run(ctx, s.work, s.env(store), append([]string{s.ashlar, "-q", "build", dir}, args...)...)
	if err != nil {
		return c, err
	}
	info, err := os.Stat(filepath.Join(dir, "out", layout.GenRoot))
	if err != nil {
		return c, err
	}
	c.bytes = info.Size()
	return c, nil
}
