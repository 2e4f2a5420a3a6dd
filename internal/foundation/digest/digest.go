// Package digest names content by its SHA-256.
//
// The text form is 64 lower-case hexadecimal digits, as in SHA256SUMS and in
// Debian's Packages files; there is no algorithm prefix.
package digest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
)

// Digest is a SHA-256 sum. The zero value means "none".
type Digest [sha256.Size]byte

// Of returns the digest of data.
func Of(data []byte) Digest { return sha256.Sum256(data) }

// Copy copies r to w and returns the digest and the number of bytes copied.
func Copy(w io.Writer, r io.Reader) (Digest, int64, error) {
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(w, h), r)
	if err != nil {
		return Digest{}, n, err
	}
	return Digest(h.Sum(nil)), n, nil
}

// Reader returns the digest of all that r gives.
func Reader(r io.Reader) (Digest, int64, error) { return Copy(io.Discard, r) }

// Parse reads the text form.
func Parse(text string) (Digest, error) {
	var d Digest
	if len(text) != 2*len(d) {
		return d, fmt.Errorf("parse digest %.80q: want %d hexadecimal digits, got %d characters", text, 2*len(d), len(text))
	}
	if _, err := hex.Decode(d[:], []byte(text)); err != nil {
		return Digest{}, fmt.Errorf("parse digest %q: %w", text, err)
	}
	return d, nil
}

// IsZero reports whether d is the zero value.
func (d Digest) IsZero() bool { return d == Digest{} }

// String gives the text form.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// MarshalText implements encoding.TextMarshaler; the zero digest is "".
func (d Digest) MarshalText() ([]byte, error) {
	if d.IsZero() {
		return nil, nil
	}
	return []byte(d.String()), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Digest) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*d = Digest{}
		return nil
	}
	parsed, err := Parse(string(text))
	if err != nil {
		return err
	}
	*d = parsed
	return nil
}
