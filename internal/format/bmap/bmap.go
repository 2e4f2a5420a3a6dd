// Package bmap writes and reads block maps, form 2.0 of bmap-tools: which blocks
// of a disk image must be written, with a SHA-256 for each range of them. What is
// in no range holds nothing: whatever is on a medium may stay there.
package bmap

import (
	"bytes"
	"crypto/sha256"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"ashlar/internal/foundation/digest"
)

const (
	blockSize = 4096 // of maps that we make
	maxBlock  = 1 << 20
	maxText   = 64 << 20 // of a map that is read

	checksumName = "sha256"
	elementStart = "<BmapFileChecksum>"
	elementEnd   = "</BmapFileChecksum>"
)

// Range is some blocks in a row, both ends included.
type Range struct {
	First, Last int64
	Sum         digest.Digest // of their bytes, as far as the image goes
}

// Map says which blocks of an image hold something, in order.
type Map struct {
	Size      int64 // bytes of the image
	BlockSize int64
	Ranges    []Range
}

// Extent is a place in an image, in bytes.
type Extent struct{ Offset, Size int64 }

// Extent gives the place of a range.
func (m *Map) Extent(r Range) Extent {
	at := r.First * m.BlockSize
	return Extent{at, min((r.Last+1)*m.BlockSize, m.Size) - at}
}

// Make maps an image of which the extents, in any order, hold something.
func Make(r io.ReaderAt, size int64, used []Extent) (*Map, error) {
	m := &Map{Size: size, BlockSize: blockSize}
	used = slices.Clone(used)
	slices.SortFunc(used, func(a, b Extent) int { return int(min(1, max(-1, a.Offset-b.Offset))) })
	for _, e := range used {
		if e.Offset < 0 || e.Size < 0 || e.Offset > size || e.Size > size-e.Offset {
			return nil, fmt.Errorf("map blocks: %d bytes at %d are not in the image of %d", e.Size, e.Offset, size)
		}
		if e.Size == 0 {
			continue
		}
		first, last := e.Offset/blockSize, (e.Offset+e.Size-1)/blockSize
		if n := len(m.Ranges); n > 0 && first <= m.Ranges[n-1].Last+1 {
			m.Ranges[n-1].Last = max(m.Ranges[n-1].Last, last)
			continue
		}
		m.Ranges = append(m.Ranges, Range{First: first, Last: last})
	}
	for i, row := range m.Ranges {
		e := m.Extent(row)
		sum, n, err := digest.Reader(io.NewSectionReader(r, e.Offset, e.Size))
		if err == nil && n != e.Size {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, fmt.Errorf("map blocks: read image at %d: %w", e.Offset, err)
		}
		m.Ranges[i].Sum = sum
	}
	return m, nil
}

// Mapped is the number of blocks in all ranges.
func (m *Map) Mapped() int64 {
	n := int64(0)
	for _, r := range m.Ranges {
		n += r.Last - r.First + 1
	}
	return n
}

func (m *Map) blocks() int64 { return (m.Size + m.BlockSize - 1) / m.BlockSize }

// Marshal gives the text form. The sum of the text is that of the text with
// zeros in its place.
func (m *Map) Marshal() []byte {
	var b bytes.Buffer
	none := strings.Repeat("0", 2*sha256.Size)
	fmt.Fprintf(&b, "<?xml version=\"1.0\" ?>\n<bmap version=\"2.0\">\n    <ImageSize> %d </ImageSize>\n    <BlockSize> %d </BlockSize>\n"+
		"    <BlocksCount> %d </BlocksCount>\n    <MappedBlocksCount> %d </MappedBlocksCount>\n"+
		"    <ChecksumType> %s </ChecksumType>\n    %s %s %s\n    <BlockMap>\n",
		m.Size, m.BlockSize, m.blocks(), m.Mapped(), checksumName, elementStart, none, elementEnd)
	for _, r := range m.Ranges {
		blocks := fmt.Sprint(r.First)
		if r.Last > r.First {
			blocks = fmt.Sprintf("%d-%d", r.First, r.Last)
		}
		fmt.Fprintf(&b, "        <Range chksum=\"%s\"> %s </Range>\n", r.Sum, blocks)
	}
	b.WriteString("    </BlockMap>\n</bmap>\n")
	return bytes.Replace(b.Bytes(), []byte(none), []byte(digest.Of(b.Bytes()).String()), 1)
}

