// Package uuid holds 16-byte identifiers that are derived, never drawn: the
// same parts give the same UUID on every machine.
//
// The text form is RFC 9562's, lower case. In memory and in Bytes the order is
// the text's (big-endian); GPT and other EFI structures store the first three
// fields little-endian: see MixedEndian.
package uuid

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// UUID is an identifier in text order. The zero value means "none".
type UUID [16]byte

// Derive hashes the parts, each with its length before it, with SHA-256 and
// gives the first 16 bytes as a version 8 UUID (RFC 9562, section 5.8).
func Derive(parts ...string) UUID {
	h := sha256.New()
	for _, part := range parts {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		h.Write(length[:])
		h.Write([]byte(part))
	}
	var u UUID
	copy(u[:], h.Sum(nil))
	u[6] = u[6]&0x0f | 0x80
	u[8] = u[8]&0x3f | 0x80
	return u
}

// Parse reads the text form, in either case.
func Parse(text string) (UUID, error) {
	var u UUID
	if len(text) != 36 || text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-' {
		return u, fmt.Errorf("parse UUID %.40q: want the form xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", text)
	}
	digits := text[:8] + text[9:13] + text[14:18] + text[19:23] + text[24:]
	if _, err := hex.Decode(u[:], []byte(digits)); err != nil {
		return UUID{}, fmt.Errorf("parse UUID %q: %w", text, err)
	}
	return u, nil
}

// MustParse is Parse for constants of the program; it panics on a bad one.
func MustParse(text string) UUID {
	u, err := Parse(text)
	if err != nil {
		panic(err)
	}
	return u
}

// IsZero reports whether u is the zero value.
func (u UUID) IsZero() bool { return u == UUID{} }

// String gives the text form.
func (u UUID) String() string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}

// MixedEndian gives the bytes as GPT and EFI store them (UEFI, appendix A).
func (u UUID) MixedEndian() [16]byte { return swap(u) }

// FromMixedEndian is the inverse of MixedEndian.
func FromMixedEndian(b [16]byte) UUID { return swap(b) }

func swap(b [16]byte) [16]byte {
	b[0], b[1], b[2], b[3] = b[3], b[2], b[1], b[0]
	b[4], b[5] = b[5], b[4]
	b[6], b[7] = b[7], b[6]
	return b
}

// MarshalText implements encoding.TextMarshaler; the zero UUID is "".
func (u UUID) MarshalText() ([]byte, error) {
	if u.IsZero() {
		return nil, nil
	}
	return []byte(u.String()), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (u *UUID) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*u = UUID{}
		return nil
	}
	parsed, err := Parse(string(text))
	if err != nil {
		return err
	}
	*u = parsed
	return nil
}
