package gpt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/uuid"
	"ashlar/internal/testenv"
)

// memory is a disk in memory that counts and can refuse writes, as a power cut does.
type memory struct {
	data []byte
	left int // writes until the cut; negative means no cut
}

var errCut = errors.New("power cut")

func (m *memory) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(m.data).ReadAt(p, off)
}

func (m *memory) WriteAt(p []byte, off int64) (int, error) {
	if m.left == 0 {
		return 0, errCut
	}
	m.left--
	if off+int64(len(p)) > int64(len(m.data)) {
		return 0, io.ErrShortWrite
	}
	return copy(m.data[off:], p), nil
}

func example() *Table {
	return &Table{
		DiskGUID: uuid.Derive("test", "disk"),
		Partitions: []Partition{
			{Name: "bios", Type: TypeBIOSBoot(), GUID: uuid.Derive("test", "bios"), FirstLBA: 2048, LastLBA: 4095},
			{Name: "esp", Type: TypeESP(), GUID: uuid.Derive("test", "esp"), FirstLBA: 4096, LastLBA: 8191},
			{Name: "zustand-ä", Type: TypeLinuxData(), GUID: uuid.Derive("test", "state"), FirstLBA: 8192, LastLBA: 10239, Attributes: 4},
		},
	}
}

const exampleSize = 6 << 20

func newDisk(t *testing.T, table *Table) *memory {
	t.Helper()
	m := &memory{data: make([]byte, exampleSize), left: -1}
	if err := Write(m, exampleSize, table, bytes.Repeat([]byte{0x90}, BootCodeSize)); err != nil {
		t.Fatal(err)
	}
	return m
}