// file is the XML form.
type file struct {
	XMLName xml.Name `xml:"bmap"`
	Version string   `xml:"version,attr"`
	Size    string   `xml:"ImageSize"`
	Block   string   `xml:"BlockSize"`
	Kind    string   `xml:"ChecksumType"`
	Sum     string   `xml:"BmapFileChecksum"`
	Ranges  []struct {
		Sum    string `xml:"chksum,attr"`
		Blocks string `xml:",chardata"`
	} `xml:"BlockMap>Range"`
}

// Parse reads a map with SHA-256 sums, and holds it to its own.
func Parse(text []byte) (*Map, error) {
	m, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("read block map: %w", err)
	}
	return m, nil
}

func parse(text []byte) (*Map, error) {
	if len(text) > maxText {
		return nil, fmt.Errorf("%d bytes, at most %d are expected", len(text), maxText)
	}
	var f file
	if err := xml.Unmarshal(text, &f); err != nil {
		return nil, err
	}
	if !strings.HasPrefix(f.Version, "2.") || strings.TrimSpace(f.Kind) != checksumName {
		return nil, fmt.Errorf("version %.20q with sums %.20q, want 2.0 and %s", f.Version, f.Kind, checksumName)
	}
	if err := checkSum(text, strings.TrimSpace(f.Sum)); err != nil {
		return nil, err
	}
	m := &Map{}
	var err error
	if m.Size, err = number(f.Size); err != nil {
		return nil, err
	}
	if m.BlockSize, err = number(f.Block); err != nil || m.BlockSize < 512 || m.BlockSize > maxBlock {
		return nil, fmt.Errorf("blocks of %.20q bytes", f.Block)
	}
	for _, row := range f.Ranges {
		r, err := parseRange(row.Blocks, row.Sum)
		if err != nil {
			return nil, err
		}
		if n := len(m.Ranges); r.Last < r.First || r.Last >= m.blocks() || n > 0 && r.First <= m.Ranges[n-1].Last {
			return nil, fmt.Errorf("blocks %d to %d are out of order or not in the image", r.First, r.Last)
		}
		m.Ranges = append(m.Ranges, r)
	}
	return m, nil
}

func checkSum(text []byte, sum string) error {
	want, err := digest.Parse(sum)
	if err != nil {
		return err
	}
	_, after, ok := bytes.Cut(text, []byte(elementStart))
	inside, _, ended := bytes.Cut(after, []byte(elementEnd))
	if !ok || !ended || !bytes.Contains(inside, []byte(sum)) {
		return errors.New("its own sum is missing")
	}
	at := len(text) - len(after)
	plain := bytes.Clone(text)
	copy(plain[at:], bytes.Replace(inside, []byte(sum), bytes.Repeat([]byte("0"), len(sum)), 1))
	if digest.Of(plain) != want {
		return errors.New("its own sum is wrong")
	}
	return nil
}

func parseRange(blocks, sum string) (r Range, err error) {
	if r.Sum, err = digest.Parse(strings.TrimSpace(sum)); err != nil {
		return r, err
	}
	first, last, several := strings.Cut(blocks, "-")
	if r.First, err = number(first); err != nil || !several {
		r.Last = r.First
		return r, err
	}
	r.Last, err = number(last)
	return r, err
}

func number(text string) (int64, error) {
	const digits = 15 // what has more is beyond every disk
	text = strings.TrimSpace(text)
	n := int64(0)
	for _, c := range text {
		if c < '0' || c > '9' || len(text) > digits {
			return 0, fmt.Errorf("number %.20q", text)
		}
		n = n*10 + int64(c-'0')
	}
	if text == "" {
		return 0, errors.New("a number is missing")
	}
	return n, nil
}
