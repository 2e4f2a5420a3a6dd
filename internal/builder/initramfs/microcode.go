package initramfs

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"path"
	"slices"
	"strings"

	"ashlar/internal/format/cpio"
	"ashlar/internal/foundation/tree"
)

// MicrocodePackages gives Debian's packages from whose files Build makes early
// microcode, none where processors take none. They are in the component
// non-free-firmware.
func MicrocodePackages(arch string) []string {
	if arch == "amd64" {
		return []string{"amd64-microcode", "intel-microcode"}
	}
	return nil
}

// firmwareDirs are where packages keep firmware: below /usr since trixie.
var firmwareDirs = []string{"usr/lib/firmware/", "lib/firmware/"}

// microcodeSources are the files that the kernel looks for in an uncompressed
// archive at the very beginning of the initramfs, before anything else runs
// (Documentation/arch/x86/microcode.rst), and what they are joined from.
var microcodeSources = []struct {
	name  string
	files string // a pattern below a firmware directory
	join  func(files [][]byte) ([]byte, error)
}{
	{"kernel/x86/microcode/AuthenticAMD.bin", "amd-ucode/*.bin", joinAMD},
	{"kernel/x86/microcode/GenuineIntel.bin", "intel-ucode/*", joinIntel},
}

// microcode gives the archive of early microcode; nil when no package of the
// kernel's has any. Bodies stand at multiples of 16 bytes, as processors want it.
func (k *Kernel) microcode(epoch int64) ([]byte, error) {
	t := &tree.Tree{}
	for _, source := range microcodeSources {
		files, err := k.firmware(source.files)
		if err != nil || len(files) == 0 {
			if err != nil {
				return nil, err
			}
			continue
		}
		data, err := source.join(files)
		if err != nil {
			return nil, fmt.Errorf("join %s: %w", source.name, err)
		}
		e := tree.NewFile(source.name, 0o644, data)
		e.MTime = epoch
		if err := t.AddParents(e.Path, 0o755, epoch); err != nil {
			return nil, err
		}
		if err := t.Put(e); err != nil {
			return nil, err
		}
	}
	if t.Len() == 0 {
		return nil, nil
	}
	var out bytes.Buffer
	err := cpio.Write(&out, t, cpio.Options{Align: 16})
	return out.Bytes(), err
}

// firmware reads the files of a pattern, by name.
func (k *Kernel) firmware(pattern string) ([][]byte, error) {
	var files [][]byte
	for _, name := range k.files.Paths() {
		for _, dir := range firmwareDirs {
			rel, ok := strings.CutPrefix(name, dir)
			if matches, _ := path.Match(pattern, rel); !ok || !matches || k.files.Get(name).Kind != tree.File {
				continue
			}
			const limit = 64 << 20
			data, err := k.files.Get(name).ReadAll(limit)
			if err != nil {
				return nil, fmt.Errorf("read firmware %s: %w", name, err)
			}
			files = append(files, data)
		}
	}
	return files, nil
}

// joinAMD puts containers one behind the other: the kernel walks through them.
// Each begins with its magic number.
func joinAMD(files [][]byte) ([]byte, error) {
	const magic = "DMA\x00"
	for _, data := range files {
		if !strings.HasPrefix(string(data[:min(len(data), len(magic))]), magic) {
			return nil, fmt.Errorf("%d bytes that begin with %q are no container of microcode", len(data), data[:min(len(data), 8)])
		}
	}
	return slices.Concat(files...), nil
}

// intelUpdate is a microcode update of Intel's (Software Developer's Manual,
// volume 3, section "Microcode Update Facilities").
type intelUpdate struct {
	revision   int32
	processor  uint32
	platforms  uint32 // a bit for each
	extensions bool   // it is for further processors
	data       []byte
}

// joinIntel puts updates in the order of their processors, each once. Files
// share updates; of two for the same processor and platforms the newer counts.
func joinIntel(files [][]byte) ([]byte, error) {
	var updates []intelUpdate
	seen := map[string]bool{}
	for _, data := range files {
		for len(data) > 0 {
			u, err := cutIntel(data)
			if err != nil {
				return nil, err
			}
			if data = data[len(u.data):]; !seen[string(u.data)] {
				seen[string(u.data)] = true
				updates = append(updates, u)
			}
		}
	}
	var out []byte
	slices.SortStableFunc(updates, func(a, b intelUpdate) int { return int(int64(a.processor) - int64(b.processor)) })
	for _, u := range updates {
		older := func(o intelUpdate) bool {
			return !u.extensions && o.processor == u.processor && o.platforms == u.platforms && o.revision > u.revision
		}
		if !slices.ContainsFunc(updates, older) {
			out = append(out, u.data...)
		}
	}
	return out, nil
}

// cutIntel takes the first update off: a header of 48 bytes, the data, and
// perhaps a table of more processors. Its 32-bit words add up to 0.
func cutIntel(data []byte) (u intelUpdate, err error) {
	const headerSize, oldData, unit = 48, 2000, 4
	if len(data) < headerSize {
		return u, fmt.Errorf("%d bytes are too few for an update", len(data))
	}
	word := func(n int) uint32 { return binary.LittleEndian.Uint32(data[unit*n:]) }
	if version := word(0); version != 1 {
		return u, fmt.Errorf("an update has the header version %d, want 1", version)
	}
	size, total := int64(word(7)), int64(word(8))
	if size == 0 {
		size, total = oldData, oldData+headerSize
	}
	if total%unit != 0 || total < headerSize+size || total > int64(len(data)) {
		return u, fmt.Errorf("an update says that it has %d bytes, and %d of data, where %d are left", total, size, len(data))
	}
	sum := uint32(0)
	for n := range int(total / unit) {
		sum += word(n)
	}
	if sum != 0 {
		return u, fmt.Errorf("the update for processor %#x is damaged: its sum is %#x", word(3), sum)
	}
	return intelUpdate{int32(word(1)), word(3), word(6), total > headerSize+size, data[:total]}, nil
}
