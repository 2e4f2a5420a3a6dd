package deb

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"io"

	"ashlar/internal/foundation/digest"
)

// checkedReader counts and hashes what passes and fails past a limit.
type checkedReader struct {
	r     io.Reader
	h     hash.Hash
	n     int64
	limit int64
}

func newChecked(r io.Reader, limit int64) *checkedReader {
	return &checkedReader{r: r, h: sha256.New(), limit: limit}
}

func (c *checkedReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if c.n > c.limit {
		return 0, fmt.Errorf("unpacks to more than %d bytes", c.limit)
	}
	c.h.Write(p[:n])
	return n, err
}

func (c *checkedReader) digest() digest.Digest { return digest.Digest(c.h.Sum(nil)) }

// matches compares what passed, all of it, with what was promised.
func (c *checkedReader) matches(f releaseFile) error {
	if c.n != f.size {
		return fmt.Errorf("unpacks to %d bytes, want %d", c.n, f.size)
	}
	if d := c.digest(); d != f.digest {
		return fmt.Errorf("unpacks to the SHA-256 %s, want %s", d, f.digest)
	}
	return nil
}
