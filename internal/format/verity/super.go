package verity

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"ashlar/internal/foundation/uuid"
)

// superblockSize is the size of the superblock, in bytes.
const superblockSize = 512

var signature = [8]byte{'v', 'e', 'r', 'i', 't', 'y'}

// superblock is the on-disk form, little-endian, in this order
// (VERITY_SB of cryptsetup's lib/verity).
type superblock struct {
	Signature  [8]byte
	Version    uint32 // of the superblock: 1
	Type       uint32 // of the tree: 1, the salt stands before the data
	UUID       uuid.UUID
	Algorithm  [32]byte
	DataBlock  uint32 // bytes
	HashBlock  uint32 // bytes
	DataBlocks uint64
	SaltSize   uint16
	_          [6]byte
	Salt       [MaxSalt]byte
	_          [168]byte
}

func algorithm() (name [32]byte) {
	copy(name[:], "sha256")
	return name
}

func (o Options) superblock(dataSize int64) ([]byte, error) {
	s := superblock{
		Signature: signature, Version: 1, Type: 1, UUID: o.UUID, Algorithm: algorithm(),
		DataBlock: BlockSize, HashBlock: BlockSize, DataBlocks: uint64(dataSize / BlockSize), SaltSize: uint16(len(o.Salt)),
	}
	copy(s.Salt[:], o.Salt)
	return binary.Append(make([]byte, 0, BlockSize), binary.LittleEndian, &s)
}

// Info is what a superblock says.
type Info struct {
	UUID     uuid.UUID
	DataSize int64 // bytes of data that the tree covers
	HashSize int64 // bytes of the hash area, superblock included
	Salt     []byte
}

// ReadInfo reads the superblock of the hash area that starts at byte at of r.
// All that it says is foreign: only a root hash that is known from elsewhere tells
// whether it is true.
func ReadInfo(r io.ReaderAt, at int64) (Info, error) {
	raw := make([]byte, superblockSize)
	if _, err := r.ReadAt(raw, at); err != nil {
		return Info{}, fmt.Errorf("read verity superblock: %w", noEOF(err))
	}
	info, err := decodeSuperblock(raw)
	if err != nil {
		return Info{}, fmt.Errorf("read verity superblock: %w", err)
	}
	return info, nil
}

func decodeSuperblock(raw []byte) (Info, error) {
	var s superblock
	if _, err := binary.Decode(raw, binary.LittleEndian, &s); err != nil {
		return Info{}, err
	}
	name, _, _ := bytes.Cut(s.Algorithm[:], []byte{0})
	switch {
	case s.Signature != signature:
		return Info{}, errors.New("not a verity superblock")
	case s.Version != 1 || s.Type != 1:
		return Info{}, fmt.Errorf("version %d, type %d: only version 1, type 1 are read", s.Version, s.Type)
	case string(name) != "sha256":
		return Info{}, fmt.Errorf("hash %.32q: only sha256 is read", name)
	case s.DataBlock != BlockSize || s.HashBlock != BlockSize:
		return Info{}, fmt.Errorf("blocks of %d and %d bytes: only %d is read", s.DataBlock, s.HashBlock, BlockSize)
	case s.SaltSize > MaxSalt:
		return Info{}, fmt.Errorf("salt of %d bytes, at most %d", s.SaltSize, MaxSalt)
	case s.DataBlocks == 0 || s.DataBlocks > maxData/BlockSize:
		return Info{}, fmt.Errorf("%d data blocks", s.DataBlocks)
	}
	info := Info{UUID: s.UUID, DataSize: int64(s.DataBlocks) * BlockSize, Salt: bytes.Clone(s.Salt[:s.SaltSize])}
	_, info.HashSize = levelsOf(int64(s.DataBlocks))
	return info, nil
}

// noEOF keeps a short input from passing for the end of one that is whole.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
