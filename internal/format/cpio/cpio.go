// Package cpio writes and reads "newc" archives, the form of cpio that Linux
// unpacks as its initramfs (Documentation/driver-api/early-userspace/buffer-format.rst
// of the kernel, and cpio(5)).
//
// An archive is a run of members: a header of ASCII hexadecimal numbers, the
// NUL-terminated name padded to 4 bytes, the body padded to 4 bytes. The member
// TRAILER!!! ends it. Names of one inode carry the same inode number; the body
// stands with the last of them, as GNU cpio wants it.
//
// Nothing of the host reaches the archive: inode numbers are counted from 1,
// the device is 0, times are the entries'. Extended attributes have no place in
// the format, and the writer refuses entries that have some. Checksummed
// archives (070702) and compressed ones are not read.
package cpio

import (
	"errors"
	"fmt"
	"strconv"
)

const (
	magic      = "070701"
	headerSize = 110 // magic and 13 fields of 8 digits
	trailer    = "TRAILER!!!"
	maxName    = 4096 // bytes with the NUL: the kernel's PATH_MAX
	maxTarget  = 4096 // bytes of a symbolic link: PATH_MAX, as the kernel demands
)

// File type bits of the mode field, as in inode(7).
const (
	modeType    = 0o170000
	modeSocket  = 0o140000
	modeSymlink = 0o120000
	modeFile    = 0o100000
	modeBlock   = 0o060000
	modeDir     = 0o040000
	modeChar    = 0o020000
	modeFifo    = 0o010000
	modePerm    = 0o007777
)

// header holds the fields of a member in the order they stand in.
type header struct {
	ino, mode, uid, gid, nlink, mtime, size uint32
	devMajor, devMinor, major, minor        uint32
	nameSize, check                         uint32
}

func (h *header) fields() []*uint32 {
	return []*uint32{
		&h.ino, &h.mode, &h.uid, &h.gid, &h.nlink, &h.mtime, &h.size,
		&h.devMajor, &h.devMinor, &h.major, &h.minor, &h.nameSize, &h.check,
	}
}

func (h *header) append(dst []byte) []byte {
	dst = append(dst, magic...)
	for _, field := range h.fields() {
		dst = fmt.Appendf(dst, "%08X", *field)
	}
	return dst
}

var errMagic = errors.New("not a newc archive")

func parseHeader(raw []byte) (header, error) {
	var h header
	if string(raw[:len(magic)]) != magic {
		return h, fmt.Errorf("%w: magic is %q, want %q", errMagic, raw[:len(magic)], magic)
	}
	for i, field := range h.fields() {
		at := len(magic) + 8*i
		text := string(raw[at : at+8])
		v, err := strconv.ParseUint(text, 16, 32)
		if err != nil || text[0] == '+' {
			return h, fmt.Errorf("header field %d: %q is not a hexadecimal number", i, text)
		}
		*field = uint32(v)
	}
	return h, nil
}

// pad4 is the number of NULs after n bytes.
func pad4(n int64) int64 { return -n & 3 }