func verify(t *testing.T, disk []byte) {
	t.Helper()
	sgdisk := testenv.RequireTool(t, "sgdisk")
	image := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(image, disk, 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(sgdisk, "-v", image).CombinedOutput()
	// The gap before the first usable sector (fdisk leaves it too) is where Grow
	// puts its array: the one thing that sgdisk may remark on.
	text := strings.ReplaceAll(string(out), "Warning: There is a gap between the main", "")
	if err != nil || !strings.Contains(text, "No problems found") || strings.Contains(text, "Warning") || strings.Contains(text, "Caution") {
		t.Errorf("sgdisk -v: %v\n%s", err, text)
	}
}

func TestWriteReadsBack(t *testing.T) {
	m := newDisk(t, example())
	got, err := Read(m, exampleSize)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(example(), got); diff != "" {
		t.Error(diff)
	}
	if !bytes.Equal(m.data[:BootCodeSize], bytes.Repeat([]byte{0x90}, BootCodeSize)) {
		t.Error("boot code is not at the start of the disk")
	}
	verify(t, m.data)
	const golden = "b0069a22633068241efb9525ba393553f2fd5fcbab16d7b747558f56832e9d04"
	if sum := digest.Of(m.data).String(); sum != golden {
		t.Errorf("digest of the disk is %s, want %s", sum, golden)
	}
}

func TestReadFallsBackToBackup(t *testing.T) {
	for _, broken := range []int{SectorSize + 3, SectorSize + 60, 2*SectorSize + 40} {
		m := newDisk(t, example())
		m.data[broken] ^= 0xff
		got, err := Read(m, exampleSize)
		if err != nil {
			t.Fatalf("byte %d broken: %v", broken, err)
		}
		if diff := cmp.Diff(example(), got); diff != "" {
			t.Error(diff)
		}
		m.data[exampleSize-SectorSize+20] ^= 0xff
		if _, err := Read(m, exampleSize); err == nil {
			t.Errorf("byte %d and the backup broken: still read", broken)
		}
	}
}

func TestWriteRefuses(t *testing.T) {
	cases := map[string]func(*Table){
		"overlap": func(t *Table) { t.Partitions[1].FirstLBA = 4095 },
		"within":  func(t *Table) { t.Partitions[2].LastLBA = exampleSize/SectorSize - 1 },
		"type":    func(t *Table) { t.Partitions[0].Type = uuid.UUID{} },
		"longer":  func(t *Table) { t.Partitions[0].Name = strings.Repeat("x", 37) },
	}
	for want, spoil := range cases {
		table := example()
		spoil(table)
		m := &memory{data: make([]byte, exampleSize), left: -1}
		if err := Write(m, exampleSize, table, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got error %v", want, err)
		}
	}
}

func TestGrowTwice(t *testing.T) {
	m := newDisk(t, example())
	for _, size := range []int{9<<20 + 512, 40 << 20} {
		m.data = append(m.data, make([]byte, size-len(m.data))...)
		got, changed, err := Grow(m, int64(size), "zustand-ä")
		if err != nil || !changed {
			t.Fatalf("grow to %d: changed %v, %v", size, changed, err)
		}
		last := got.Find("zustand-ä")
		if end := last.Offset() + last.Size(); end%Alignment != 0 || int64(size)-end > 2*Alignment {
			t.Errorf("grown to %d of %d", end, size)
		}
		read, err := Read(m, int64(size))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(got, read); diff != "" {
			t.Error(diff)
		}
		verify(t, m.data)
		if _, changed, err := Grow(m, int64(size), "zustand-ä"); changed || err != nil {
			t.Errorf("growing again: changed %v, %v", changed, err)
		}
	}
	if m.data[0] != 0x90 {
		t.Error("boot code is lost")
	}
}

func TestGrowRefuses(t *testing.T) {
	m := newDisk(t, example())
	if _, _, err := Grow(m, exampleSize, "esp"); err == nil || !strings.Contains(err.Error(), "behind") {
		t.Errorf("not the last: %v", err)
	}
	if _, _, err := Grow(m, exampleSize, "none"); err == nil || !strings.Contains(err.Error(), "no such") {
		t.Errorf("not there: %v", err)
	}
}

// After a power cut at any write of Grow the primary is the old table or the
// new one, and growing again finishes.
func TestGrowSurvivesPowerCuts(t *testing.T) {
	const size = 9 << 20
	sectors := uint64(size / SectorSize)
	for cut := 0; ; cut++ {
		m := newDisk(t, example())
		m.data = append(m.data, make([]byte, size-exampleSize)...)
		m.left = cut
		_, _, err := Grow(m, size, "zustand-ä")
		if err != nil && !errors.Is(err, errCut) {
			t.Fatal(err)
		}
		if _, _, err := readAt(m, sectors, primaryHeaderLBA); err != nil {
			t.Errorf("cut before write %d: primary: %v", cut, err)
		}
		m.left = -1
		if _, _, err := Grow(m, size, "zustand-ä"); err != nil {
			t.Errorf("cut before write %d: grow again: %v", cut, err)
		}
		if table, err := Read(m, size); err != nil || table.Find("zustand-ä").LastLBA != 16383 {
			t.Errorf("cut before write %d: %+v, %v", cut, table, err)
		}
		if err == nil {
			break
		}
	}
}

func FuzzRead(f *testing.F) {
	m := &memory{data: make([]byte, exampleSize), left: -1}
	if err := Write(m, exampleSize, example(), nil); err != nil {
		f.Fatal(err)
	}
	f.Add(m.data[:40*SectorSize])
	f.Add(m.data[len(m.data)-34*SectorSize:])
	short := bytes.Clone(m.data[:40*SectorSize])
	binary.LittleEndian.PutUint32(short[SectorSize+80:], 1<<30)
	f.Add(short)
	f.Fuzz(func(t *testing.T, data []byte) {
		data = repaired(data)
		table, err := Read(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		for _, p := range table.Partitions {
			if p.Offset() < 0 || p.Size() <= 0 || p.Offset()+p.Size() > int64(len(data)) {
				t.Errorf("partition %+v is not on the disk", p)
			}
		}
	})
}

// repaired gives the data with checksums that hold, so that fuzzing gets past them.
func repaired(data []byte) []byte {
	le := binary.LittleEndian
	data = bytes.Clone(data)
	if len(data) < 2*SectorSize {
		return data
	}
	h := data[SectorSize : 2*SectorSize]
	array, length := le.Uint64(h[72:])*SectorSize, uint64(le.Uint32(h[80:]))*uint64(le.Uint32(h[84:]))
	if array < uint64(len(data)) && length <= uint64(len(data))-array {
		le.PutUint32(h[88:], crc32.ChecksumIEEE(data[array:array+length]))
	}
	if n := le.Uint32(h[12:]); n >= headerSize && n <= SectorSize {
		le.PutUint32(h[16:], 0)
		le.PutUint32(h[16:], crc32.ChecksumIEEE(h[:n]))
	}
	return data
}
