package block

import (
	"encoding/binary"
	"fmt"
	"io"
	"strings"
)

// The primary volume descriptor of ISO 9660 (ECMA-119, 8.4), at byte 32768.
const (
	volumeOffset   = 32768
	volumeSize     = 2048
	volumeMagic    = "\x01CD001\x01" // its type, the standard's name, a version
	offVolumeID    = 40
	volumeIDLen    = 32
	offVolumeSpace = 80  // blocks
	offVolumeBlock = 128 // bytes a block
	offModified    = 830 // 16 digits
	offCreated     = 813
	timeDigits     = 16
)

func probeISO(r io.ReaderAt) (Super, bool, error) {
	buf := make([]byte, volumeSize)
	n, err := r.ReadAt(buf, volumeOffset)
	if n < volumeSize {
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return Super{}, false, nil
		}
		return Super{}, false, fmt.Errorf("read volume descriptor: %w", err)
	}
	super, ok := parseVolume(buf)
	return super, ok, nil
}

func parseVolume(buf []byte) (Super, bool) {
	le := binary.LittleEndian
	if len(buf) < volumeSize || string(buf[:len(volumeMagic)]) != volumeMagic {
		return Super{}, false
	}
	size, blocks := le.Uint16(buf[offVolumeBlock:]), le.Uint32(buf[offVolumeSpace:])
	if size != volumeSize || blocks == 0 {
		return Super{}, false
	}
	s := Super{Type: "iso9660", BlockSize: int64(size), Blocks: int64(blocks)}
	s.Label = strings.ToValidUTF8(strings.TrimRight(string(buf[offVolumeID:offVolumeID+volumeIDLen]), " \x00"), "?")
	for _, at := range []int{offModified, offCreated} {
		if digits := string(buf[at : at+timeDigits]); strings.Trim(digits, "0123456789") == "" && strings.Trim(digits, "0") != "" {
			s.UUID = strings.Join([]string{digits[:4], digits[4:6], digits[6:8], digits[8:10], digits[10:12], digits[12:14], digits[14:]}, "-")
			break
		}
	}
	return s, true
}
