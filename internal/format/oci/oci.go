// Package oci writes and reads images of containers as the Open Container
// Initiative lays them out (image-spec 1.1): an image layout is a directory
// with "oci-layout", "index.json" and "blobs/sha256/DIGEST"; the same names in
// one tar archive are an image archive. A layer is a tar of files, compressed;
// an image's config lists the digests of the layers uncompressed (DiffIDs), its
// manifest those of the blobs.
//
// Written is one image of one platform, with gzip or zstd layers and, in
// archives, a "manifest.json" beside, which older programs load. Read are images
// of the same parts, from a directory or an archive, with whiteouts, several platforms
// and nested indexes. Blobs are checked against their digests.
//
// Left out: referrers, encrypted and foreign layers, digests other than SHA-256.
package oci

import (
	"fmt"
	"strings"
	"time"

	"ashlar/internal/foundation/digest"
)

// Media types of image-spec, and Docker's for the same parts.
const (
	MediaIndex     = "application/vnd.oci.image.index.v1+json"
	MediaManifest  = "application/vnd.oci.image.manifest.v1+json"
	MediaConfig    = "application/vnd.oci.image.config.v1+json"
	MediaLayer     = "application/vnd.oci.image.layer.v1.tar"
	MediaLayerGzip = "application/vnd.oci.image.layer.v1.tar+gzip"
	MediaLayerZstd = "application/vnd.oci.image.layer.v1.tar+zstd"

	dockerIndex    = "application/vnd.docker.distribution.manifest.list.v2+json"
	dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	dockerLayer    = "application/vnd.docker.image.rootfs.diff.tar.gzip"
)

// Names in a layout.
const (
	layoutFile   = "oci-layout"
	indexFile    = "index.json"
	blobDir      = "blobs/sha256"
	dockerFile   = "manifest.json"
	layoutText   = `{"imageLayoutVersion":"1.0.0"}` + "\n"
	digestPrefix = "sha256:"
)

// annotationRef names an image in an index.
const annotationRef = "org.opencontainers.image.ref.name"

// Descriptor points to a blob.
type Descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"` // "sha256:" and 64 digits
	Size        int64             `json:"size"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Platform    *Platform         `json:"platform,omitempty"`
}

// Sum gives the digest of the blob.
func (d Descriptor) Sum() (digest.Digest, error) {
	hex, ok := strings.CutPrefix(d.Digest, digestPrefix)
	if !ok {
		return digest.Digest{}, fmt.Errorf("digest %.80q: only SHA-256 is known", d.Digest)
	}
	return digest.Parse(hex)
}

// Platform is what an image runs on; the words are Go's.
type Platform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
	Variant      string `json:"variant,omitempty"`
}

// Index lists manifests.
type Index struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType,omitempty"`
	Manifests     []Descriptor      `json:"manifests"`
	Annotations   map[string]string `json:"annotations,omitempty"`
}

// Manifest is one image for one platform.
type Manifest struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType,omitempty"`
	Config        Descriptor        `json:"config"`
	Layers        []Descriptor      `json:"layers"`
	Annotations   map[string]string `json:"annotations,omitempty"`
}

// Config is what an image says of itself and how it is run.
type Config struct {
	Created string `json:"created,omitempty"` // RFC 3339; see Created
	Author  string `json:"author,omitempty"`
	Platform
	Config  Run       `json:"config"`
	RootFS  RootFS    `json:"rootfs"`
	History []History `json:"history,omitempty"`
}

// Run is how a container of the image is run.
type Run struct {
	User         string              `json:"User,omitempty"`
	ExposedPorts map[string]struct{} `json:"ExposedPorts,omitempty"` // "80/tcp"
	Env          []string            `json:"Env,omitempty"`
	Entrypoint   []string            `json:"Entrypoint,omitempty"`
	Cmd          []string            `json:"Cmd,omitempty"`
	Volumes      map[string]struct{} `json:"Volumes,omitempty"`
	WorkingDir   string              `json:"WorkingDir,omitempty"`
	Labels       map[string]string   `json:"Labels,omitempty"`
	StopSignal   string              `json:"StopSignal,omitempty"`
}

// RootFS lists the layers, the lowest first.
type RootFS struct {
	Type    string   `json:"type"` // "layers"
	DiffIDs []string `json:"diff_ids"`
}

// History says how a layer came to be.
type History struct {
	Created   string `json:"created,omitempty"`
	CreatedBy string `json:"created_by,omitempty"`
	Comment   string `json:"comment,omitempty"`
}

// Created is a time, in seconds since 1970, as configs and annotations write it.
func Created(epoch int64) string { return time.Unix(epoch, 0).UTC().Format(time.RFC3339) }

// text is a digest as descriptors write it.
func text(d digest.Digest) string { return digestPrefix + d.String() }
