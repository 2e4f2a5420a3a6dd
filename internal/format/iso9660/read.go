package iso9660

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Bounds of what is read from an image that is not trusted.
const (
	maxDescriptors = 64
	maxBoots       = 64
)

// Boot is an image of El Torito's catalog.
type Boot struct {
	Platform byte
	Bootable bool
	Media    byte   // 0: no emulation
	Sectors  uint16 // of 512 bytes
	Offset   int64  // bytes
}

// Reader is an open image.
type Reader struct {
	VolumeID string
	UUID     string // as blkid and GRUB show it; empty when the volume has no time
	Size     int64  // bytes that the volume descriptor claims
	Boots    []Boot

	r    io.ReaderAt
	root Extent
}

// Open reads the volume descriptors and the boot catalog of an image of size bytes.
func Open(r io.ReaderAt, size int64) (*Reader, error) {
	f := &Reader{r: r}
	if err := f.open(size); err != nil {
		return nil, fmt.Errorf("open ISO 9660 image: %w", err)
	}
	return f, nil
}

func (f *Reader) open(size int64) error {
	catalog, found := int64(0), false
	for n := int64(0); ; n++ {
		b := make([]byte, BlockSize)
		if n == maxDescriptors {
			return fmt.Errorf("more than %d volume descriptors", maxDescriptors)
		}
		if _, err := f.r.ReadAt(b, SystemArea+n*BlockSize); err != nil {
			return fmt.Errorf("volume descriptor %d: %w", n, err)
		}
		if string(b[1:6]) != standardID {
			return fmt.Errorf("volume descriptor %d: no %s", n, standardID)
		}
		switch {
		case b[0] == typeTerminator:
			if !found {
				return errors.New("no primary volume descriptor")
			}
			return f.readCatalog(catalog)
		case b[0] == typePrimary && !found:
			found = true
			if err := f.primary(b, size); err != nil {
				return err
			}
		case b[0] == typeBoot && strings.HasPrefix(string(b[7:39]), elTorito+"\x00"):
			catalog = int64(binary.LittleEndian.Uint32(b[catalogAt:]))
		}
	}
}

func (f *Reader) primary(b []byte, size int64) error {
	le := binary.LittleEndian
	if n := le.Uint16(b[128:]); n != BlockSize {
		return fmt.Errorf("blocks of %d bytes, want %d", n, BlockSize)
	}
	if f.Size = int64(le.Uint32(b[80:])) * BlockSize; f.Size > size {
		return fmt.Errorf("the volume has %d bytes, the image %d", f.Size, size)
	}
	f.VolumeID = strings.ToValidUTF8(strings.TrimRight(string(b[40:72]), " \x00"), "\uFFFD")
	f.UUID = volumeUUID(b)
	root := b[rootRecordAt : rootRecordAt+rootRecordSize]
	f.root = extentOf(root)
	if root[25]&flagDirectory == 0 {
		return errors.New("the root is no directory")
	}
	return f.inside(f.root)
}

// volumeUUID is the time of modification, or else of creation, as digits.
func volumeUUID(b []byte) string {
	for _, at := range []int{830, 813} {
		digits := string(b[at : at+16])
		if strings.Trim(digits, "0123456789") == "" && strings.Trim(digits, "0") != "" {
			return uuidOf(digits)
		}
	}
	return ""
}

func extentOf(record []byte) Extent {
	le := binary.LittleEndian
	return Extent{int64(le.Uint32(record[2:])) * BlockSize, int64(le.Uint32(record[10:]))}
}

func (f *Reader) inside(e Extent) error {
	if e.Offset > f.Size || e.Size > f.Size-e.Offset {
		return fmt.Errorf("%d bytes at %d leave the volume of %d", e.Size, e.Offset, f.Size)
	}
	return nil
}

// readCatalog reads the boot catalog's first block; 0 is none.
func (f *Reader) readCatalog(block int64) error {
	if block == 0 {
		return nil
	}
	b := make([]byte, BlockSize)
	if err := f.inside(Extent{block * BlockSize, BlockSize}); err != nil {
		return fmt.Errorf("boot catalog: %w", err)
	}
	if _, err := f.r.ReadAt(b, block*BlockSize); err != nil {
		return fmt.Errorf("boot catalog: %w", err)
	}
	if b[0] != validationID || b[30] != 0x55 || b[31] != 0xaa || wordSum(b[:catalogEntry]) != 0 {
		return errors.New("boot catalog: the validation entry is wrong")
	}
	platform, left := b[1], 1
	for b = b[catalogEntry:]; len(b) >= catalogEntry; b = b[catalogEntry:] {
		if left > 0 {
			if err := f.addBoot(platform, b); err != nil {
				return err
			}
			left--
			continue
		}
		if b[0] != headerMore && b[0] != headerLast {
			return nil
		}
		platform, left = b[1], int(binary.LittleEndian.Uint16(b[2:]))
	}
	return nil
}

func (f *Reader) addBoot(platform byte, b []byte) error {
	boot := Boot{
		Platform: platform, Bootable: b[0] == bootable, Media: b[1] & 15,
		Sectors: binary.LittleEndian.Uint16(b[6:]), Offset: int64(binary.LittleEndian.Uint32(b[8:])) * BlockSize,
	}
	if boot.Offset > f.Size || len(f.Boots) == maxBoots {
		return fmt.Errorf("boot catalog: image at %d is outside of the volume, or one of too many", boot.Offset)
	}
	f.Boots = append(f.Boots, boot)
	return nil
}
