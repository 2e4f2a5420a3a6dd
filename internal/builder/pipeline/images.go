package pipeline

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/klauspost/compress/zstd"

	"ashlar/internal/builder/lock"
	"ashlar/internal/builder/target"
	"ashlar/internal/contract/imageinfo"
	"ashlar/internal/contract/layout"
	"ashlar/internal/format/cpio"
	"ashlar/internal/format/iso9660"
	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/tree"
)

// Image is a file that Inspect and Diff look into: its parts as trees.
type Image struct {
	Kind     string               `json:"kind"` // "disk", "squashfs", "erofs", "initrd", "lock", "file"
	Size     int64                `json:"size"`
	Digest   digest.Digest        `json:"sha256"`
	Parts    []ImagePart          `json:"parts,omitempty"`
	Manifest []imageinfo.Manifest `json:"manifests,omitempty"` // of the generations on a disk
	Lock     *lock.Lock           `json:"-"`
	file     *os.File
}

// KindOther is the kind of a file that is none of the others.
const KindOther = "file"

// ImagePart is a file system of an image.
type ImagePart struct {
	Name    string     `json:"name"`
	Format  string     `json:"format"`
	Offset  int64      `json:"offset"`
	Size    int64      `json:"size"`
	Entries int        `json:"entries"`
	Bytes   int64      `json:"bytes"` // of files
	Tree    *tree.Tree `json:"-"`
}

// Close ends the reading.
func (i *Image) Close() error { return i.file.Close() }

// OpenImage looks at a file: a lock, a disk image, a squashfs or EROFS image, an initrd
// or else. What cannot be read twice, as a pipe, is refused before it is opened.
func OpenImage(name string) (*Image, error) {
	f, err := openFile(name)
	if err != nil {
		return nil, fmt.Errorf("read image: %w", err)
	}
	image, err := openImage(f)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read image %s: %w", name, err), f.Close())
	}
	image.file = f
	return image, nil
}

// openFile opens a file or a disk of the host.
func openFile(name string) (*os.File, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	const disk = fs.ModeDevice
	if mode := info.Mode(); !mode.IsRegular() && mode.Type() != disk {
		return nil, fmt.Errorf("%s is not a file but a %s", name, kindOf(mode))
	}
	return os.Open(name)
}

// CheckDisk looks at the first sector of a file that is to be booted.
func CheckDisk(name string) (err error) {
	f, err := openFile(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	sector := make([]byte, 512)
	if _, err := io.ReadFull(f, sector); err != nil || string(sector[510:]) != "\x55\xaa" {
		return fmt.Errorf("%s is not a disk image: it has no boot sector", name)
	}
	return nil
}

func kindOf(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "directory"
	case mode&fs.ModeNamedPipe != 0:
		return "pipe"
	case mode&fs.ModeSocket != 0:
		return "socket"
	}
	return "device"
}

func openImage(f *os.File) (*Image, error) {
	d, size, err := digest.Reader(f)
	if err != nil {
		return nil, err
	}
	i := &Image{Kind: KindOther, Size: size, Digest: d}
	head := make([]byte, headSize)
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	for _, k := range kinds() {
		if k.is(filepath.Base(f.Name()), head[:n]) {
			i.Kind = k.name
			return i, k.read(i, f, size)
		}
	}
	return i, nil
}

// headSize is how much of a file tells its kind: past the first volume
// descriptor of an ISO image (at 32 KiB).
const headSize = 36 << 10

// kind is a kind of file that has parts to look into.
type kind struct {
	name string
	is   func(name string, head []byte) bool // by the file's base name and first bytes
	read func(i *Image, f *os.File, size int64) error
}

// kinds is the table of what Inspect and Diff look into; the first that fits counts.
func kinds() []kind {
	magic := func(at int, text string) func(string, []byte) bool {
		return func(_ string, head []byte) bool { return len(head) >= at && bytes.HasPrefix(head[at:], []byte(text)) }
	}
	return []kind{
		{"iso", magic(iso9660.SystemArea+1, "CD001"), func(i *Image, f *os.File, size int64) error { return i.addISO(f, size) }},
		{"squashfs", magic(0, squashfsMagic), (*Image).addRoot},
		{"erofs", magic(erofsMagicAt, erofsMagic), (*Image).addRoot},
		{"disk", magic(512, "EFI PART"), func(i *Image, f *os.File, size int64) error { return i.addDisk(f, size) }},
		{"initrd", magic(0, zstdMagic), (*Image).addInitrd},
		{"efi", isProgram, (*Image).addProgram},
		{"oci", isOCI, (*Image).addOCI},
		{"lock", isLock, (*Image).addLock},
	}
}

