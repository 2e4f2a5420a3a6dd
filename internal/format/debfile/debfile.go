// Package debfile reads binary packages (.deb, deb(5)) as a stream: an ar file
// of debian-binary, control.tar.* and data.tar.*, the tars compressed with
// gzip, xz, zstd, bzip2 or not at all.
//
// Vocabulary: control members are the files of control.tar (control, postinst,
// conffiles, …); entries are what data.tar would put on the disk.
//
// Paths are cleaned and those that would leave the root are refused. Extended
// attributes, sparse files and other things that dpkg does not take are not
// taken either.
package debfile

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"strings"

	"ashlar/internal/format/ar"
	"ashlar/internal/foundation/tree"
)

// Entry is one path of a package's data, with its owners by name and number.
type Entry struct {
	tree.Entry
	User  string // may be empty
	Group string // may be empty
}

// Limits of what is taken. The zero value of a field means its default.
type Limits struct {
	ControlBytes   int64 // of all control members; default 64 MiB
	ControlMembers int   // default 1024
	DataBytes      int64 // of data.tar, decompressed; default 32 GiB
	Entries        int   // of data.tar; default 1,000,000
}

func (l Limits) orDefault() Limits {
	if l.ControlBytes <= 0 {
		l.ControlBytes = 64 << 20
	}
	if l.ControlMembers <= 0 {
		l.ControlMembers = 1024
	}
	if l.DataBytes <= 0 {
		l.DataBytes = 32 << 30
	}
	if l.Entries <= 0 {
		l.Entries = 1_000_000
	}
	return l
}

// Visitor takes what a package holds, control members first. A nil function
// passes over its part; when Entry is nil, the data is not even decompressed.
type Visitor struct {
	// Control gets each control member as a whole.
	Control func(name string, data []byte) error
	// Entry gets each entry in the order of the tar, with content for a
	// regular file. Digest and Source are not set. A hard link's Target is
	// the path of a regular file that came before.
	Entry func(e Entry, content io.Reader) error
}

// Read reads the package from r to the end of data.tar. name is the package's
// name in errors.
func Read(name string, r io.Reader, limits Limits, visit Visitor) error {
	p := &reader{limits: limits.orDefault(), visit: visit}
	if err := p.read(r); err != nil {
		return fmt.Errorf("read package %s: %w", name, err)
	}
	return nil
}

type reader struct {
	ar     *ar.Reader
	limits Limits
	visit  Visitor
}

func (p *reader) read(r io.Reader) (err error) {
	p.ar, err = ar.NewReader(r)
	if err != nil {
		return fmt.Errorf("not a Debian package: %w", err)
	}
	if err := p.binary(); err != nil {
		return err
	}
	if err := p.archive("control.tar", p.control); err != nil {
		return err
	}
	if p.visit.Entry == nil {
		return nil
	}
	return p.archive("data.tar", p.data)
}

// binary reads the member that tells the format's version.
func (p *reader) binary() error {
	h, err := p.next("debian-binary")
	if err != nil {
		return err
	}
	if h.Name != "debian-binary" {
		return fmt.Errorf("first member is %s, want debian-binary", h.Name)
	}
	text, err := io.ReadAll(io.LimitReader(p.ar, 100))
	if err != nil {
		return fmt.Errorf("member debian-binary: %w", err)
	}
	if !strings.HasPrefix(string(text), "2.") || !strings.Contains(string(text), "\n") {
		return fmt.Errorf("member debian-binary: format %.20q, want 2.0", text)
	}
	return nil
}

// next gives the next member that counts: names that begin with '_' are
// reserved for additions that a reader may pass over.
func (p *reader) next(want string) (*ar.Header, error) {
	for {
		h, err := p.ar.Next()
		if err == io.EOF {
			return nil, fmt.Errorf("member %s: missing", want)
		}
		if err != nil || !strings.HasPrefix(h.Name, "_") {
			return h, err
		}
	}
}

// archive reads a tar member to its end, so that the checksums of its
// compression are checked too.
func (p *reader) archive(want string, visit func(*tar.Reader) error) error {
	h, err := p.next(want)
	if err != nil {
		return err
	}
	suffix, found := strings.CutPrefix(h.Name, want)
	if !found {
		return fmt.Errorf("member %s stands where %s is expected", h.Name, want)
	}
	wrap := func(err error) error { return fmt.Errorf("member %s: %w", h.Name, err) }
	plain, closeIt, err := decompress(suffix, p.ar)
	if err != nil {
		return wrap(err)
	}
	defer closeIt()
	limit := p.limits.DataBytes
	if want == "control.tar" {
		limit = p.limits.ControlBytes
	}
	bounded := &boundedReader{r: plain, left: limit, limit: limit}
	if err := visit(tar.NewReader(bounded)); err != nil {
		return wrap(err)
	}
	if _, err := io.Copy(io.Discard, bounded); err != nil {
		return wrap(err)
	}
	if p.ar.Left() != 0 {
		return wrap(fmt.Errorf("%d bytes follow the compressed data", p.ar.Left()))
	}
	return nil
}

// control reads the members of control.tar, which are plain files of one directory.
func (p *reader) control(t *tar.Reader) error {
	seen := map[string]bool{}
	for {
		h, err := t.Next()
		if err == io.EOF {
			if !seen["control"] {
				return errors.New("it has no file named control")
			}
			return nil
		}
		if err != nil {
			return err
		}
		name, err := cleanName(h.Name)
		if err != nil {
			return err
		}
		if h.Typeflag == tar.TypeDir && name == "." {
			continue
		}
		if h.Typeflag != tar.TypeReg || strings.Contains(name, "/") {
			return fmt.Errorf("entry %q: only plain files belong here", h.Name)
		}
		if seen[name] {
			return fmt.Errorf("entry %q: stands twice", h.Name)
		}
		if len(seen) == p.limits.ControlMembers {
			return fmt.Errorf("more than %d files", p.limits.ControlMembers)
		}
		seen[name] = true
		data, err := io.ReadAll(t)
		if err != nil {
			return fmt.Errorf("entry %q: %w", h.Name, err)
		}
		if p.visit.Control == nil {
			continue
		}
		if err := p.visit.Control(name, data); err != nil {
			return fmt.Errorf("entry %q: %w", h.Name, err)
		}
	}
}

// boundedReader fails, unlike io.LimitReader, when there is more than it may give.
type boundedReader struct {
	r     io.Reader
	left  int64
	limit int64
}

func (b *boundedReader) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.r.Read(p)
	if b.left -= int64(n); b.left < 0 {
		b.left = 0
		return 0, fmt.Errorf("unpacks to more than %d bytes", b.limit)
	}
	return n, err
}
