// Package bzimage takes the uncompressed kernel out of an x86 bzImage: the file
// that virtual machine monitors start which bring no boot loader.
//
// A bzImage (Documentation/arch/x86/boot.rst) is setup code of whole sectors
// with a header at a fixed place, and behind it a program that unpacks its
// payload: the kernel as an ELF file, stripped, and behind that a table of
// relocations that only the unpacking program uses. From protocol 2.08 on the
// header says where the payload lies. It is a stream of gzip, zstd, xz or
// legacy LZ4; all but gzip's have the plain size in 4 bytes behind them.
//
// Not done: bzip2, LZMA and LZO, which no distribution uses any more; other
// architectures, whose images have other headers.
package bzimage

import (
	"bytes"
	"compress/gzip"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/mikelolasagasti/xz"

	"ashlar/internal/format/lz4"
)

// Places in the file, all numbers little-endian.
const (
	offSetupSectors = 0x1f1 // byte: sectors of setup code beside the first; 0 means 4
	offBootFlag     = 0x1fe // 0xaa55
	offMagic        = 0x202 // "HdrS"
	offVersion      = 0x206 // 2 bytes: protocol
	offPayload      = 0x248 // 4 bytes: from the end of the setup code
	offLength       = 0x24c // 4 bytes
	headerEnd       = 0x250

	sector       = 512
	leastVersion = 0x0208
	trailer      = 4 // bytes of the plain size behind a stream
)

// MaxKernel bounds an unpacked kernel, in bytes; Debian's have 50 to 90 MB.
const MaxKernel = 256 << 20

// window is the most that zstd and xz may refer back: the kernel packs with 128 MiB.
const window = 128 << 20

// Kernel gives the kernel of a bzImage as an ELF file.
func Kernel(image []byte) ([]byte, error) { return kernel(image, MaxKernel) }

func kernel(image []byte, limit int) ([]byte, error) {
	payload, err := payloadOf(image)
	if err != nil {
		return nil, fmt.Errorf("read bzImage: %w", err)
	}
	plain, err := unpack(payload, limit)
	if err != nil {
		return nil, fmt.Errorf("unpack kernel: %w", err)
	}
	end, err := endOf(plain)
	if err != nil {
		return nil, fmt.Errorf("unpack kernel: %w", err)
	}
	return plain[:end], nil
}

// payloadOf finds the compressed kernel.
func payloadOf(image []byte) ([]byte, error) {
	if len(image) < headerEnd || binary.LittleEndian.Uint16(image[offBootFlag:]) != 0xaa55 || string(image[offMagic:offMagic+4]) != "HdrS" {
		return nil, errors.New("it has no setup header")
	}
	if version := binary.LittleEndian.Uint16(image[offVersion:]); version < leastVersion {
		return nil, fmt.Errorf("boot protocol %d.%02d does not say where the kernel is", version>>8, version&0xff)
	}
	sectors := int64(image[offSetupSectors])
	if sectors == 0 {
		sectors = 4
	}
	start := (sectors+1)*sector + int64(binary.LittleEndian.Uint32(image[offPayload:]))
	length := int64(binary.LittleEndian.Uint32(image[offLength:]))
	if length < 2*trailer || start+length > int64(len(image)) {
		return nil, fmt.Errorf("a payload of %d bytes at %d in a file of %d", length, start, len(image))
	}
	return image[start : start+length], nil
}

// formats is the table of what a payload begins with.
var formats = []struct {
	magic  string
	sized  bool // the plain size stands behind the stream
	unpack func(stream []byte, limit int) ([]byte, error)
}{
	{"\x1f\x8b", false, unpackGzip},
	{"\x28\xb5\x2f\xfd", true, unpackZstd},
	{"\xfd7zXZ\x00", true, unpackXZ},
	{lz4Magic, true, unpackLZ4},
}

func unpack(payload []byte, limit int) ([]byte, error) {
	for _, f := range formats {
		if !bytes.HasPrefix(payload, []byte(f.magic)) {
			continue
		}
		if !f.sized {
			return f.unpack(payload, limit)
		}
		cut := len(payload) - trailer
		plain, err := f.unpack(payload[:cut], limit)
		if want := binary.LittleEndian.Uint32(payload[cut:]); err == nil && int64(want) != int64(len(plain)) {
			err = fmt.Errorf("%d bytes, the image says %d", len(plain), want)
		}
		return plain, err
	}
	return nil, fmt.Errorf("no known compression begins with % x", payload[:min(len(payload), 6)])
}

func unpackGzip(data []byte, limit int) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	r.Multistream(false)
	return readAll(r, limit)
}

func unpackZstd(data []byte, limit int) ([]byte, error) {
	d, err := zstd.NewReader(bytes.NewReader(data), zstd.WithDecoderMaxMemory(uint64(limit)), zstd.WithDecoderMaxWindow(uint64(min(limit, window))), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return readAll(d, limit)
}

func unpackXZ(data []byte, limit int) ([]byte, error) {
	r, err := xz.NewReader(bytes.NewReader(data), uint32(window))
	if err != nil {
		return nil, err
	}
	r.Multistream(false)
	return readAll(r, limit)
}

// The legacy frames of LZ4: a magic number, then blocks of at most 8 MiB plain,
// each behind its length, to the end.
const (
	lz4Magic = "\x02\x21\x4c\x18"
	lz4Block = 8 << 20
)

func unpackLZ4(data []byte, limit int) ([]byte, error) {
	data = data[len(lz4Magic):]
	block := make([]byte, lz4Block)
	var plain []byte
	for len(data) > 0 {
		if len(data) < 4 {
			return nil, io.ErrUnexpectedEOF
		}
		length := int64(binary.LittleEndian.Uint32(data))
		if data = data[4:]; length > int64(len(data)) {
			return nil, io.ErrUnexpectedEOF
		}
		n, err := lz4.Decode(block, data[:length])
		if err != nil {
			return nil, err
		}
		if len(plain)+n > limit {
			return nil, tooLarge(limit)
		}
		plain, data = append(plain, block[:n]...), data[length:]
	}
	return plain, nil
}

func tooLarge(limit int) error { return fmt.Errorf("more than %d bytes", limit) }

func readAll(r io.Reader, limit int) ([]byte, error) {
	plain, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	if err == nil && len(plain) > limit {
		err = tooLarge(limit)
	}
	return plain, err
}

// endOf gives the length of the ELF file at the start of data: the end of what
// its tables name.
func endOf(data []byte) (int64, error) {
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return 0, err
	}
	if f.Class != elf.ELFCLASS64 || f.Machine != elf.EM_X86_64 || f.Type != elf.ET_EXEC && f.Type != elf.ET_DYN || len(f.Progs) == 0 {
		return 0, fmt.Errorf("it is %v for %v, not a kernel for x86-64", f.Type, f.Machine)
	}
	// Of the ELF header: where the section headers begin, how long each is, how many.
	end := binary.LittleEndian.Uint64(data[0x28:]) + uint64(binary.LittleEndian.Uint16(data[0x3a:]))*uint64(binary.LittleEndian.Uint16(data[0x3c:]))
	for _, p := range f.Progs {
		end = max(end, p.Off+p.Filesz)
	}
	for _, s := range f.Sections {
		if s.Type != elf.SHT_NOBITS {
			end = max(end, s.Offset+s.FileSize)
		}
	}
	if end > uint64(len(data)) {
		return 0, fmt.Errorf("an ELF file of %d bytes in %d", end, len(data))
	}
	return int64(end), nil
}
