// Package verity makes and checks the hash trees of dm-verity, by which the
// kernel checks each block of a read-only image when it reads it
// (Documentation/admin-guide/device-mapper/verity.rst of the kernel; the superblock is
// cryptsetup's).
//
// # Vocabulary
//
// A block has 4096 bytes, of data and of hashes alike. The digest of a block is
// SHA-256 over the salt and the block. A hash block holds the digests of 128 blocks of the
// level below it, the last one filled up with zeros. Level 0 has the digests of the data;
// the highest level is one block, whose digest is the root hash. An image of
// one block has no levels: its own digest is the root hash.
//
// # What the hash area looks like
//
//	superblock, 512 bytes, zeros to 4096 · highest level · … · level 0
//
// The hash area stands in a file of its own or behind the image, at a multiple of 4096.
//
// # What it promises
//
// The bytes depend on the data, the salt and the UUID and on nothing else: not on
// the number of workers. Memory is 32 bytes for each 512 KiB of data.
//
// # What it does not do
//
// Other hashes, other sizes of blocks, the layout of Chrome OS, forward error
// correction and signed root hashes are neither written nor read. Nothing here talks to the kernel.
package verity

import (
	"errors"
	"fmt"

	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/uuid"
)

// BlockSize is the size of data blocks and of hash blocks, in bytes.
const BlockSize = 4096

// MaxSalt is the longest salt that a superblock holds, in bytes.
const MaxSalt = 256

const (
	fanOut   = BlockSize / len(digest.Digest{}) // digests in a hash block
	fanBits  = 7
	maxData  = 1 << 60 // bytes of data: beyond any disk, and sums of sizes stay in int64
	maxLevel = 8       // levels of so much data
)

// Options of Write.
type Options struct {
	Salt    []byte    // at most MaxSalt bytes; the caller derives it
	UUID    uuid.UUID // of the hash area; the caller derives it
	Workers int       // hashing at once; 0: one a processor. Does not reach the bytes
}

// level is one level of a tree.
type level struct {
	at     int64 // of its first block, from the start of the hash area
	blocks int64
}

// levelsOf gives the levels over so many data blocks, level 0 first, and the
// size of the hash area with its superblock.
func levelsOf(dataBlocks int64) ([]level, int64) {
	var levels []level
	for n := dataBlocks; n > 1; {
		n = (n + int64(fanOut) - 1) >> fanBits
		levels = append(levels, level{blocks: n})
	}
	at := int64(BlockSize)
	for i := len(levels) - 1; i >= 0; i-- {
		levels[i].at = at
		at += levels[i].blocks * BlockSize
	}
	return levels, at
}

// Size gives the bytes of the hash area, superblock included, for so many
// bytes of data.
func Size(dataSize int64) (int64, error) {
	if err := checkSize(dataSize); err != nil {
		return 0, err
	}
	_, size := levelsOf(dataSize / BlockSize)
	return size, nil
}

func checkSize(dataSize int64) error {
	if dataSize <= 0 || dataSize > maxData || dataSize%BlockSize != 0 {
		return fmt.Errorf("data of %d bytes: want whole blocks of %d bytes, at least one", dataSize, BlockSize)
	}
	return nil
}

func (o Options) check(at int64) error {
	if len(o.Salt) > MaxSalt {
		return fmt.Errorf("salt of %d bytes, at most %d", len(o.Salt), MaxSalt)
	}
	if at < 0 || at%BlockSize != 0 {
		return fmt.Errorf("hash area at byte %d: want a multiple of %d", at, BlockSize)
	}
	if o.UUID.IsZero() {
		return errors.New("hash area without a UUID")
	}
	return nil
}
