package target

import (
	"context"
	"fmt"

	"ashlar/internal/format/ext4"
	"ashlar/internal/foundation/tree"
	"ashlar/internal/foundation/uuid"
)

// RootInput is what a root file system without a partition table is made of.
type RootInput struct {
	Name  string // of the image
	Lock  string // digest of the lock file; with Name the root of all ids
	Epoch int64  // seconds; no time in it is later
	Tree  *tree.Tree
}

// A root file system has room for what it holds and a quarter more, for those
// who want to write to it; the machine itself mounts it read-only.
const (
	rootPart    = "rootfs"
	rootLabel   = "ashlar-root"
	rootSpare   = 16 * mebibyte
	rootJournal = 4 * mebibyte
	perEntry    = 4096 + 256 // bytes: a block for a directory, a long link or attributes, and the inode
)

// RootUUID is the id of the file system that WriteRoot makes.
func RootUUID(name, lock string) uuid.UUID { return FileSystemUUID(name, rootPart, lock) }

// WriteRoot empties f and writes the tree into it as an ext4 file system.
func WriteRoot(ctx context.Context, f Target, in RootInput) error {
	entries := int64(in.Tree.Len())
	size := roundUp((content(in.Tree)+entries*perEntry)*5/4 + rootJournal + rootSpare)
	for _, n := range []int64{0, size} {
		if err := f.Truncate(n); err != nil {
			return fmt.Errorf("write root file system: %w", err)
		}
	}
	err := ext4.Write(ctx, f, in.Tree, ext4.Options{
		Size: size, UUID: RootUUID(in.Name, in.Lock), Label: rootLabel, HashSeed: uuid.Derive(in.Name, "hash", in.Lock), Epoch: in.Epoch,
		JournalSize: rootJournal, InodeRatio: max(1024, size*2/3/(entries+1)),
	})
	if err != nil {
		return fmt.Errorf("write root file system: %w", err)
	}
	return nil
}
