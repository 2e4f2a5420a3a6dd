package pe

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/tree"
)

const (
	testAlign   = 512
	testMemory  = 4096
	testHeaders = 1024
	testPE      = 128
	testOpt     = testPE + coffSize
	testTable   = testOpt + 240
)

// program makes a PE32+ program with the sections .text and .data and, behind
// them, as many bytes as are asked for.
func program(behind int) []byte {
	b := make([]byte, testHeaders+2*testAlign+behind)
	le := binary.LittleEndian
	copy(b, "MZ")
	le.PutUint32(b[mzPointer:], testPE)
	copy(b[testPE:], "PE\x00\x00")
	le.PutUint16(b[testPE+4:], MachineAMD64)
	le.PutUint16(b[testPE+6:], 2)
	le.PutUint16(b[testPE+20:], 240)
	opt := b[testOpt:]
	le.PutUint16(opt, magic64)
	le.PutUint32(opt[optDataSize:], testAlign)
	le.PutUint32(opt[optSectAlign:], testMemory)
	le.PutUint32(opt[optFileAlign:], testAlign)
	le.PutUint32(opt[optImageSize:], 3*testMemory)
	le.PutUint32(opt[optHeadersSize:], testHeaders)
	le.PutUint16(opt[optSubsystem:], SubsystemEFI)
	le.PutUint32(opt[optCount64:], 16)
	for n, name := range []string{".text", ".data"} {
		row := b[testTable+n*sectionSize:]
		copy(row, name)
		le.PutUint32(row[8:], 300)
		le.PutUint32(row[12:], uint32(n+1)*testMemory)
		le.PutUint32(row[16:], testAlign)
		le.PutUint32(row[20:], uint32(testHeaders+n*testAlign))
		le.PutUint32(row[36:], []uint32{FlagCode | FlagRead, FlagData | FlagRead}[n])
	}
	copy(b[testHeaders:], "code")
	copy(b[testHeaders+testAlign:], "data")
	copy(b[testHeaders+2*testAlign:], strings.Repeat("x", behind))
	return b
}

func section(name, content string) NewSection {
	return NewSection{Name: name, Content: tree.NewFile("content", 0o644, []byte(content))}
}

// write gives the bytes of a planned program.
func write(t testing.TB, p *Program) []byte {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "program"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := p.Write(f); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	if int64(len(data)) != p.Size {
		t.Errorf("%d bytes are written, %d planned", len(data), p.Size)
	}
	return data
}

func added(t testing.TB, program []byte, sections ...NewSection) []byte {
	t.Helper()
	p, err := Add(program, sections)
	if err != nil {
		t.Fatal(err)
	}
	return write(t, p)
}

