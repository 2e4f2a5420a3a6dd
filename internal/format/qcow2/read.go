package qcow2

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"
)

// Bounds of what is read from an image that is not trusted.
const (
	leastClusterBits = 9
	mostClusterBits  = 21
	maxL1            = 4 << 20 // entries: 32 MiB
)

// Image is an open image. It may be read by several goroutines at once.
type Image struct {
	Size int64 // bytes of the disk

	r    io.ReaderAt
	bits int
	zstd bool
	l1   []uint64

	mu     sync.Mutex
	l2At   int64 // of the table in l2
	l2     []byte
	lastAt uint64 // descriptor of the compressed cluster in last
	last   []byte
}

// Is reports whether a file begins as a qcow2 image does.
func Is(head []byte) bool { return len(head) >= 4 && binary.BigEndian.Uint32(head) == magic }

// Open reads the header and the L1 table.
func Open(r io.ReaderAt) (*Image, error) {
	i := &Image{r: r, l2At: -1}
	if err := i.open(); err != nil {
		return nil, fmt.Errorf("open qcow2 image: %w", err)
	}
	return i, nil
}

func (i *Image) open() error {
	be := binary.BigEndian
	b := make([]byte, headerSize)
	if n, err := i.r.ReadAt(b, 0); n < 72 {
		return fmt.Errorf("read header: %w", err)
	}
	if !Is(b) {
		return errors.New("not a qcow2 image")
	}
	var features uint64
	switch v := be.Uint32(b[4:]); v {
	case 2:
	case 3:
		features = be.Uint64(b[72:])
		i.zstd = features&incompatibleCompression != 0 && be.Uint32(b[100:]) > 104 && b[104] == compressionZstd
	default:
		return fmt.Errorf("version %d, want 2 or 3", v)
	}
	i.bits = int(be.Uint32(b[20:]))
	size, l1 := be.Uint64(b[24:]), be.Uint32(b[36:])
	switch {
	case i.bits < leastClusterBits || i.bits > mostClusterBits:
		return fmt.Errorf("clusters of 2^%d bytes", i.bits)
	case be.Uint64(b[8:]) != 0:
		return errors.New("it has a backing file")
	case be.Uint32(b[32:]) != 0:
		return errors.New("it is encrypted")
	case features&^(incompatibleCompression|incompatibleDirty) != 0:
		return fmt.Errorf("features %#x are not known", features)
	case features&incompatibleCompression != 0 && !i.zstd && b[104] != compressionDeflate:
		return fmt.Errorf("compression type %d is not known", b[104])
	case size > maxDisk || l1 > maxL1 || int64(l1) < (int64(size)+i.covers()-1)/i.covers():
		return fmt.Errorf("disk of %d bytes with an L1 table of %d entries", size, l1)
	}
	i.Size = int64(size)
	table := make([]byte, 8*int64(l1))
	if n, err := i.r.ReadAt(table, int64(be.Uint64(b[40:])&(1<<62-1))); n < len(table) {
		return fmt.Errorf("read L1 table: %w", err)
	}
	for ; len(table) > 0; table = table[8:] {
		i.l1 = append(i.l1, be.Uint64(table))
	}
	return nil
}

func (i *Image) cluster() int64 { return 1 << i.bits }

// covers is how many bytes of the disk an L2 table maps.
func (i *Image) covers() int64 { return i.cluster() / 8 * i.cluster() }

// ReadAt implements io.ReaderAt over the disk.
func (i *Image) ReadAt(p []byte, at int64) (n int, err error) {
	if at < 0 {
		return 0, errors.New("read qcow2 image: negative offset")
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	for n < len(p) {
		left := i.Size - at
		if left <= 0 {
			return n, io.EOF
		}
		part := p[n:min(int64(len(p)), int64(n)+left)]
		part = part[:min(int64(len(part)), i.cluster()-at%i.cluster())]
		if err := i.read(part, at); err != nil {
			return n, fmt.Errorf("read qcow2 image at %d: %w", at, err)
		}
		n, at = n+len(part), at+int64(len(part))
	}
	return n, nil
}

// read reads from within one cluster.
func (i *Image) read(p []byte, at int64) error {
	entry, err := i.entry(at)
	if err != nil {
		return err
	}
	within := at % i.cluster()
	if entry&flagCompressed != 0 {
		data, err := i.unpack(entry)
		if err == nil {
			copy(p, data[within:])
		}
		return err
	}
	host := int64(entry & offsetMask)
	if host == 0 || entry&flagZero != 0 {
		clear(p)
		return nil
	}
	if n, err := i.r.ReadAt(p, host+within); n < len(p) {
		return short(err)
	}
	return nil
}

func short(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// entry gives the L2 entry of a place on the disk.
func (i *Image) entry(at int64) (uint64, error) {
	table := int64(i.l1[at/i.covers()] & offsetMask)
	if table == 0 {
		return 0, nil
	}
	if table != i.l2At {
		i.l2, i.l2At = make([]byte, i.cluster()), -1
		if n, err := i.r.ReadAt(i.l2, table); n < len(i.l2) {
			return 0, fmt.Errorf("L2 table: %w", short(err))
		}
		i.l2At = table
	}
	return binary.BigEndian.Uint64(i.l2[at%i.covers()/i.cluster()*8:]), nil
}

// unpack gives a compressed cluster.
func (i *Image) unpack(entry uint64) ([]byte, error) {
	if i.lastAt == entry {
		return i.last, nil
	}
	bits := packedBits(i.bits)
	at := int64(entry & (1<<bits - 1))
	sectors := int64(entry&(1<<62-1)) >> bits
	packed := make([]byte, (sectors+1)*sector-at%sector)
	n, err := i.r.ReadAt(packed, at)
	if n < len(packed) && !errors.Is(err, io.EOF) {
		return nil, err
	}
	packed = packed[:n] // the last sector may end with the file
	data := make([]byte, i.cluster())
	var r io.Reader
	if i.zstd {
		d, err := zstd.NewReader(bytes.NewReader(packed), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(8<<20), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, err
		}
		defer d.Close()
		r = d
	} else {
		d := flate.NewReader(bytes.NewReader(packed))
		defer d.Close()
		r = d
	}
	if _, err := io.ReadFull(r, data); err != nil {
		return nil, fmt.Errorf("compressed cluster: %w", err)
	}
	i.last, i.lastAt = data, entry
	return data, nil
}
