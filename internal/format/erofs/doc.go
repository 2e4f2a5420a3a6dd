// Package erofs writes and reads EROFS images, the read-only file system of
// Linux whose blocks are found without unpacking what stands before them
// (Documentation/filesystems/erofs.rst and fs/erofs/erofs_fs.h of the kernel).
//
// # Vocabulary
//
// A block has 4096 bytes. A nid is the place of an inode in the metadata area, in
// units of 32 bytes. A cluster is a row of blocks with the compressed form of an extent, which is
// a run of a file's bytes. The index of a compressed file says of each
// block of the plain file whether an extent starts in it, where, and in which cluster it is. A tail is
// the end of a file that stands behind its inode. A fragment is the end of a file, or all of a small
// one, that is compressed together with others: it is a part of the packed file, which has no name. A chunk is a part of a file, of a size
// that is the same for all of the file, which has an address of its own.
//
// # What an image is made of
//
//	superblock in a block of its own · contents in the order of paths, each on block
//	boundaries · long directories · metadata area: inodes, xattrs, indexes, tails
//
// # What the writer promises
//
// The bytes depend on the tree, the options and on nothing else: not on the number
// of workers, the cache, the clock or the host. Files with the same content are stored
// once, and so are equal chunks on request. Contents are streamed. But for fragments a
// content's blocks do not depend on where it stands: two images with the same file have the same
// blocks. Where packs of fragments end is chosen by the names of the files in them, so that a
// changed small file changes its own pack and, but for rare cases, no other.
//
// # Which kernels read it
//
// Plain images: 5.4, with chunks or holes 5.15. lz4: 5.13, with tails 5.17, with
// duplicate files or fragments 6.1. zstd: 6.10. The superblock asks for no more than an image needs. Debian's
// 6.1, but for zstd, and 6.12 were seen to read all of it.
//
// # What it does not do
//
// Blocks of other sizes, several devices and long xattr prefixes are neither
// written nor read, lzma and deflate are not read. Holes of compressed files are
// stored, which takes a block for a megabyte of zeros.
package erofs
