// Package qcow2 writes and reads disk images of QEMU's format qcow2, version 3
// (QEMU, docs/interop/qcow2.txt). Numbers are big-endian, clusters have 64 KiB.
//
// What Write makes: the header, then data in the order of the disk, each
// cluster compressed by itself or as it is, clusters of zeros nowhere; behind it the L2
// tables that are needed, the L1 table, the refcounts. The header comes last. The bytes are
// a function of the disk's content and the options.
//
// The reader takes what has no backing file, no encryption, no external data
// file and no extended L2 entries, with deflate or zstd.
//
// Left out: snapshots, bitmaps, writing into an image.
package qcow2

import "fmt"

const (
	magic       = 0x514649fb // "QFI\xfb"
	version     = 3
	headerSize  = 112 // with the compression type and its padding
	clusterBits = 16
	cluster     = 1 << clusterBits
	sector      = 512

	compressionDeflate = 0
	compressionZstd    = 1

	incompatibleDirty       = 1 << 0
	incompatibleCompression = 1 << 3

	flagCopied     = 1 << 63 // the cluster's refcount is one
	flagCompressed = 1 << 62
	flagZero       = 1 << 0 // reads as zeros, whatever the offset
	offsetMask     = 1<<56 - 1<<9

	refcountOrder = 4 // 16 bits
	refcountBytes = 2
	perRefBlock   = cluster / refcountBytes
	perL2         = cluster / 8

	maxDisk = 1 << 46 // bytes that one refcount table of one cluster is sure to serve
)

// packedBits is how many bits of a compressed cluster's descriptor are the
// offset; above are the sectors that it takes besides its first.
func packedBits(clusterBits int) int { return 62 - (clusterBits - 8) }

// Options says what Write makes.
type Options struct {
	Size    int64 // bytes of the disk, whole sectors
	Zstd    bool  // compress the clusters with zstd, which QEMU reads since 5.1
	Workers int   // 0: one
}

func (o Options) check() error {
	if o.Size < 0 || o.Size%sector != 0 || o.Size > maxDisk {
		return fmt.Errorf("disk of %d bytes: want whole sectors of %d, at most %d", o.Size, sector, int64(maxDisk))
	}
	return nil
}
