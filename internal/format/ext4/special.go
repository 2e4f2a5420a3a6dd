package ext4

import "encoding/binary"

// makeJournal gives the journal's inode and takes its blocks.
func makeJournal(a *allocator, blocks uint64) (*inode, error) {
	n := &inode{number: inodeJournal, path: "journal", mode: modeFile | 0o600, links: 1, size: blocks * blockSize}
	return n, n.allocate(a)
}

// journalSuper is the first block of an empty journal (struct
// journal_superblock_s of jbd2; big-endian).
func journalSuper(blocks uint64) []byte {
	be := binary.BigEndian
	b := make([]byte, blockSize)
	be.PutUint32(b[0x00:], 0xc03b3998)
	be.PutUint32(b[0x04:], 4) // superblock, version 2
	be.PutUint32(b[0x0c:], blockSize)
	be.PutUint32(b[0x10:], uint32(blocks))
	be.PutUint32(b[0x14:], 1) // first block of the log
	be.PutUint32(b[0x18:], 1) // first sequence number
	be.PutUint32(b[0x40:], 1) // users
	return b
}

// resizer is the inode that holds the descriptor blocks in reserve: through its
// double-indirect block, slot i leads to the block that will hold descriptor
// block i of group 0, which in the meantime serves as an indirect block that
// leads to its places in the other groups that keep copies.
type resizer struct {
	node   *inode
	double uint64 // the double-indirect block
}

func makeResizer(a *allocator, l *layout) (*resizer, error) {
	n := &inode{number: inodeResize, path: "resize inode", mode: modeFile | 0o600, links: 1}
	double, err := a.takeOne()
	if err != nil {
		return nil, err
	}
	binary.LittleEndian.PutUint32(n.area[4*13:], uint32(double))
	n.size = (12 + addrsPerBlock + addrsPerBlock*addrsPerBlock) * blockSize
	n.blocks = 1 + l.reservedGDT*uint64(1+len(backupGroups(l)))
	return &resizer{n, double}, nil
}

// backupGroups are the groups but the first that hold copies.
func backupGroups(l *layout) []uint64 {
	var groups []uint64
	for g := uint64(1); g < l.groups; g++ {
		if hasSuper(g) {
			groups = append(groups, g)
		}
	}
	return groups
}

// blocks gives the indirect blocks by number.
func (r *resizer) blocks(l *layout) map[uint64][]byte {
	le := binary.LittleEndian
	double := make([]byte, blockSize)
	out := map[uint64][]byte{r.double: double}
	backups := backupGroups(l)
	for i := l.gdtBlocks; i < l.gdtBlocks+l.reservedGDT; i++ {
		at := 1 + i
		le.PutUint32(double[4*i:], uint32(at))
		single := make([]byte, blockSize)
		for j, g := range backups {
			le.PutUint32(single[4*j:], uint32(groupStart(g)+at))
		}
		out[at] = single
	}
	return out
}
