package attest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"ashlar/internal/contract/layout"
	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/uuid"
)

// The types of the bill of materials: SPDX 2.3 in JSON (spdx.github.io/
// spdx-spec/v2.3, clauses 6 to 11). Files of packages are not listed: the form
// wants their SHA-1.
type spdxDocument struct {
	SPDXVersion       string             `json:"spdxVersion"`
	DataLicense       string             `json:"dataLicense"`
	SPDXID            string             `json:"SPDXID"`
	Name              string             `json:"name"`
	DocumentNamespace string             `json:"documentNamespace"`
	CreationInfo      spdxCreation       `json:"creationInfo"`
	Packages          []spdxPackage      `json:"packages"`
	Licenses          []spdxLicense      `json:"hasExtractedLicensingInfos,omitempty"`
	Relationships     []spdxRelationship `json:"relationships"`
}

type spdxCreation struct {
	Created  string   `json:"created"`
	Creators []string `json:"creators"`
	Comment  string   `json:"comment"`
}

type spdxPackage struct {
	SPDXID           string         `json:"SPDXID"`
	Name             string         `json:"name"`
	Version          string         `json:"versionInfo,omitempty"`
	FileName         string         `json:"packageFileName,omitempty"`
	Purpose          string         `json:"primaryPackagePurpose,omitempty"`
	Supplier         string         `json:"supplier"`
	Originator       string         `json:"originator,omitempty"`
	DownloadLocation string         `json:"downloadLocation"`
	FilesAnalyzed    bool           `json:"filesAnalyzed"`
	Checksums        []spdxChecksum `json:"checksums,omitempty"`
	Homepage         string         `json:"homepage,omitempty"`
	SourceInfo       string         `json:"sourceInfo,omitempty"`
	LicenseConcluded string         `json:"licenseConcluded"`
	LicenseDeclared  string         `json:"licenseDeclared"`
	Copyright        string         `json:"copyrightText"`
	Summary          string         `json:"summary,omitempty"`
	ExternalRefs     []spdxRef      `json:"externalRefs,omitempty"`
}

type spdxChecksum struct {
	Algorithm string        `json:"algorithm"`
	Value     digest.Digest `json:"checksumValue"`
}

type spdxRef struct {
	Category string `json:"referenceCategory"`
	Type     string `json:"referenceType"`
	Locator  string `json:"referenceLocator"`
}

type spdxLicense struct {
	ID   string `json:"licenseId"`
	Text string `json:"extractedText"`
	Name string `json:"name"`
}

type spdxRelationship struct {
	Element string `json:"spdxElementId"`
	Type    string `json:"relationshipType"`
	Related string `json:"relatedSpdxElement"`
}

const (
	noAssertion = "NOASSERTION"
	documentID  = "SPDXRef-DOCUMENT"
	imageID     = "SPDXRef-Image"
)

// bill is a document in the making.
type bill struct {
	in       Input
	doc      spdxDocument
	ids      map[string]bool
	licenses map[string]string
}

func sbom(in Input) ([]byte, error) {
	b := bill{in: in, ids: map[string]bool{}, licenses: map[string]string{}}
	b.doc = spdxDocument{
		SPDXVersion: "SPDX-2.3", DataLicense: "CC0-1.0", SPDXID: documentID, Name: in.Manifest.Name + "-" + in.Manifest.Arch,
		DocumentNamespace: "urn:uuid:" + namespace(in).String(),
		CreationInfo: spdxCreation{
			Created: time.Unix(in.Manifest.Epoch, 0).UTC().Format(time.RFC3339), Creators: []string{"Tool: ashlar-" + in.Builder.Version},
			Comment: "The time is the bound of all times in the image, not that of a run: the same inputs give the same document.",
		},
	}
	b.image()
	files := b.files()
	for _, p := range in.Packages {
		b.pkg(p, files)
	}
	b.device(files[PartRoot])
	for _, id := range slices.Sorted(maps.Keys(b.licenses)) {
		b.doc.Licenses = append(b.doc.Licenses, spdxLicense{id, b.licenses[id], strings.TrimPrefix(id, "LicenseRef-")})
	}
	return marshal(b.doc)
}

// namespace is derived from all that the document speaks of.
func namespace(in Input) uuid.UUID {
	parts := []string{"spdx", in.Manifest.Name, in.Manifest.Arch, in.Builder.Digest.String()}
	for _, f := range in.Files {
		parts = append(parts, f.Name, f.Digest.String())
	}
	return uuid.Derive(parts...)
}

func (b *bill) relate(element, kind, related string) {
	b.doc.Relationships = append(b.doc.Relationships, spdxRelationship{element, kind, related})
}

