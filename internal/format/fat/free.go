package fat

import "fmt"

// Free calls visit for each run of bytes that hold nothing, in order: those of
// the clusters that the FAT says are free.
func (fs *FS) Free(visit func(offset, size int64) error) error {
	start, count := uint32(0), int64(0)
	end := func() error {
		if count == 0 {
			return nil
		}
		n := count
		count = 0
		return visit(fs.g.offset(start), n*fs.g.clusterSize())
	}
	link := chain{fs: fs}
	for cluster := uint32(2); cluster-2 < fs.g.clusters; cluster++ {
		link.cluster = cluster
		if _, err := link.next(); err != nil {
			return fmt.Errorf("read FAT: %w", err)
		}
		if link.cluster == 0 {
			if count == 0 {
				start = cluster
			}
			count++
			continue
		}
		if err := end(); err != nil {
			return err
		}
	}
	return end()
}
