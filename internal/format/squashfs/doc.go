// Package squashfs writes and reads squashfs 4.0 images, the compressed
// read-only file system of Linux (Documentation/filesystems/squashfs.rst and
// fs/squashfs/squashfs_fs.h of the kernel).
//
// # Vocabulary
//
// A block is up to BlockSize bytes of one file, compressed by itself. A tail is
// what a file has beyond its whole blocks; tails are packed together in fragment
// blocks. Metadata (inodes, directories, tables) stands in blocks of 8 KiB. A
// reference is a place in metadata: the compressed block's offset from its table's start,
// times 65536, plus the offset in the block's plain bytes.
//
// # What an image is made of
//
//	superblock · blocks and fragment blocks in the order of paths · inodes ·
//	directories · fragment table · export table · id table · xattr table · NULs to 4 KiB
//
// # What the writer promises
//
// The bytes depend on the tree, the block size, the compressor and the epoch,
// and on nothing else: not on the number of workers, the cache, the clock or the
// host. Files with the same content are stored once. Contents are streamed. Where
// fragment blocks end is chosen by the names of the files in them, within groups (see
// packTails): a changed small file changes its own fragment block, and seldom others of its group.
//
// # What it does not do
//
// lzma, lzo and xz are neither written nor read. ACLs (system.*) have no
// place in the format and are refused. Nothing is appended to an existing image.
package squashfs
