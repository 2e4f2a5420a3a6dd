package grub

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/ulikunitz/xz/lzma"
)

// Objects after the kernel: a header {magic, offset of the first object, size
// of all with this header}, then each as {type, size with this header, bytes},
// padded to 4 bytes.
const (
	moduleMagic      = 0x676d696d
	moduleInfoSize   = 12
	objectHeaderSize = 8

	objectModule = 0
	objectConfig = 2
	objectPrefix = 3
)

// payload is the kernel with the objects behind it.
func (in Input) payload() ([]byte, error) {
	kernel, err := in.kernel()
	if err != nil {
		return nil, err
	}
	modules, err := in.closure()
	if err != nil {
		return nil, err
	}
	var objects []byte
	for _, name := range modules {
		data, err := in.read(name + ".mod")
		if err != nil {
			return nil, err
		}
		if !bytes.HasPrefix(data, []byte(elfMagic)) {
			return nil, fmt.Errorf("%s.mod: not an ELF object", name)
		}
		objects = appendObject(objects, objectModule, data)
	}
	if len(in.Config) > 0 {
		objects = appendObject(objects, objectConfig, terminated(in.Config))
	}
	if in.Prefix != "" {
		objects = appendObject(objects, objectPrefix, terminated([]byte(in.Prefix)))
	}
	out := binary.LittleEndian.AppendUint32(kernel, moduleMagic)
	out = binary.LittleEndian.AppendUint32(out, moduleInfoSize)
	out = binary.LittleEndian.AppendUint32(out, uint32(moduleInfoSize+len(objects)))
	return append(out, objects...), nil
}

func appendObject(out []byte, kind uint32, data []byte) []byte {
	padded := (len(data) + 3) &^ 3
	out = binary.LittleEndian.AppendUint32(out, kind)
	out = binary.LittleEndian.AppendUint32(out, uint32(objectHeaderSize+padded))
	out = append(out, data...)
	return append(out, make([]byte, padded-len(data))...)
}

func terminated(text []byte) []byte { return append(bytes.Clone(text), 0) }

// Parts of ELF's 32-bit file and program headers.
const (
	elfMagic       = "\x7fELF\x01\x01" // 32 bits, little-endian
	elfHeaderSize  = 52
	elfPhoff       = 28 // u32
	elfPhentsize   = 42 // u16
	elfPhnum       = 44 // u16
	elfSegmentSize = 32
	segmentLoad    = 1
)

// kernel gives the bytes that kernel.img loads at its link address: its only
// loadable segment, without the zeroes after it. GRUB looks for the modules
// right where these bytes end.
func (in Input) kernel() ([]byte, error) {
	file, err := in.read("kernel.img")
	if err != nil {
		return nil, err
	}
	if len(file) < elfHeaderSize || !bytes.HasPrefix(file, []byte(elfMagic)) {
		return nil, fmt.Errorf("kernel.img: not a 32-bit ELF file")
	}
	if size := binary.LittleEndian.Uint16(file[elfPhentsize:]); size != elfSegmentSize {
		return nil, fmt.Errorf("kernel.img: program headers of %d bytes, want %d", size, elfSegmentSize)
	}
	offset := uint64(binary.LittleEndian.Uint32(file[elfPhoff:]))
	count := uint64(binary.LittleEndian.Uint16(file[elfPhnum:]))
	if offset+count*elfSegmentSize > uint64(len(file)) {
		return nil, fmt.Errorf("kernel.img: program headers leave the file")
	}
	var image []byte
	for i := range count {
		segment := file[offset+i*elfSegmentSize:][:elfSegmentSize]
		word := func(at int) uint64 { return uint64(binary.LittleEndian.Uint32(segment[at:])) }
		if word(0) != segmentLoad {
			continue
		}
		start, address, size := word(4), word(8), word(16)
		switch {
		case image != nil:
			return nil, fmt.Errorf("kernel.img: more than one loadable segment")
		case address != linkAddress:
			return nil, fmt.Errorf("kernel.img: linked at %#x, want %#x", address, linkAddress)
		case size == 0 || start+size > uint64(len(file)):
			return nil, fmt.Errorf("kernel.img: its segment leaves the file")
		}
		image = bytes.Clone(file[start : start+size])
	}
	if image == nil {
		return nil, fmt.Errorf("kernel.img: no loadable segment")
	}
	return image, nil
}

// lzmaHeader is what the LZMA file format puts before the stream:
// properties, dictionary size, unpacked size. GRUB's decompressor takes the
// bare stream, has the properties built in and unpacks into flat memory.
const lzmaHeader = 1 + 4 + 8

// compress makes the raw LZMA stream that lzma_decompress.img unpacks.
func compress(payload []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := lzma.WriterConfig{
		Properties:   &lzma.Properties{LC: 3, LP: 0, PB: 2},
		DictCap:      1 << 20, // more than any payload that fits
		Matcher:      lzma.HashTable4,
		Size:         int64(len(payload)),
		SizeInHeader: true,
	}.NewWriter(&out)
	if err != nil {
		return nil, fmt.Errorf("compress: %w", err)
	}
	if _, err := io.Copy(w, bytes.NewReader(payload)); err != nil {
		return nil, fmt.Errorf("compress: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("compress: %w", err)
	}
	return out.Bytes()[lzmaHeader:], nil
}
