package erofs

// Numbers of algorithms.
const (
	algorithmLZ4  = 0
	algorithmZstd = 3
)

// MaxCluster is the largest cluster, in bytes.
const MaxCluster = 1 << 20

// segmentSize is how much of a file is read and compressed at once: extents do
// not go beyond a segment, so that segments can be compressed side by side.
const segmentSize = 1 << 20

// maxTail is the longest compressed or plain rest of a file that goes behind its inode.
const maxTail = 7 << 9

// Compressor makes the clusters of files. Its results are part of images that must
// come out equal years later. The zero value is none: files are stored as they are.
type Compressor struct {
	name      string
	algorithm uint16
	cluster   int // bytes, unless Options say otherwise
	settings  func(cluster int) []byte
	newPacker func(cluster int) segmentPacker
}

// Name says who compresses, which version and how: it is part of cache keys, of
// the lock and of the manifest. Equal names mean equal bytes. "none" is none.
func (c Compressor) Name() string {
	if c.newPacker == nil {
		return "none"
	}
	return c.name
}

// configs is what stands behind the superblock: the size of the algorithm's
// settings and the settings.
func (c Compressor) configs(cluster int) []byte {
	settings := c.settings(cluster)
	return append(order.AppendUint16(nil, uint16(len(settings))), settings...)
}

// segmentPacker packs segments; it is for one goroutine.
type segmentPacker interface {
	// pack fills p from a segment, which is the end of its file or not.
	pack(p *packed, segment []byte, end bool) error
}

// packed is a segment's clusters.
type packed struct {
	extents []extent
	data    []byte // whole blocks
	tail    []byte // of the extent without blocks, the last of a file
}

func (p *packed) reset() {
	p.extents, p.data, p.tail = p.extents[:0], p.data[:0], p.tail[:0]
}

// cluster adds a compressed extent. Its cluster begins with zeros: so kernels
// may decompress it in the place where they read it to.
func (p *packed) cluster(block []byte, size int) {
	blocks := blocksOf(int64(len(block)))
	p.data = append(p.data, make([]byte, blocks<<blockBits-int64(len(block)))...)
	p.data = append(p.data, block...)
	p.extents = append(p.extents, extent{size: int32(size), blocks: int32(blocks)})
}

// plain adds extents that are not compressed.
func (p *packed) plain(data []byte) {
	for len(data) > 0 {
		n := min(len(data), BlockSize)
		p.data = append(p.data, data[:n]...)
		p.data = append(p.data, make([]byte, BlockSize-n)...)
		p.extents = append(p.extents, extent{size: int32(n), blocks: 1, plain: true})
		data = data[n:]
	}
}

// end adds a file's last extent, which stands behind the inode.
func (p *packed) end(block []byte, size int, plain bool) {
	p.tail = append(p.tail, block...)
	p.extents = append(p.extents, extent{size: int32(size), plain: plain})
}
