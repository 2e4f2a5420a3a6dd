package deb

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/klauspost/compress/gzip"
	"github.com/mikelolasagasti/xz"

	"ashlar/internal/builder/distro/deb/pkginfo"
	"ashlar/internal/builder/lock"
	"ashlar/internal/builder/store"
	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/progress"
)

// Index is a verified archive.
type Index struct {
	Archive  Archive
	Release  lock.Release // ready for the lock
	Packages []*pkginfo.Package
}

// maxInRelease bounds the signed file, in bytes; Debian's has 150 KB.
const maxInRelease = 32 << 20

// FetchIndex reads an archive through its mirrors. The signed file must be good
// at the time now. Files that the store has already are not fetched again.
func FetchIndex(ctx context.Context, client *http.Client, st *store.Store, a Archive, now time.Time, sink progress.Sink) (*Index, error) {
	ix, err := fetchIndex(ctx, client, st, a, now, sink)
	if err != nil {
		return nil, fmt.Errorf("read archive %s, suite %s: %w", a.Name, a.Suite, err)
	}
	return ix, nil
}

func fetchIndex(ctx context.Context, client *http.Client, st *store.Store, a Archive, now time.Time, sink progress.Sink) (*Index, error) {
	switch {
	case len(a.Mirrors) == 0:
		return nil, errors.New("no mirror is given")
	case len(a.Arches) == 0:
		return nil, errors.New("no architecture is given")
	case a.Suite == "" || checkPath(a.Suite) != nil:
		return nil, fmt.Errorf("%q is not a suite", a.Suite)
	}
	opt := store.FetchOptions{Client: client, Progress: sink}
	signed, err := fetchRelease(ctx, a, now, opt)
	if err != nil {
		return nil, err
	}
	if signed.digest, err = st.PutBytes(signed.raw); err != nil {
		return nil, err
	}
	files, err := signed.choose(a)
	if err != nil {
		return nil, err
	}
	var requests []store.Request
	for _, f := range files {
		requests = append(requests, f.request)
	}
	if err := st.Fetch(ctx, requests, opt); err != nil {
		return nil, err
	}
	ix := &Index{Archive: a, Release: lock.Release{
		Archive: a.Name, Mirrors: a.Mirrors, Suite: a.Suite, Date: signed.date.Format(time.RFC3339),
		Digest: signed.digest, Signers: signed.signers,
	}}
	for _, f := range files {
		packages, err := f.parse(st, signed, a)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", f.path, err)
		}
		ix.Packages = append(ix.Packages, packages...)
	}
	return ix, nil
}

// signedRelease is a verified InRelease file.
type signedRelease struct {
	*release
	raw     []byte
	digest  digest.Digest
	signers []string
	mirror  string // where it came from
}

// fetchRelease gives the InRelease file of the first mirror that has a good one.
func fetchRelease(ctx context.Context, a Archive, now time.Time, opt store.FetchOptions) (*signedRelease, error) {
	keys, err := readKeyring(a.Keyring)
	if err != nil {
		return nil, err
	}
	var faults []error
	for _, mirror := range a.Mirrors {
		url := suiteURL(mirror, a.Suite) + "/InRelease"
		raw, err := store.Get(ctx, url, maxInRelease, opt)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		s, err := readRelease(raw, a, keys, now)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", url, err))
			continue
		}
		s.mirror = mirror
		return s, nil
	}
	return nil, errors.Join(faults...)
}

// ErrUntrusted marks archives whose signature or dates do not hold.
var ErrUntrusted = errors.New("the archive is not to be trusted")

// readRelease checks signature, suite and dates.
func readRelease(raw []byte, a Archive, keys openpgp.EntityList, now time.Time) (*signedRelease, error) {
	text, signers, err := verifySigned(raw, keys, now, a.Snapshot != "")
	if err != nil {
		return nil, untrusted{err}
	}
	r, err := parseRelease(text)
	if err != nil {
		return nil, err
	}
	if err := r.check(a, now); err != nil {
		return nil, untrusted{err}
	}
	return &signedRelease{release: r, raw: raw, signers: signers}, nil
}

// untrusted gives an error the kind ErrUntrusted and leaves its text.
type untrusted struct{ error }

func (u untrusted) Unwrap() error        { return u.error }
func (u untrusted) Is(target error) bool { return target == ErrUntrusted }

