package attest

import (
	"fmt"
	"strings"

	"ashlar/internal/foundation/digest"
)

// packageRow is a package in PackagesFile.
type packageRow struct {
	Name          string        `json:"name"`
	Version       string        `json:"version"`
	Arch          string        `json:"arch"`
	Part          string        `json:"part"`
	Source        string        `json:"source"`
	SourceVersion string        `json:"source_version"`
	License       string        `json:"license,omitempty"` // SPDX expression
	PURL          string        `json:"purl"`
	URL           string        `json:"url"`
	Size          int64         `json:"size"` // of the .deb
	Digest        digest.Digest `json:"sha256"`
}

func packagesJSON(in Input) ([]byte, error) {
	list := struct {
		Version  int          `json:"version"`
		Name     string       `json:"name"`
		Arch     string       `json:"arch"`
		Packages []packageRow `json:"packages"`
	}{1, in.Manifest.Name, in.Manifest.Arch, []packageRow{}}
	for _, p := range in.Packages {
		list.Packages = append(list.Packages, packageRow{
			p.Name, p.Version, p.Arch, p.Part, p.source(), p.sourceVersion(), p.License, in.purl(p), p.URL, p.Size, p.Digest,
		})
	}
	return marshal(list)
}

// packagesText lists every package once, though two parts have it.
func packagesText(in Input) ([]byte, error) {
	var lines []string
	seen := map[string]bool{}
	for _, p := range in.Packages {
		line := fmt.Sprintf("%s\t%s\t%s\n", p.Name, p.Version, p.Arch)
		if !seen[line] {
			seen[line] = true
			lines = append(lines, line)
		}
	}
	return []byte(strings.Join(lines, "")), nil
}

// source is the name of the source package; packages that name none have
// their own.
func (p *Package) source() string {
	if p.Source == "" {
		return p.Name
	}
	return p.Source
}

func (p *Package) sourceVersion() string {
	if p.SourceVersion == "" {
		return p.Version
	}
	return p.SourceVersion
}
