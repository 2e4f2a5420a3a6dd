package block

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"
)

// The boot sector of a FAT file system (Microsoft's "FAT: General Overview of
// On-Disk Format", and UEFI): that of FAT12 and FAT16 ends with other fields
// than that of FAT32.
const (
	bootSize       = 512
	bootMagic      = "\x55\xaa"
	offSectorSize  = 11
	offSectors16   = 19
	offSectors32   = 32
	offFATSerial16 = 39 // the label and the type follow
	offFATSerial32 = 67
	fatSerialLen   = 4
	fatLabelLen    = 11
	fatTypeLen     = 8
	noFATLabel     = "NO NAME"
)

func probeFAT(r io.ReaderAt) (Super, bool, error) {
	buf := make([]byte, bootSize)
	n, err := r.ReadAt(buf, 0)
	if n < bootSize {
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return Super{}, false, nil
		}
		return Super{}, false, fmt.Errorf("read boot sector: %w", err)
	}
	super, ok := parseBootSector(buf)
	return super, ok, nil
}

func parseBootSector(buf []byte) (Super, bool) {
	if len(buf) < bootSize || string(buf[bootSize-2:bootSize]) != bootMagic {
		return Super{}, false
	}
	at := 0
	for _, form := range []struct {
		at   int
		name string
	}{{offFATSerial16, "FAT12   "}, {offFATSerial16, "FAT16   "}, {offFATSerial32, "FAT32   "}} {
		from := form.at + fatSerialLen + fatLabelLen
		if string(buf[from:from+fatTypeLen]) == form.name {
			at = form.at
		}
	}
	le := binary.LittleEndian
	size, sectors := int64(le.Uint16(buf[offSectorSize:])), int64(le.Uint16(buf[offSectors16:]))
	if sectors == 0 {
		sectors = int64(le.Uint32(buf[offSectors32:]))
	}
	if at == 0 || size < bootSize || size&(size-1) != 0 || sectors == 0 {
		return Super{}, false
	}
	serial := slices.Clone(buf[at : at+fatSerialLen])
	slices.Reverse(serial)
	digits := hex.EncodeToString(serial)
	label := strings.TrimRight(string(buf[at+fatSerialLen:at+fatSerialLen+fatLabelLen]), " \x00")
	if label == noFATLabel {
		label = ""
	}
	return Super{Type: "vfat", UUID: digits[:4] + "-" + digits[4:], Label: strings.ToValidUTF8(label, "?"), BlockSize: size, Blocks: sectors}, true
}
