package attest

import (
	"strings"

	"ashlar/internal/format/deb822"
)

// Facts are what a package says of itself.
type Facts struct {
	Source        string            `json:"source,omitempty"` // "" when it is the package's name
	SourceVersion string            `json:"source_version,omitempty"`
	Maintainer    string            `json:"maintainer,omitempty"`
	Homepage      string            `json:"homepage,omitempty"`
	Summary       string            `json:"summary,omitempty"`
	License       string            `json:"license,omitempty"` // SPDX expression; "" when it is not known
	Like          string            `json:"like,omitempty"`    // package in whose directory below usr/share/doc its copyright file is
	Texts         map[string]string `json:"texts,omitempty"`   // of licences that SPDX has no name for, by LicenseRef
}

// FactsOf reads a package's control file and its copyright file, which may be
// empty. Both are foreign text: what is not understood is left out.
func FactsOf(control *deb822.Paragraph, copyright []byte) Facts {
	f := Facts{Maintainer: control.Get("Maintainer"), Homepage: control.Get("Homepage")}
	f.Summary, _, _ = strings.Cut(control.Get("Description"), "\n")
	name, rest, _ := strings.Cut(control.Get("Source"), " ")
	f.Source = name
	if version, ok := strings.CutPrefix(strings.TrimSpace(rest), "("); ok {
		f.SourceVersion = strings.TrimSpace(strings.TrimSuffix(version, ")"))
	}
	if name == "" {
		name = control.Get("Package")
	}
	f.License, f.Texts = licenses(name, copyright)
	return f
}
