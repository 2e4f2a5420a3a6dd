package erofs

// extent is a run of a file's bytes in one cluster.
type extent struct {
	size   int32 // plain bytes
	blocks int32 // of the cluster; 0: it is the tail behind the inode
	plain  bool  // not compressed; at most one block
}

// Types of logical blocks in an index.
const (
	typePlain   = 0 // an uncompressed extent starts here, or the file ends here
	typeHead    = 1 // a compressed extent starts here
	typeNonHead = 2 // no extent starts here
)

const countFlag = 1 << 11 // the value is the number of blocks of a cluster

// logical is what an index says of one block of the plain file.
type logical struct {
	kind   int
	offset int // typePlain, typeHead: where in the block the extent starts
	back   int // typeNonHead: blocks back to the head of its extent
	ahead  int // typeNonHead: blocks to the next head or the end
	blocks int // first typeNonHead of an extent, in files with big clusters: blocks of its cluster
}

// logicals gives what the index of a file says, a value for each block of the plain file.
//
// A file that ends within a block in which its last extent does not start has a head
// of its own there, without a cluster: kernels find by it where the extent ends.
func logicals(extents []extent, size int64, big bool) []logical {
	out := make([]logical, blocksOf(size))
	at := int64(0)
	for _, x := range extents {
		end := at + int64(x.size)
		head, next := int(at>>blockBits), int(end>>blockBits)
		kind := typeHead
		if x.plain {
			kind = typePlain
		}
		out[head] = logical{kind: kind, offset: int(at & (BlockSize - 1))}
		if end == size && next < len(out) && next > head {
			out[next] = logical{kind: typePlain, offset: int(end & (BlockSize - 1))}
		}
		for i := head + 1; i < next; i++ {
			out[i] = logical{kind: typeNonHead, back: i - head, ahead: next - i}
			if big && i == head+1 {
				out[i].blocks = int(max(x.blocks, 1))
			}
		}
		at = end
	}
	return out
}

// The compact index has packs: of 2 values in 8 bytes, and between them, from
// the first multiple of 32 bytes on, of 16 values in 32 bytes. A pack ends
// with the address that its clusters are counted from.
const (
	smallPack = 2
	largePack = 16
)

// packsOf gives how many values stand in small packs, in large ones, in small ones
// again, when the index starts at byte at of an inode's area.
func packsOf(at int64, count int) (first, large, last int) {
	first = int(-at&31) / 4
	if first >= count {
		return 0, 0, count
	}
	large = (count - first) / largePack * largePack
	return first, large, count - first - large
}

// indexSize gives the bytes of a compact index.
func indexSize(at int64, count int) int64 {
	first, large, last := packsOf(at, count)
	return int64(4*first + 2*large + (last+1)/smallPack*8)
}

// compactIndex encodes an index that starts at byte at of its inode's area,
// of a file whose clusters start at block start.
func compactIndex(at int64, values []logical, start uint32, big bool) []byte {
	out := make([]byte, 0, indexSize(at, len(values)))
	first, large, _ := packsOf(at, len(values))
	next := start
	for i := 0; i < len(values); {
		size := smallPack
		if i >= first && i < first+large {
			size = largePack
		}
		n := min(size, len(values)-i)
		base := next
		if !big {
			base-- // such packs count their first cluster as 1
		}
		out = append(out, pack(values[i:i+n], size, base)...)
		for range n {
			next += clusterBlocks(values, i, big)
			i++
		}
	}
	return out
}

// clusterBlocks gives the blocks of the cluster that a value stands for. Where a
// count follows a head, the cluster is the count's.
func clusterBlocks(values []logical, i int, big bool) uint32 {
	switch v := values[i]; {
	case v.kind == typeNonHead:
		return uint32(v.blocks)
	case big && i+1 < len(values) && values[i+1].blocks > 0:
		return 0
	}
	return 1
}

// pack encodes values into one pack: each is a number of 12 bits below a type of
// 2 bits, one behind the other from the lowest bit on, then comes the address.
func pack(values []logical, size int, base uint32) []byte {
	width, bytes := 16, 8
	if size == largePack {
		width, bytes = 14, 32
	}
	out := make([]byte, bytes)
	for i, v := range values {
		low := v.offset
		switch {
		case v.kind != typeNonHead:
		case v.blocks > 0:
			low = countFlag | v.blocks
		case i == size-1:
			low = v.ahead
		default:
			low = v.back
		}
		at := i * width
		word := uint32(low|v.kind<<blockBits) << (at % 8)
		for k := at / 8; word != 0; k++ {
			out[k] |= byte(word)
			word >>= 8
		}
	}
	order.PutUint32(out[bytes-4:], base)
	return out
}
