// Package iso9660 writes and reads images of ISO 9660 file systems with the
// Rock Ridge extensions, and the El Torito catalog from which a PC boots them.
//
// Facts are from ECMA-119 (the file system; section numbers below are its),
// from the drafts IEEE P1281 (SUSP: the System Use area and its continuation)
// and IEEE P1282 (Rock Ridge: PX, NM, SL, TF, PN), from the El Torito
// specification 1.0 with the UEFI specification, section 13.3.2.1 (platform
// 0xEF), and from what Linux's fs/isofs does with them. Blocks have 2048 bytes.
//
// An image is planned first, then written: the system area of 16 blocks, which
// stays zero for its user (an MBR and a GPT fit), volume descriptors, boot
// catalog, path tables, directories, continuation areas, the boot image for
// the BIOS, files in path order, and last the image of an EFI system partition.
// What the boot images hold is the caller's: the plan says where they lie.
// The bytes are a function of the tree and the options alone.
//
// Left out: Joliet, Rock Ridge's relocation of deep directories (Linux and
// xorriso read deep ones in place, which ECMA-119 6.8.2.1 limits to 8),
// extended attributes (Rock Ridge has none: refused), other block sizes.
package iso9660

import (
	"fmt"
	"strings"
	"time"
)

const (
	// BlockSize is that of all blocks, in bytes.
	BlockSize = 2048
	// SystemArea is what lies before the volume descriptors, in bytes.
	SystemArea = 16 * BlockSize

	maxSection  = 1<<32 - BlockSize // bytes that one directory record can name
	maxDirs     = 65535             // path tables number directories in 16 bits (6.9.1)
	maxName     = 253               // Linux cuts what has more
	sectorSize  = 512               // El Torito's "virtual sectors"
	efiAlign    = 1 << 20           // of the EFI image, as of every partition
	maxVolumeID = 32
)

// Options says what Plan makes.
type Options struct {
	VolumeID string // at most 32 of A to Z, 0 to 9 and _: the label
	Epoch    int64  // seconds; the volume's times, and no file's is later unless it is 0

	BIOS  int64 // bytes of the boot image for the BIOS, boot info table and all; 0: none
	UEFI  int64 // bytes of the image of an EFI system partition; 0: none
	Spare int64 // bytes behind all else that stay zero, for a backup of a partition table
}

// Extent is a place in the image, in bytes.
type Extent struct{ Offset, Size int64 }

// Volume times are digits to a hundredth of a second (8.4.26.1), and no
// directory record's year is below 1900 or above 2155 (9.1.5).
const (
	firstYear = 1900
	lastYear  = firstYear + 255
)

func clampTime(seconds int64) time.Time {
	t := time.Unix(seconds, 0).UTC()
	switch {
	case t.Year() < firstYear:
		return time.Date(firstYear, 1, 1, 0, 0, 0, 0, time.UTC)
	case t.Year() > lastYear:
		return time.Date(lastYear, 12, 31, 23, 59, 59, 0, time.UTC)
	}
	return t
}

// shortTime is the form of 9.1.5, which Rock Ridge's TF has also.
func shortTime(seconds int64) [7]byte {
	t := clampTime(seconds)
	return [7]byte{byte(t.Year() - firstYear), byte(t.Month()), byte(t.Day()), byte(t.Hour()), byte(t.Minute()), byte(t.Second()), 0}
}

// parseShortTime is the inverse; days that no month has give 0.
func parseShortTime(b []byte) int64 {
	quarters := int64(int8(b[6]))
	t := time.Date(firstYear+int(b[0]), time.Month(b[1]), int(b[2]), int(b[3]), int(b[4]), int(b[5]), 0, time.UTC)
	if t.Month() != time.Month(b[1]) || t.Day() != int(b[2]) {
		return 0
	}
	return t.Unix() - quarters*15*60
}

// longTime is the form of 8.4.26.1: sixteen digits and the zone.
func longTime(seconds int64) []byte {
	t := clampTime(seconds)
	text := fmt.Sprintf("%04d%02d%02d%02d%02d%02d00", t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second())
	return append([]byte(text), 0)
}

// noTime says that there is none.
func noTime() []byte { return append([]byte(strings.Repeat("0", 16)), 0) }

// UUID is what blkid and GRUB show of a volume that was made at the time.
func UUID(epoch int64) string {
	text := string(longTime(epoch))
	return uuidOf(text[:16])
}

func uuidOf(digits string) string {
	return strings.Join([]string{digits[:4], digits[4:6], digits[6:8], digits[8:10], digits[10:12], digits[12:14], digits[14:16]}, "-")
}

// blocks is how many blocks hold n bytes.
func blocks(n int64) int64 { return (n + BlockSize - 1) / BlockSize }

func alignUp(n, unit int64) int64 { return (n + unit - 1) / unit * unit }
