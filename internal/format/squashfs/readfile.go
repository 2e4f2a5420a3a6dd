package squashfs

import (
	"errors"
	"fmt"
	"io"
)

// source is a file's content in an image.
type source struct {
	r   *Reader
	ref uint64
}

// Open implements tree.Content.
func (s source) Open() (io.ReadCloser, error) {
	f, err := s.r.inode(s.ref)
	if err != nil {
		return nil, err
	}
	return &fileReader{r: s.r, file: f.file, words: f.words, place: f.file.Start, left: f.file.Size}, nil
}

// fileReader reads a file block by block.
type fileReader struct {
	r     *Reader
	file  extendedFile
	words *cursor
	place uint64 // of the next block in the image
	left  uint64 // bytes that are not in plain yet
	plain []byte // what is read and not yet given
	err   error
}

// Close implements io.Closer.
func (f *fileReader) Close() error {
	f.err, f.plain = errors.New("read of a closed file"), nil
	return nil
}

// Read implements io.Reader.
func (f *fileReader) Read(p []byte) (int, error) {
	if len(f.plain) == 0 && f.err == nil {
		f.plain, f.err = f.next()
	}
	if len(f.plain) == 0 {
		return 0, f.err
	}
	n := copy(p, f.plain)
	f.plain = f.plain[n:]
	return n, nil
}

// next gives the next block's plain bytes.
func (f *fileReader) next() ([]byte, error) {
	if f.left == 0 {
		return nil, io.EOF
	}
	size := min(f.left, uint64(f.r.super.BlockSize))
	f.left -= size
	if size < uint64(f.r.super.BlockSize) && f.file.Fragment != noFragment {
		return f.r.tail(f.file.Fragment, f.file.Offset, int(size))
	}
	var word uint32
	if err := f.words.value(&word); err != nil {
		return nil, err
	}
	if word == 0 {
		return make([]byte, size), nil
	}
	plain, err := f.r.block(f.place, word, int(size))
	if err == nil && len(plain) != int(size) {
		err = fmt.Errorf("block at %d has %d plain bytes, want %d", f.place, len(plain), size)
	}
	f.place += uint64(word &^ blockPlain)
	return plain, err
}

// tail gives a part of a fragment block.
func (r *Reader) tail(index, offset uint32, size int) ([]byte, error) {
	r.mu.Lock()
	pack, ok := r.packs.get(index)
	r.mu.Unlock()
	if !ok {
		row, err := r.fragment(index)
		if err != nil {
			return nil, err
		}
		if pack, err = r.block(row.Start, row.Word, int(r.super.BlockSize)); err != nil {
			return nil, fmt.Errorf("fragment block %d: %w", index, err)
		}
		r.mu.Lock()
		r.packs.put(index, pack)
		r.mu.Unlock()
	}
	if uint64(offset)+uint64(size) > uint64(len(pack)) {
		return nil, fmt.Errorf("tail of %d bytes at %d of a fragment block of %d", size, offset, len(pack))
	}
	return pack[offset : int(offset)+size], nil
}

// block reads a block of at most limit plain bytes.
func (r *Reader) block(place uint64, word uint32, limit int) ([]byte, error) {
	size := int(word &^ blockPlain)
	if size == 0 || size > int(r.super.BlockSize) {
		return nil, fmt.Errorf("block at %d has %d bytes, want 1 to %d", place, size, r.super.BlockSize)
	}
	raw := make([]byte, size)
	if err := r.at(raw, place); err != nil {
		return nil, err
	}
	if word&blockPlain != 0 {
		return raw, nil
	}
	plain, err := r.un(raw, limit)
	if err != nil {
		return nil, fmt.Errorf("block at %d: %w", place, err)
	}
	return plain, nil
}