// id gives a name that no other element has: letters, digits, dots, dashes.
func (b *bill) id(parts ...string) string {
	id := "SPDXRef-" + unsafeInRef.ReplaceAllString(strings.Join(parts, "-"), "-")
	for n := 2; b.ids[id]; n++ {
		id = fmt.Sprintf("SPDXRef-%s-%d", unsafeInRef.ReplaceAllString(strings.Join(parts, "-"), "-"), n)
	}
	b.ids[id] = true
	return id
}

// add puts in a package with what all have in common.
func (b *bill) add(p spdxPackage) string {
	for _, field := range []*string{&p.Supplier, &p.DownloadLocation, &p.LicenseConcluded, &p.LicenseDeclared, &p.Copyright} {
		if *field == "" {
			*field = noAssertion
		}
	}
	b.doc.Packages = append(b.doc.Packages, p)
	return p.SPDXID
}

func (b *bill) image() {
	m := b.in.Manifest
	b.add(spdxPackage{
		SPDXID: imageID, Name: m.Name, Version: m.Lock, Purpose: "OPERATING-SYSTEM",
		Summary: fmt.Sprintf("Image of the machine %s for %s, init %s; its version is the digest of its lock.", m.Name, m.Arch, m.Init),
	})
	b.relate(documentID, "DESCRIBES", imageID)
}

// files adds the artefacts and gives, for each part of the image, the element
// that contains its packages: those of the root are in the root image, whatever
// its format; those of the kernel and the loaders are in several files.
func (b *bill) files() map[string]string {
	parts := map[string]string{PartRoot: imageID, PartKernel: imageID, PartBoot: imageID}
	for _, f := range b.in.Files {
		id := b.add(spdxPackage{
			SPDXID: b.id("File", f.Name), Name: f.Name, FileName: "./" + f.Name, Purpose: "FILE", Checksums: []spdxChecksum{{"SHA256", f.Digest}},
		})
		b.relate(imageID, "CONTAINS", id)
		if f.Name == layout.GenRoot {
			parts[PartRoot] = id
		}
	}
	return parts
}

// pkg adds a package to what contains it.
func (b *bill) pkg(p Package, parts map[string]string) {
	for ref, text := range p.Texts {
		b.licenses[ref] = text
	}
	id := b.add(spdxPackage{
		SPDXID: b.id("Package", p.Part, p.Name, p.Arch), Name: p.Name, Version: p.Version, Supplier: "Organization: " + p.Archive,
		Originator: originator(p.Maintainer), DownloadLocation: p.URL, Checksums: []spdxChecksum{{"SHA256", p.Digest}},
		Homepage: webAddress(p.Homepage), SourceInfo: fmt.Sprintf("built from source package %s %s", p.source(), p.sourceVersion()),
		LicenseDeclared: p.License, Summary: p.Summary,
		ExternalRefs: []spdxRef{{"PACKAGE-MANAGER", "purl", b.in.purl(p)}, {"PACKAGE-MANAGER", "purl", b.in.sourcePURL(p)}},
	})
	b.relate(parts[p.Part], "CONTAINS", id)
}

// device adds our program on the machine and the modules linked into it.
func (b *bill) device(root string) {
	d := b.in.Device
	if d.Digest.IsZero() {
		return
	}
	id := b.add(spdxPackage{
		SPDXID: b.id("Program", d.Name), Name: d.Name, Version: d.Version, Purpose: "APPLICATION",
		Checksums: []spdxChecksum{{"SHA256", d.Digest}}, ExternalRefs: []spdxRef{{"PACKAGE-MANAGER", "purl", d.purl()}},
	})
	b.relate(root, "CONTAINS", id)
	modules := slices.Clone(d.Modules)
	if d.Go != "" {
		modules = append([]Module{{"stdlib", d.Go}}, modules...) // as vulnerability databases call it
	}
	for _, m := range modules {
		module := b.add(spdxPackage{
			SPDXID: b.id("Go", m.Path), Name: m.Path, Version: m.Version, Purpose: "LIBRARY",
			ExternalRefs: []spdxRef{{"PACKAGE-MANAGER", "purl", m.purl()}},
		})
		b.relate(id, "STATIC_LINK", module)
	}
}

// originator is a maintainer in SPDX's form: "Organization: NAME (ADDRESS)".
func originator(maintainer string) string {
	if maintainer == "" {
		return ""
	}
	name, address, ok := strings.Cut(maintainer, "<")
	name = strings.TrimSpace(name)
	if !ok || name == "" {
		return "Organization: " + maintainer
	}
	return fmt.Sprintf("Organization: %s (%s)", name, strings.TrimSuffix(strings.TrimSpace(address), ">"))
}

// webAddress leaves out what is none.
func webAddress(text string) string {
	if strings.HasPrefix(text, "http://") || strings.HasPrefix(text, "https://") {
		return text
	}
	return ""
}
