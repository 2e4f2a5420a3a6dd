package squashfs

import "math"

// listing says where a directory's entries stand in the directory table.
type listing struct {
	block  uint32
	offset uint16
	size   int64 // plain bytes
	index  []indexEntry
}

// indexEntry lets the kernel begin a look-up in the middle of a large
// listing: a header that stands at byte at of the listing, in the metadata
// block at block, and is followed by the entry of the name.
type indexEntry struct {
	at    uint32
	block uint32
	name  string
}

// maxIndex is how many index entries a directory may have: they are counted in 16 bits.
const maxIndex = math.MaxUint16

// writeListing writes the entries of a directory, whose children's inodes are
// all written. Entries stand in runs. A run has one header, with what its entries
// have in common: the metadata block of their inodes, and an inode number that
// theirs are at most 32767 from. About every 8 KiB a run begins an index entry.
func writeListing(dir *node, dirs *metadataWriter) (listing, error) {
	if len(dir.children) == 0 {
		return listing{}, nil
	}
	block, offset := dirs.position()
	at := listing{block: uint32(block), offset: uint16(offset)}
	indexed := int64(0) // where the last index entry, or the listing, begins
	for rest := dir.children; len(rest) > 0; {
		if at.size+headerBytes+entrySize(rest[0])-indexed > metadataSize && len(at.index) < maxIndex {
			indexed = at.size
			block, _ := dirs.position()
			at.index = append(at.index, indexEntry{uint32(at.size), uint32(block), rest[0].name})
		}
		n, size := endOfRun(rest, at.size-indexed)
		if err := dirs.write(encodeRun(rest[:n], size)); err != nil {
			return at, err
		}
		at.size += size
		rest = rest[n:]
	}
	return at, nil
}

func entrySize(c child) int64 { return entryBytes + int64(len(c.name)) }

// endOfRun gives the number of children in the run that starts with the first
// of them, and its bytes. A run that starts within 8 KiB of the last index
// entry stays within them.
func endOfRun(children []child, sinceIndex int64) (n int, size int64) {
	first := children[0].node
	size = headerBytes
	for _, c := range children {
		distance := int64(c.node.number) - int64(first.number)
		switch {
		case n == maxRun,
			c.node.ref>>16 != first.ref>>16,
			distance > math.MaxInt16, distance < -math.MaxInt16,
			n > 0 && sinceIndex+size+entrySize(c) > metadataSize:
			return n, size
		}
		size += entrySize(c)
		n++
	}
	return n, size
}

func encodeRun(run []child, size int64) []byte {
	first := run[0].node
	raw := make([]byte, 0, size)
	raw = order.AppendUint32(raw, uint32(len(run)-1))
	raw = order.AppendUint32(raw, uint32(first.ref>>16))
	raw = order.AppendUint32(raw, first.number)
	for _, c := range run {
		raw = order.AppendUint16(raw, uint16(c.node.ref&0xFFFF))
		raw = order.AppendUint16(raw, uint16(int16(int64(c.node.number)-int64(first.number))))
		raw = order.AppendUint16(raw, typeOfKind(c.node.entry.Kind))
		raw = order.AppendUint16(raw, uint16(len(c.name)-1))
		raw = append(raw, c.name...)
	}
	return raw
}
