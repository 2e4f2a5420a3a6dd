package lock

import (
	"net/url"
	"strings"

	"ashlar/internal/foundation/digest"
)

// Download is one file to fetch, and from where, in the order to try.
type Download struct {
	Name   string // of the package, for messages
	Digest digest.Digest
	Size   int64
	URLs   []string
}

// DownloadsOf gives the files of some lists of locked packages, each content
// once. Extra, if not nil, gives further mirrors of an archive, which are tried
// before the locked ones.
func (l *Lock) DownloadsOf(extra func(archive string) []string, lists ...[]Package) []Download {
	mirrors := map[string][]string{}
	var downloads []Download
	seen := map[digest.Digest]bool{}
	for _, list := range lists {
		for _, p := range list {
			if seen[p.Digest] {
				continue
			}
			seen[p.Digest] = true
			if _, known := mirrors[p.Archive]; !known {
				mirrors[p.Archive] = l.mirrors(p.Archive, extra)
			}
			d := Download{Name: p.Name, Digest: p.Digest, Size: p.Size}
			for _, mirror := range mirrors[p.Archive] {
				d.URLs = append(d.URLs, strings.TrimRight(mirror, "/")+"/"+escapePath(p.Path))
			}
			downloads = append(downloads, d)
		}
	}
	return downloads
}

// mirrors gives all mirrors of an archive, each once.
func (l *Lock) mirrors(archive string, extra func(string) []string) []string {
	var all, unique []string
	if extra != nil {
		all = append(all, extra(archive)...)
	}
	for _, r := range l.Releases {
		if r.Archive == archive {
			all = append(all, r.Mirrors...)
		}
	}
	seen := map[string]bool{}
	for _, mirror := range all {
		if !seen[mirror] {
			seen[mirror] = true
			unique = append(unique, mirror)
		}
	}
	return unique
}

func escapePath(name string) string { return (&url.URL{Path: name}).EscapedPath() }
