// Package imageinfo describes a built image: the manifest that lies beside the
// artefacts and in each generation.
package imageinfo

import "ashlar/internal/foundation/digest"

// Version of the manifest's JSON form.
const Version = 1

// Manifest is layout.GenManifest: a generation's description.
type Manifest struct {
	Version  int       `json:"version"`
	Name     string    `json:"name"`
	Arch     string    `json:"arch"`
	Lock     string    `json:"lock"`   // digest of the lock file's bytes
	Epoch    int64     `json:"epoch"`  // seconds; upper bound of all times in the image
	Kernel   string    `json:"kernel"` // release, as uname -r says
	Cmdline  string    `json:"cmdline"`
	Init     string    `json:"init"`
	Tool     string    `json:"tool"`    // version of ashlar
	Encoder  string    `json:"encoder"` // layout and compressor of the images, with their versions, and level
	Format   string    `json:"format"`  // of the images: "squashfs" or "erofs"
	Verity   []Verity  `json:"verity,omitempty"`
	Files    []File    `json:"files"` // of the generation, sorted by name, without the manifest
	Packages []Package `json:"packages"`
}

// File is a part of a generation.
type File struct {
	Name   string        `json:"name"`
	Size   int64         `json:"size"`
	Digest digest.Digest `json:"sha256"`
}

// Verity tells of an image that ends with a hash tree of dm-verity: its superblock
// stands behind the image's own blocks.
type Verity struct {
	Name   string        `json:"name"`   // among Files
	Blocks int64         `json:"blocks"` // of 4096 bytes, without the tree
	Salt   string        `json:"salt"`   // hexadecimal
	Root   digest.Digest `json:"root"`   // the digest that all of it hangs on
}

// Package is one installed package.
type Package struct {
	Name    string        `json:"name"`
	Version string        `json:"version"`
	Arch    string        `json:"arch"`
	Source  string        `json:"source,omitempty"`
	Digest  digest.Digest `json:"sha256"`
	Bytes   int64         `json:"bytes"` // of its files in the root image, before compression
}
