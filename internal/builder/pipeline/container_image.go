package pipeline

import (
	"bytes"
	"context"
	"os"
	"strings"

	"ashlar/internal/format/oci"
	"ashlar/internal/format/tarball"
)

// isOCI reports whether a file begins as archives of image layouts do: a tar
// header (magic at 257, POSIX ustar) of one of their names.
func isOCI(_ string, head []byte) bool {
	const magicAt, nameSize = 257, 100
	if len(head) < 512 || !bytes.HasPrefix(head[magicAt:], []byte("ustar")) {
		return false
	}
	name, _, _ := strings.Cut(string(head[:nameSize]), "\x00")
	name, _, _ = strings.Cut(strings.TrimPrefix(name, "./"), "/")
	return name == "blobs" || name == "oci-layout" || name == "index.json"
}

// maxImageTree bounds the files of a container image that are looked at, in bytes.
const maxImageTree = 1 << 30

// addOCI puts the layers of an image over each other.
func (i *Image) addOCI(f *os.File, size int64) error {
	if _, err := f.Seek(0, 0); err != nil {
		return err
	}
	layout, err := oci.OpenArchive(f)
	if err != nil {
		return err
	}
	m, _, err := layout.Manifest(nil)
	if err != nil {
		return err
	}
	t, err := layout.Tree(context.Background(), m, tarball.Limits{Bytes: maxImageTree}, oci.InMemory)
	if err != nil {
		return err
	}
	i.addPart("root", "oci", 0, size, t)
	return nil
}