func isLock(name string, head []byte) bool {
	return name == LockName || bytes.HasPrefix(head, []byte("{")) && bytes.Contains(head, []byte(`"arches":`))
}

func (i *Image) addLock(f *os.File, size int64) error {
	data, err := io.ReadAll(io.NewSectionReader(f, 0, min(size, lock.MaxSize+1)))
	if err != nil {
		return err
	}
	if i.Lock, err = lock.Parse(data); err != nil {
		return fmt.Errorf("%w: %w", ErrBadLock, err)
	}
	return nil
}

func (i *Image) addInitrd(f *os.File, size int64) error {
	t, err := readInitrd(io.NewSectionReader(f, 0, size))
	if err == nil {
		i.addPart(layout.GenInitrd, "cpio", 0, size, t)
	}
	return err
}

// zstdMagic begins a frame (RFC 8878, section 3.1.1).
const zstdMagic = "\x28\xb5\x2f\xfd"

// cpioMagic begins an initrd that has early microcode before its archive.
const cpioMagic = "070701"

// readInitrd reads what initramfs.Build makes; early microcode is passed over.
func readInitrd(r io.Reader) (*tree.Tree, error) {
	const limit = 256 << 20                 // of the archive and of the decoder's window
	packed := bufio.NewReaderSize(r, 1<<20) // cpio.Read takes no more of it than the archive
	if head, err := packed.Peek(len(cpioMagic)); err == nil && string(head) == cpioMagic {
		if _, err := cpio.Read(packed, cpio.Limits{Bytes: limit}); err != nil {
			return nil, err
		}
	}
	d, err := zstd.NewReader(packed, zstd.WithDecoderMaxMemory(limit), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return readArchives(bufio.NewReaderSize(io.LimitReader(d, limit), 1<<20), limit)
}

func (i *Image) addPart(name, format string, offset, size int64, t *tree.Tree) {
	p := ImagePart{Name: name, Format: format, Offset: offset, Size: size, Tree: t}
	if t != nil {
		p.Entries = t.Len()
		for _, path := range t.Paths() {
			p.Bytes += t.Get(path).Size
		}
	}
	i.Parts = append(i.Parts, p)
}

// addISO reads the files of a CD, the EFI system partition and the images that
// generations hold.
func (i *Image) addISO(r io.ReaderAt, size int64) error {
	volume, err := iso9660.Open(r, size)
	if err != nil {
		return err
	}
	t, err := volume.Tree()
	if err != nil {
		return err
	}
	i.addPart(layout.PartCD, "iso9660", 0, volume.Size, t)
	if disk, err := target.OpenDisk(r, size); err == nil {
		for _, p := range disk.Partitions {
			if p.Name == layout.PartESP {
				i.addPart(p.Name, p.Format, p.Offset, p.Size, p.Tree)
			}
		}
	}
	return i.addGenerations(t)
}

// addDisk reads the partitions, and the images that generations hold.
func (i *Image) addDisk(r io.ReaderAt, size int64) error {
	disk, err := target.OpenDisk(r, size)
	if err != nil {
		return err
	}
	for _, p := range disk.Partitions {
		i.addPart(p.Name, p.Format, p.Offset, p.Size, p.Tree)
		if p.Name != layout.PartSystem || p.Tree == nil {
			continue
		}
		if err := i.addGenerations(p.Tree); err != nil {
			return err
		}
	}
	return nil
}

func (i *Image) addGenerations(t *tree.Tree) error {
	for _, name := range t.Paths() {
		e := t.Get(name)
		switch {
		case path.Base(name) == layout.GenManifest:
			const limit = 64 << 20
			data, err := e.ReadAll(limit)
			if err != nil {
				return err
			}
			var m imageinfo.Manifest
			if err := json.Unmarshal(data, &m); err != nil {
				return fmt.Errorf("read %s: %w", name, err)
			}
			i.Manifest = append(i.Manifest, m)
		case path.Base(name) == layout.GenRoot || path.Base(name) == layout.GenModules:
			if err := i.addImageOf(path.Base(name), e); err != nil {
				return err
			}
		}
	}
	return nil
}
