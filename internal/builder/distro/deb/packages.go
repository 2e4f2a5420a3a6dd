package deb

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"ashlar/internal/builder/distro/deb/pkginfo"
	"ashlar/internal/format/deb822"
	"ashlar/internal/foundation/digest"
)

// packageFields is what a pkginfo.Package is made of. Version and the relation
// fields are kept as they stand.
var packageFields = map[string]func(*pkginfo.Package, string) error{
	"package": func(p *pkginfo.Package, v string) error {
		p.Name = v
		return checkWord(v, "abcdefghijklmnopqrstuvwxyz0123456789+-.")
	},
	"version": func(p *pkginfo.Package, v string) error { p.Version = v; return checkVersion(v) },
	"architecture": func(p *pkginfo.Package, v string) error {
		p.Arch = v
		return checkWord(v, "abcdefghijklmnopqrstuvwxyz0123456789-")
	},
	"source":         func(p *pkginfo.Package, v string) error { p.Source, _, _ = strings.Cut(v, " "); return nil },
	"pre-depends":    func(p *pkginfo.Package, v string) error { p.PreDepends = v; return nil },
	"depends":        func(p *pkginfo.Package, v string) error { p.Depends = v; return nil },
	"recommends":     func(p *pkginfo.Package, v string) error { p.Recommends = v; return nil },
	"suggests":       func(p *pkginfo.Package, v string) error { p.Suggests = v; return nil },
	"enhances":       func(p *pkginfo.Package, v string) error { p.Enhances = v; return nil },
	"conflicts":      func(p *pkginfo.Package, v string) error { p.Conflicts = v; return nil },
	"breaks":         func(p *pkginfo.Package, v string) error { p.Breaks = v; return nil },
	"replaces":       func(p *pkginfo.Package, v string) error { p.Replaces = v; return nil },
	"provides":       func(p *pkginfo.Package, v string) error { p.Provides = v; return nil },
	"essential":      func(p *pkginfo.Package, v string) error { p.Essential = v == "yes"; return nil },
	"important":      func(p *pkginfo.Package, v string) error { p.Important = p.Important || v == "yes"; return nil },
	"protected":      func(p *pkginfo.Package, v string) error { p.Important = p.Important || v == "yes"; return nil },
	"priority":       func(p *pkginfo.Package, v string) error { p.Priority = v; return nil },
	"section":        func(p *pkginfo.Package, v string) error { p.Section = v; return nil },
	"multi-arch":     func(p *pkginfo.Package, v string) error { p.MultiArch = v; return nil },
	"installed-size": func(p *pkginfo.Package, v string) (err error) { p.InstalledSize, err = natural(v); return err },
	"filename": func(p *pkginfo.Package, v string) error {
		p.Filename = strings.TrimPrefix(v, "./")
		return checkPath(v)
	},
	"size":   func(p *pkginfo.Package, v string) (err error) { p.Size, err = natural(v); return err },
	"sha256": func(p *pkginfo.Package, v string) (err error) { p.Digest, err = digest.Parse(v); return err },
}

// ParsePackages reads a Packages index and gives the packages for the
// architecture and for "all", in their order.
func ParsePackages(r io.Reader, arch string, origin *pkginfo.Origin) ([]*pkginfo.Package, error) {
	in := deb822.NewReader(r, deb822.Limits{})
	names := make([]string, 0, len(packageFields))
	for name := range packageFields {
		names = append(names, name)
	}
	in.Keep(names...)
	var all []*pkginfo.Package
	for {
		stanza, err := in.Next()
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		p, err := parsePackage(stanza, in.Line())
		if err != nil {
			return nil, err
		}
		if p.Arch == arch || p.Arch == "all" {
			p.Origin = origin
			all = append(all, p)
		}
	}
}

func parsePackage(stanza *deb822.Paragraph, end int) (*pkginfo.Package, error) {
	p := &pkginfo.Package{}
	for _, f := range stanza.Fields {
		value := f.Value
		if strings.Contains(value, "\n") {
			value = strings.ReplaceAll(value, "\n", " ") // relations may be folded
		}
		if err := packageFields[strings.ToLower(f.Name)](p, value); err != nil {
			return nil, fmt.Errorf("line %d: package %s: field %s: %w", f.Line, p.Name, f.Name, err)
		}
	}
	missing := ""
	switch {
	case p.Name == "":
		missing = "Package"
	case p.Version == "":
		missing = "Version"
	case p.Arch == "":
		missing = "Architecture"
	case p.Filename == "":
		missing = "Filename"
	case p.Digest.IsZero():
		missing = "SHA256"
	case p.Size == 0:
		missing = "Size"
	}
	if missing != "" {
		return nil, fmt.Errorf("line %d: package %s: field %s: missing", end, p.Name, missing)
	}
	if p.Source == "" {
		p.Source = p.Name
	}
	return p, nil
}

func natural(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%.40q is not a natural number", text)
	}
	return n, nil
}

// checkWord takes names made of the characters that begin with a letter or digit.
func checkWord(text, chars string) error {
	ok := text != "" && len(text) < 250 && !strings.ContainsAny(text[:1], "+-.")
	for i := 0; ok && i < len(text); i++ {
		ok = strings.IndexByte(chars, text[i]) >= 0
	}
	if !ok {
		return fmt.Errorf("%.80q is not a name", text)
	}
	return nil
}

func checkVersion(text string) error {
	ok := text != "" && len(text) < 250
	for i := 0; ok && i < len(text); i++ {
		c := text[i]
		ok = c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || strings.IndexByte(".+-:~", c) >= 0
	}
	if !ok {
		return fmt.Errorf("%.80q is not a version", text)
	}
	return nil
}
