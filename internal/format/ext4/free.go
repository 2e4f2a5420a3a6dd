package ext4

import (
	"encoding/binary"
	"fmt"
)

// blockUninit in a group's descriptor says that its bitmap is not written.
const blockUninit = 0x2

// Free calls visit for each run of blocks that hold nothing, in order: those
// of which the bitmaps say so.
func (fs *FS) Free(visit func(first, count uint64) error) error {
	start, count := uint64(0), uint64(0)
	end := func() error {
		if count == 0 {
			return nil
		}
		n := count
		count = 0
		return visit(start, n)
	}
	first := uint64(fs.firstBlock)
	for group := uint64(0); first < fs.Blocks; group++ {
		bitmap, err := fs.blockBitmap(group)
		if err != nil {
			return fmt.Errorf("read bitmap of group %d: %w", group, err)
		}
		blocks := min(uint64(fs.blocksPerGroup), fs.Blocks-first)
		for i := range blocks {
			if bitmap != nil && bitmap[i/8]&(1<<(i%8)) == 0 {
				if count == 0 {
					start = first + i
				}
				count++
				continue
			}
			if err := end(); err != nil {
				return err
			}
		}
		first += blocks
	}
	return end()
}

// blockBitmap gives the bitmap of a group; nil when it is not written.
func (fs *FS) blockBitmap(group uint64) ([]byte, error) {
	d, err := fs.descriptor(group)
	if err != nil {
		return nil, err
	}
	if binary.LittleEndian.Uint16(d[0x12:])&blockUninit != 0 {
		return nil, nil
	}
	at := uint64(binary.LittleEndian.Uint32(d))
	if fs.descSize >= 64 {
		at |= uint64(binary.LittleEndian.Uint32(d[0x20:])) << 32
	}
	return fs.block(at)
}