func suiteURL(mirror, suite string) string {
	return strings.TrimRight(mirror, "/") + "/dists/" + suite
}

// indexFile is one Packages file to read.
type indexFile struct {
	component string
	arch      string
	path      string // below the suite's directory, as chosen
	plain     releaseFile
	hasPlain  bool // the signed file tells of the decompressed form too
	request   store.Request
}

// choose finds the Packages files of the wanted components and architectures.
func (s *signedRelease) choose(a Archive) ([]indexFile, error) {
	var files []indexFile
	for _, component := range a.Components {
		for _, arch := range s.indexArches(a.Arches, component) {
			f, err := s.chooseOne(a, component, arch)
			if err != nil {
				return nil, err
			}
			files = append(files, f)
		}
	}
	return files, nil
}

// indexArches adds "all" where the archive keeps such packages apart.
func (s *signedRelease) indexArches(arches []string, component string) []string {
	out := slices.DeleteFunc(slices.Clone(arches), func(a string) bool { return a == "all" })
	if !s.noAll && slices.Contains(s.arches, "all") {
		for _, suffix := range []string{".xz", ".gz", ""} {
			if _, ok := s.files[component+"/binary-all/Packages"+suffix]; ok {
				return append(out, "all")
			}
		}
	}
	return out
}

func (s *signedRelease) chooseOne(a Archive, component, arch string) (indexFile, error) {
	base := component + "/binary-" + arch + "/Packages"
	plain, hasPlain := s.files[base]
	for _, suffix := range []string{".xz", ".gz", ""} {
		file, ok := s.files[base+suffix]
		if !ok {
			continue
		}
		if file.size > maxIndexFile || plain.size > maxIndexFile {
			return indexFile{}, fmt.Errorf("%s is larger than %d bytes", base+suffix, maxIndexFile)
		}
		f := indexFile{component: component, arch: arch, path: base + suffix, plain: plain, hasPlain: hasPlain}
		f.request = store.Request{
			Name: a.Suite + "/" + f.path, Digest: file.digest, Size: file.size, URLs: s.urls(a, f.path, file.digest),
		}
		return f, nil
	}
	return indexFile{}, fmt.Errorf("it has no packages of component %s for %s (architectures: %s)", component, arch, strings.Join(s.arches, " "))
}

// urls tries the mirror that gave the signed file first. By-hash names change
// with the content, so they fit the signed file while a mirror is updated.
func (s *signedRelease) urls(a Archive, file string, d digest.Digest) []string {
	mirrors := []string{s.mirror}
	for _, m := range a.Mirrors {
		if m != s.mirror {
			mirrors = append(mirrors, m)
		}
	}
	var urls []string
	for _, m := range mirrors {
		base := suiteURL(m, a.Suite) + "/"
		if s.byHash {
			urls = append(urls, base+path.Dir(file)+"/by-hash/SHA256/"+d.String())
		}
		urls = append(urls, base+file)
	}
	return urls
}

// parse reads the file out of the store, checking its decompressed form.
func (f *indexFile) parse(st *store.Store, s *signedRelease, a Archive) (packages []*pkginfo.Package, err error) {
	r, err := st.Blob(f.request.Digest).Open()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	limit := int64(maxIndexFile)
	if f.hasPlain {
		limit = f.plain.size
	}
	plain, err := decompress(path.Ext(f.path), r)
	if err != nil {
		return nil, fmt.Errorf("unpack: %w", err)
	}
	checked := newChecked(plain, limit)
	origin := &pkginfo.Origin{
		Archive: a.Name, Suite: a.Suite, Codename: s.codename, Label: s.label, Component: f.component,
		Mirrors: a.Mirrors, Priority: a.Priority, Date: s.date,
	}
	packages, err = ParsePackages(checked, f.arch, origin)
	if err != nil {
		return nil, err
	}
	if f.hasPlain {
		return packages, checked.matches(f.plain)
	}
	return packages, nil
}

func decompress(suffix string, r io.Reader) (io.Reader, error) {
	in := bufio.NewReaderSize(r, 64<<10)
	switch suffix {
	case ".xz":
		return xz.NewReader(in, 64<<20) // dictionary of xz -9, in bytes
	case ".gz":
		return gzip.NewReader(in)
	}
	return in, nil
}
