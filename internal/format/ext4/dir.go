package ext4

import (
	"encoding/binary"
	"fmt"
)

const (
	direntHead = 8
	dirTail    = 12 // a false entry at the end of each block, with its checksum
	dirUsable  = blockSize - dirTail
	tailType   = 0xde
)

func direntSize(name string) int { return pad4(direntHead + len(name)) }

// direntType is the file type in directory entries.
func direntType(mode uint16) byte {
	switch mode & modeMask {
	case modeFile:
		return 1
	case modeDir:
		return 2
	case modeChar:
		return 3
	case modeBlock:
		return 4
	case modeFifo:
		return 5
	case modeSocket:
		return 6
	}
	return 7
}

// dirBlocks is how many blocks the entries take; entries do not cross blocks.
func dirBlocks(children []child) (uint64, error) {
	blocks, used := uint64(1), direntSize(".")+direntSize("..")
	for _, c := range children {
		if len(c.name) > 255 {
			return 0, fmt.Errorf("name %.40q…: longer than 255 bytes", c.name)
		}
		size := direntSize(c.name)
		if used+size > dirUsable {
			blocks, used = blocks+1, 0
		}
		used += size
	}
	return blocks, nil
}

// directory gives the bytes of a directory of count blocks.
func directory(n *inode, count uint64, seed uint32) []byte {
	le := binary.LittleEndian
	out := make([]byte, count*blockSize)
	block, used, last := out[:blockSize], 0, 0
	close := func() { // the last entry reaches to the tail
		le.PutUint16(block[last+4:], uint16(dirUsable-last))
		tail := block[dirUsable:]
		le.PutUint16(tail[4:], dirTail)
		tail[7] = tailType
		le.PutUint32(tail[8:], crc(seedOf(seed, n.number, 0), block[:dirUsable]))
	}
	put := func(name string, number uint32, kind byte) {
		size := direntSize(name)
		if used+size > dirUsable {
			close()
			rest := out[len(out)-cap(block)+blockSize:]
			block, used, last = rest[:blockSize], 0, 0
		}
		e := block[used:]
		le.PutUint32(e, number)
		le.PutUint16(e[4:], uint16(size))
		e[6], e[7] = byte(len(name)), kind
		copy(e[direntHead:], name)
		last, used = used, used+size
	}
	put(".", n.number, 2)
	put("..", n.parent, 2)
	for _, c := range n.children {
		put(c.name, c.node.number, direntType(c.node.mode))
	}
	close()
	for rest := out[len(out)-cap(block)+blockSize:]; len(rest) > 0; rest = rest[blockSize:] {
		block, last = rest[:blockSize], 0
		close() // an empty block is one unused entry
	}
	return out
}
