package oci

import (
	"crypto/sha256"
	"hash"
	"io"

	"ashlar/internal/foundation/digest"
)

// summer counts and digests what passes through it to w.
type summer struct {
	w io.Writer
	h hash.Hash
	n int64
}

func newSummer(w io.Writer) *summer { return &summer{w: w, h: sha256.New()} }

// Write implements io.Writer.
func (s *summer) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	s.h.Write(p[:n])
	s.n += int64(n)
	return n, err
}

func (s *summer) sum() digest.Digest { return digest.Digest(s.h.Sum(nil)) }