func open(t testing.TB, data []byte) *File {
	t.Helper()
	f, err := Open(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestAdd(t *testing.T) {
	for _, behind := range []int{0, 1, 511, 512} {
		data := added(t, program(behind), section(".cmdline", "quiet"), section(".linux", strings.Repeat("kernel", 1000)), section(".x", "y"))
		f := open(t, data)
		if f.Machine != MachineAMD64 || f.Subsystem != SubsystemEFI || f.Signed || len(f.Sections) != 5 {
			t.Fatalf("%d behind: %+v", behind, f)
		}
		for name, want := range map[string]string{".cmdline": "quiet", ".linux": strings.Repeat("kernel", 1000), ".x": "y"} {
			s := f.Section(name)
			got, err := io.ReadAll(f.Data(s))
			if err != nil || string(got) != want || s.Flags != FlagData|FlagRead || s.Offset%testAlign != 0 || s.VirtualAddress%testMemory != 0 {
				t.Errorf("%d behind: %+v has %d bytes, %v", behind, s, len(got), err)
			}
		}
		sum, err := f.Sum()
		if err != nil || f.Checksum != sum {
			t.Errorf("%d behind: checksum %#x, should be %#x, %v", behind, f.Checksum, sum, err)
		}
		if !bytes.Equal(data[testHeaders:testHeaders+2*testAlign+behind], program(behind)[testHeaders:]) {
			t.Errorf("%d behind: what was there has changed", behind)
		}
		if f.Section(".none") != nil {
			t.Error("a section is found that is not there")
		}
	}
}

// TestGolden: the bytes stay the same for ever.
func TestGolden(t *testing.T) {
	got := digest.Of(added(t, program(7), section(".a", "1"), section(".b", "22")))
	const want = "8a02422d872be0fee995fa07663ebccfbceeffa84d86259e0fb8ca4dae0b148c"
	if got.String() != want {
		t.Errorf("the digest is %s, was %s", got, want)
	}
}

func TestAddRefuses(t *testing.T) {
	signed := program(0)
	binary.LittleEndian.PutUint32(signed[testOpt+optCount64+4+securityRow*directoryRow:], 0x400)
	full := program(0)
	full[testHeaders-1] = 1
	many := make([]NewSection, 14)
	for n := range many {
		many[n] = section("s"+string(rune('a'+n)), "x")
	}
	huge := section(".huge", "x")
	huge.Content.Size = 1<<32 - 1
	for name, c := range map[string]struct {
		program  []byte
		sections []NewSection
		want     string
	}{
		"signed":   {signed, many[:1], "signed"},
		"full":     {full, many, "have room for"},
		"many":     {program(0), many, "have room for 13"},
		"taken":    {program(0), []NewSection{section(".text", "x")}, "there already"},
		"twice":    {program(0), []NewSection{many[0], many[0]}, "there already"},
		"long":     {program(0), []NewSection{section(".ninechar", "x")}, "section name"},
		"nameless": {program(0), []NewSection{section("", "x")}, "section name"},
		"empty":    {program(0), []NewSection{section(".a", "")}, "0 bytes"},
		"4 GiB":    {program(0), []NewSection{huge}, "at most 4 GiB"},
		"not PE":   {[]byte(strings.Repeat("MZ", 600)), many[:1], "PE header"},
	} {
		if _, err := Add(c.program, c.sections); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", name, err, c.want)
		}
	}
}

// TestWriteRefusesOtherContent: content of another size than planned.
func TestWriteRefusesOtherContent(t *testing.T) {
	for _, size := range []int64{1, 3} {
		s := section(".a", "22")
		s.Content.Size = size
		p, err := Add(program(0), []NewSection{s})
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.Create(filepath.Join(t.TempDir(), "program"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := p.Write(f); err == nil || !strings.Contains(err.Error(), "content gave 2 bytes") {
			t.Errorf("%d: %v", size, err)
		}
	}
}

// TestOpenRefuses changes one field of the headers at a time.
func TestOpenRefuses(t *testing.T) {
	row := testTable + sectionSize
	for name, c := range map[string]struct {
		at    int
		value uint32
		want  string
	}{
		"mz":              {0, 0, "no MZ"},
		"pointer":         {mzPointer, 1 << 20, "PE header at byte"},
		"pointer to end":  {mzPointer, testHeaders + 2*testAlign - 8, "not in the file"},
		"signature":       {testPE, 0, "no PE header"},
		"no sections":     {testPE + 4, MachineAMD64, "0 sections"},
		"many sections":   {testPE + 4, MachineAMD64 | 97<<16, "97 sections"},
		"optional size":   {testPE + 20, 8, "optional header of 8"},
		"optional kind":   {testOpt, 0x107, "kind 0x107"},
		"alignment":       {testOpt + optFileAlign, 3, "aligned"},
		"alignments":      {testOpt + optSectAlign, 256, "aligned"},
		"headers":         {testOpt + optHeadersSize, 1 << 30, "headers of"},
		"odd headers":     {testOpt + optHeadersSize, 1000, "headers of"},
		"short headers":   {testOpt + optHeadersSize, 0, "section table ends"},
		"overlap":         {row + 12, testMemory, "not behind"},
		"misplaced":       {row + 12, 2*testMemory + 1, "not aligned"},
		"in the headers":  {row + 20, 4, "not in the file"},
		"behind the file": {row + 20, 1 << 31, "not in the file"},
		"too long":        {row + 16, 1<<32 - 1, "not in the file"},
		"image":           {testOpt + optImageSize, testMemory, "behind the image"},
	} {
		data := program(0)
		binary.LittleEndian.PutUint32(data[c.at:], c.value)
		if _, err := Open(bytes.NewReader(data), int64(len(data))); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", name, err, c.want)
		}
	}
	data := program(0)
	for n := range testHeaders {
		if _, err := Open(bytes.NewReader(data[:n]), int64(n)); err == nil {
			t.Errorf("the first %d bytes are read without an error", n)
		}
	}
}

// TestChecksumInPieces: however the bytes come, the sum is that of 16-bit words.
func TestChecksumInPieces(t *testing.T) {
	data := bytes.Repeat([]byte{0xff, 0xfe, 1, 0x80, 7, 0xff, 0xff}, 101)
	want := uint32(0)
	for n := 0; n < len(data); n += 2 {
		word := uint32(data[n])
		if n+1 < len(data) {
			word |= uint32(data[n+1]) << 8
		}
		want += word
		want = want>>16 + want&0xffff
	}
	want += uint32(len(data))
	for _, step := range []int{1, 2, 3, 5, 8, 1000} {
		var c checksum
		for rest := data; len(rest) > 0; rest = rest[min(step, len(rest)):] {
			if _, err := c.Write(rest[:min(step, len(rest))]); err != nil {
				t.Fatal(err)
			}
		}
		if got := c.result(int64(len(data))); got != want {
			t.Errorf("in pieces of %d: %#x, want %#x", step, got, want)
		}
	}
}

func FuzzOpen(f *testing.F) {
	f.Add(program(0))
	f.Add(program(3)[:testTable+50])
	f.Add([]byte("MZ"))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Open(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		for n := range file.Sections {
			if _, err := io.Copy(io.Discard, file.Data(&file.Sections[n])); err != nil {
				t.Errorf("section %d: %v", n, err)
			}
		}
		if _, err := file.Sum(); err != nil {
			t.Error(err)
		}
		p, err := Add(data, []NewSection{section(".fuzz", "content")})
		if err != nil {
			return
		}
		again := open(t, write(t, p))
		got, err := io.ReadAll(again.Data(again.Section(".fuzz")))
		if sum, sumErr := again.Sum(); err != nil || sumErr != nil || string(got) != "content" || sum != again.Checksum || len(again.Sections) != len(file.Sections)+1 {
			t.Errorf("added %q, %v %v, sum %#x of %#x", got, err, sumErr, again.Checksum, sum)
		}
	})
}
