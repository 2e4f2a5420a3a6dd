package gpt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"unicode/utf16"

	"ashlar/internal/foundation/uuid"
)

const (
	signature     = "EFI PART"
	revision      = 0x00010000
	maxArrayBytes = 1 << 20 // largest entry array that is read; the usual one has 16 KiB
)

// header is the decoded header of a table (UEFI table 5-5), LBAs in sectors.
type header struct {
	self, other             uint64
	firstUsable, lastUsable uint64
	disk                    uuid.UUID
	array                   uint64 // LBA of the entry array
	count, size             uint32 // entries, bytes each
	arrayCRC                uint32
}

func (h *header) encode() []byte {
	le := binary.LittleEndian
	b := make([]byte, SectorSize)
	copy(b, signature)
	le.PutUint32(b[8:], revision)
	le.PutUint32(b[12:], headerSize)
	le.PutUint64(b[24:], h.self)
	le.PutUint64(b[32:], h.other)
	le.PutUint64(b[40:], h.firstUsable)
	le.PutUint64(b[48:], h.lastUsable)
	disk := h.disk.MixedEndian()
	copy(b[56:], disk[:])
	le.PutUint64(b[72:], h.array)
	le.PutUint32(b[80:], h.count)
	le.PutUint32(b[84:], h.size)
	le.PutUint32(b[88:], h.arrayCRC)
	le.PutUint32(b[16:], crc32.ChecksumIEEE(b[:headerSize]))
	return b
}

func decodeHeader(b []byte, lba uint64) (*header, error) {
	le := binary.LittleEndian
	if string(b[:8]) != signature {
		return nil, errors.New("no GPT signature")
	}
	length := le.Uint32(b[12:])
	if length < headerSize || length > SectorSize {
		return nil, fmt.Errorf("header of %d bytes", length)
	}
	summed := append([]byte(nil), b[:length]...)
	clear(summed[16:20])
	if crc32.ChecksumIEEE(summed) != le.Uint32(b[16:]) {
		return nil, errors.New("header checksum is wrong")
	}
	h := &header{
		self: le.Uint64(b[24:]), other: le.Uint64(b[32:]),
		firstUsable: le.Uint64(b[40:]), lastUsable: le.Uint64(b[48:]),
		disk:  uuid.FromMixedEndian([16]byte(b[56:72])),
		array: le.Uint64(b[72:]), count: le.Uint32(b[80:]), size: le.Uint32(b[84:]), arrayCRC: le.Uint32(b[88:]),
	}
	if h.self != lba {
		return nil, fmt.Errorf("header says it is at sector %d", h.self)
	}
	if h.size < entrySize || h.size%entrySize != 0 || uint64(h.size)*uint64(h.count) > maxArrayBytes {
		return nil, fmt.Errorf("%d entries of %d bytes", h.count, h.size)
	}
	return h, nil
}

func encodeArray(parts []Partition) []byte {
	le := binary.LittleEndian
	array := make([]byte, entrySize*entryCount)
	for i, p := range parts {
		b := array[i*entrySize:]
		kind, guid := p.Type.MixedEndian(), p.GUID.MixedEndian()
		copy(b, kind[:])
		copy(b[16:], guid[:])
		le.PutUint64(b[32:], p.FirstLBA)
		le.PutUint64(b[40:], p.LastLBA)
		le.PutUint64(b[48:], p.Attributes)
		for j, unit := range utf16.Encode([]rune(p.Name)) {
			le.PutUint16(b[56+2*j:], unit)
		}
	}
	return array
}

// decodeArray gives the used entries. Unused slots between used ones are
// dropped, so numbers can differ from the kernel's on tables made by others.
func decodeArray(array []byte, size int) []Partition {
	le := binary.LittleEndian
	var parts []Partition
	for ; len(array) >= size; array = array[size:] {
		kind := uuid.FromMixedEndian([16]byte(array[:16]))
		if kind.IsZero() {
			continue
		}
		var units []uint16
		for j := range nameUnits {
			unit := le.Uint16(array[56+2*j:])
			if unit == 0 {
				break
			}
			units = append(units, unit)
		}
		parts = append(parts, Partition{
			Name: strings.ToValidUTF8(string(utf16.Decode(units)), "\uFFFD"),
			Type: kind, GUID: uuid.FromMixedEndian([16]byte(array[16:32])),
			FirstLBA: le.Uint64(array[32:]), LastLBA: le.Uint64(array[40:]), Attributes: le.Uint64(array[48:]),
		})
	}
	return parts
}

// readAt reads and verifies the table whose header is at the LBA.
func readAt(r io.ReaderAt, sectors, lba uint64) (*header, *Table, error) {
	if lba == 0 || lba >= sectors {
		return nil, nil, fmt.Errorf("sector %d is not on the disk", lba)
	}
	sector := make([]byte, SectorSize)
	if _, err := r.ReadAt(sector, int64(lba)*SectorSize); err != nil {
		return nil, nil, err
	}
	h, err := decodeHeader(sector, lba)
	if err != nil {
		return nil, nil, err
	}
	array := make([]byte, int(h.size)*int(h.count))
	arraySectors := (uint64(len(array)) + SectorSize - 1) / SectorSize
	if h.array >= sectors || arraySectors > sectors-h.array {
		return nil, nil, fmt.Errorf("entries at sector %d are not on the disk", h.array)
	}
	if _, err := r.ReadAt(array, int64(h.array)*SectorSize); err != nil {
		return nil, nil, err
	}
	if crc32.ChecksumIEEE(array) != h.arrayCRC {
		return nil, nil, errors.New("checksum of the entries is wrong")
	}
	t := &Table{DiskGUID: h.disk, Partitions: decodeArray(array, int(h.size))}
	if h.lastUsable >= sectors {
		return nil, nil, fmt.Errorf("last usable sector %d is not on the disk", h.lastUsable)
	}
	if err := t.check(h.firstUsable, h.lastUsable); err != nil {
		return nil, nil, err
	}
	return h, t, nil
}
