package imagetest

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// Memory is an image in memory, as long as what was written to it.
type Memory struct{ Data []byte }

// WriteAt implements io.WriterAt.
func (m *Memory) WriteAt(p []byte, at int64) (int, error) {
	if end := int(at) + len(p); end > len(m.Data) {
		m.Data = append(m.Data, make([]byte, end-len(m.Data))...)
	}
	return copy(m.Data[at:], p), nil
}

// FullDisk is a Memory that is full after Room bytes.
type FullDisk struct {
	Memory
	Room int64
}

// WriteAt implements io.WriterAt.
func (d *FullDisk) WriteAt(p []byte, at int64) (int, error) {
	if at+int64(len(p)) > d.Room {
		return 0, errors.New("no space left on device")
	}
	return d.Memory.WriteAt(p, at)
}

// BlockMap is a cache of blocks in memory. Its zero value is empty.
type BlockMap struct {
	mu     sync.Mutex
	blocks map[string][]byte
}

// Get gives what was put under the key.
func (b *BlockMap) Get(key string) ([]byte, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	block, ok := b.blocks[key]
	return block, ok
}

// Put keeps a copy of the block.
func (b *BlockMap) Put(key string, block []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.blocks == nil {
		b.blocks = map[string][]byte{}
	}
	b.blocks[key] = bytes.Clone(block)
}

// Damage cuts, changes or empties every block, and gives their number.
func (b *BlockMap) Damage() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for key, block := range b.blocks {
		switch n++; n % 4 {
		case 0:
			b.blocks[key] = block[:len(block)/2]
		case 1:
			block[len(block)-1] ^= 1
		case 2:
			b.blocks[key] = nil
		case 3:
			block[0] ^= 1
		}
	}
	return n
}

// File writes an image to a file of the test's own directory.
func File(t testing.TB, data []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}
