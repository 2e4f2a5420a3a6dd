// Package xzstream writes .xz files (format 1.2.1) without compressing: for
// programs that read nothing else and bytes that are to be there at once. A
// stream has one block of LZMA2 chunks that are stored as they are, and CRC32 as its check.
//
// It reads nothing and compresses nothing.
package xzstream

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// Of the format's sections 2.1, 3 and 5.3.1.
const (
	magic      = "\xfd7zXZ\x00"
	footMagic  = "YZ"
	maxChunk   = 1 << 16
	filterID   = 0x21 // LZMA2
	dictSize   = 0x00 // 4 KiB, the least: no chunk looks back
	chunkReset = 0x01 // stored, and the dictionary is begun anew
	chunkNext  = 0x02 // stored
)

// streamFlags say that the check is CRC32.
var streamFlags = [2]byte{0, 1}

// Writer stores what is written to it; Close ends the stream and leaves the
// underlying writer open.
type Writer struct {
	w       io.Writer
	buf     []byte // of a chunk that is not full
	began   bool
	chunks  int
	packed  int64  // bytes of chunks written
	raw     int64  // bytes in them
	check   uint32 // of what was written
	scratch []byte
}

// NewWriter makes a writer.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w, buf: make([]byte, 0, maxChunk)} }

// Write implements io.Writer.
func (x *Writer) Write(p []byte) (int, error) {
	done := 0
	for len(p) > 0 {
		n := min(len(p), maxChunk-len(x.buf))
		x.buf = append(x.buf, p[:n]...)
		p, done = p[n:], done+n
		if len(x.buf) == maxChunk {
			if err := x.chunk(); err != nil {
				return done, err
			}
		}
	}
	return done, nil
}

// blockHeader is twelve bytes: its size in words less one, flags (one filter, no sizes),
// the filter with one byte of properties, padding, CRC32.
func blockHeader() []byte {
	h := []byte{2, 0, filterID, 1, dictSize, 0, 0, 0}
	return binary.LittleEndian.AppendUint32(h, crc32.ChecksumIEEE(h))
}

func (x *Writer) begin() error {
	if x.began {
		return nil
	}
	x.began = true
	head := append([]byte(magic), streamFlags[:]...)
	head = binary.LittleEndian.AppendUint32(head, crc32.ChecksumIEEE(streamFlags[:]))
	_, err := x.w.Write(append(head, blockHeader()...))
	return err
}

func (x *Writer) chunk() error {
	if err := x.begin(); err != nil {
		return err
	}
	control := byte(chunkNext)
	if x.chunks == 0 {
		control = chunkReset
	}
	x.chunks++
	x.scratch = append(x.scratch[:0], control)
	x.scratch = binary.BigEndian.AppendUint16(x.scratch, uint16(len(x.buf)-1))
	x.scratch = append(x.scratch, x.buf...)
	x.check = crc32.Update(x.check, crc32.IEEETable, x.buf)
	x.raw += int64(len(x.buf))
	x.packed += int64(len(x.scratch))
	x.buf = x.buf[:0]
	_, err := x.w.Write(x.scratch)
	return err
}

// Close implements io.Closer.
func (x *Writer) Close() error {
	if x.w == nil {
		return errors.New("end xz stream: it has ended")
	}
	err := x.begin()
	if len(x.buf) > 0 && err == nil {
		err = x.chunk()
	}
	if err == nil {
		_, err = x.w.Write(x.end())
	}
	x.w = nil
	if err != nil {
		return fmt.Errorf("end xz stream: %w", err)
	}
	return nil
}

// end gives the end of the block, the index and the footer.
func (x *Writer) end() []byte {
	packed := x.packed + 1 // the mark of the last chunk
	tail := append(make([]byte, 1, 64), make([]byte, pad4(packed))...)
	tail = binary.LittleEndian.AppendUint32(tail, x.check)
	unpadded := int64(len(blockHeader())) + packed + 4
	index := []byte{0, 1}
	index = binary.AppendUvarint(index, uint64(unpadded))
	index = binary.AppendUvarint(index, uint64(x.raw))
	index = append(index, make([]byte, pad4(int64(len(index))))...)
	index = binary.LittleEndian.AppendUint32(index, crc32.ChecksumIEEE(index))
	backward := binary.LittleEndian.AppendUint32(nil, uint32(len(index)/4-1))
	foot := append(backward, streamFlags[:]...)
	tail = append(tail, index...)
	tail = binary.LittleEndian.AppendUint32(tail, crc32.ChecksumIEEE(foot))
	return append(append(tail, foot...), footMagic...)
}

func pad4(n int64) int64 { return -n & 3 }
