// Package attest writes what lies beside a build's images and says what they
// are: lists of their packages, a bill of materials, a record of the build.
//
// Every paper is a pure function of Input: no clock, no host, no order of maps
// reaches a byte. Which paper speaks of which files is one row of writers:
//
//	images, disk, manifest.json ← packages.json, packages.manifest ← sbom.spdx.json ← build.intoto.json ← SHA256SUMS
//
// Each covers all to its left. Nothing is signed here: a signature belongs to
// a release.
package attest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"ashlar/internal/builder/lock"
	"ashlar/internal/contract/imageinfo"
	"ashlar/internal/foundation/digest"
)

// The papers' names beside the images.
const (
	PackagesFile = "packages.json"
	ManifestFile = "packages.manifest" // name, version, architecture: a line each, as images of distributions have it
	SBOMFile     = "sbom.spdx.json"
	RecordFile   = "build.intoto.json"
)

// The parts of an image that packages go to.
const (
	PartRoot   = "root"   // installed and configured in the root image
	PartKernel = "kernel" // unpacked: kernel, modules, initramfs
	PartBoot   = "boot"   // unpacked: loaders on the disk
)

// Input is all that the papers say.
type Input struct {
	Manifest  imageinfo.Manifest
	Files     []imageinfo.File // that are described, sorted by name
	Packages  []Package
	Distro    string // "debian", "ubuntu": the packages' name space
	Suite     string // of the definition: "trixie"
	Device    Program
	Builder   Program
	Lock      Locked
	Releases  []lock.Release
	Targets   []string
	InputKeys map[string]digest.Digest // of all that reaches the images, by the names that --explain uses
}

// Locked is the text that a build was made from.
type Locked struct {
	Definition digest.Digest // of ashlar.toml
	Lock       digest.Digest // of ashlar.lock
}

// Package is a locked package whose files are in the images.
type Package struct {
	lock.Package
	Part string // PartRoot, PartKernel, PartBoot
	URL  string // where the first mirror of the lock has it
	Own  bool   // from an archive of the distribution itself, not one that a definition added
	Facts
}

// Program is a program of ashlar's own.
type Program struct {
	Name    string
	Version string
	Digest  digest.Digest
	Go      string   // version of the compiler and the standard library, "1.26.1"
	Modules []Module // that are linked into it, sorted by path
}

// Module is a Go module.
type Module struct{ Path, Version string }

// Paper is a finished file.
type Paper struct {
	Name string
	Data []byte
}

// Papers writes all, in the order in which they were written: each may speak
// of those before it.
func Papers(in Input) ([]Paper, error) {
	slices.SortStableFunc(in.Packages, comparePackages)
	var papers []Paper
	for _, p := range []struct {
		name  string
		write func(Input) ([]byte, error)
	}{
		{PackagesFile, packagesJSON},
		{ManifestFile, packagesText},
		{SBOMFile, sbom},
		{RecordFile, record},
	} {
		data, err := p.write(in)
		if err != nil {
			return nil, fmt.Errorf("write %s: %w", p.name, err)
		}
		papers = append(papers, Paper{p.name, data})
		in.Files = append(slices.Clone(in.Files), imageinfo.File{Name: p.name, Size: int64(len(data)), Digest: digest.Of(data)})
		slices.SortFunc(in.Files, func(a, b imageinfo.File) int { return strings.Compare(a.Name, b.Name) })
	}
	return papers, nil
}

// comparePackages orders by part, as images are put together, then by name.
func comparePackages(a, b Package) int {
	parts := []string{PartRoot, PartKernel, PartBoot}
	if a.Part != b.Part {
		return slices.Index(parts, a.Part) - slices.Index(parts, b.Part)
	}
	return strings.Compare(a.Name+":"+a.Arch, b.Name+":"+b.Arch)
}

// marshal is JSON as people read it.
func marshal(v any) ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetIndent("", "\t")
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return out.Bytes(), err
}
