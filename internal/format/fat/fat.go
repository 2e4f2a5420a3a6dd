// Package fat writes and reads FAT16 and FAT32 file systems with VFAT long
// names, as an EFI system partition needs them (Microsoft's "FAT: General
// Overview of On-Disk Format", 1.03).
//
// What Write makes is a function of its arguments: files lie in path order,
// each in one piece, directories before what they hold; times are UTC and come
// from the entries. Sectors have 512 bytes and there are two FATs.
//
// Left out: FAT12, exFAT, owners and modes (FAT has none), symbolic links and
// devices (refused). Hard links become copies.
package fat

import (
	"fmt"
	"strings"
	"time"
)

const (
	sectorSize = 512
	dirEntry   = 32

	minClusters16, maxClusters16 = 4085, 65524
	minClusters32, maxClusters32 = 65525, 0x0ffffff5

	attrReadOnly = 0x01
	attrVolume   = 0x08
	attrDir      = 0x10
	attrArchive  = 0x20
	attrLong     = 0x0f

	unitsPerLong = 13  // UTF-16 units in one long-name entry
	maxName      = 255 // UTF-16 units of a long name
)

// Kind is the width of a FAT's entries.
type Kind int

// The kinds. Auto takes FAT16 below 512 MiB and FAT32 from there.
const (
	Auto  Kind = 0
	FAT16 Kind = 16
	FAT32 Kind = 32
)

// Options says what file system Write makes.
type Options struct {
	Size   int64  // bytes; whole sectors are used
	Kind   Kind   //
	Label  string // at most 11 bytes of upper-case ASCII; may be empty
	Serial uint32 // volume id
	Epoch  int64  // seconds; no time in the file system is later. 0 means no bound
	Hidden uint32 // sectors before the file system on the disk
}

// geometry is where things are, in sectors from the start of the file system.
type geometry struct {
	kind        Kind
	sectors     uint32 // of the whole file system
	reserved    uint32 // before the first FAT
	fatSectors  uint32 // of one FAT
	fats        uint32
	rootEntries uint32 // FAT16: slots of the root directory; FAT32: 0
	perCluster  uint32 // sectors
	clusters    uint32 // that hold data; they are numbered from 2
	rootCluster uint32 // FAT32
}

func (g *geometry) rootStart() uint32 { return g.reserved + g.fats*g.fatSectors }

func (g *geometry) rootSectors() uint32 {
	return (g.rootEntries*dirEntry + sectorSize - 1) / sectorSize
}

func (g *geometry) dataStart() uint32 { return g.rootStart() + g.rootSectors() }

func (g *geometry) clusterSize() int64 { return int64(g.perCluster) * sectorSize }

// offset is where a cluster starts, in bytes.
func (g *geometry) offset(cluster uint32) int64 {
	return (int64(g.dataStart()) + int64(cluster-2)*int64(g.perCluster)) * sectorSize
}

// plan chooses the kind and the smallest cluster size that the kind allows.
func plan(opt Options) (*geometry, error) {
	if opt.Size < 0 || opt.Size/sectorSize > 0xffffffff {
		return nil, fmt.Errorf("size %d: out of range", opt.Size)
	}
	kind := opt.Kind
	if kind == Auto {
		kind = FAT16
		if opt.Size >= 512<<20 {
			kind = FAT32
		}
	}
	g := &geometry{kind: kind, sectors: uint32(opt.Size / sectorSize), fats: 2}
	least, most := uint32(minClusters16), uint32(maxClusters16)
	switch kind {
	case FAT16:
		g.reserved, g.rootEntries = 1, 512
	case FAT32:
		g.reserved, g.rootCluster = 32, 2
		least, most = minClusters32, maxClusters32
	default:
		return nil, fmt.Errorf("FAT%d: unknown kind", kind)
	}
	for g.perCluster = 1; g.perCluster <= 64; g.perCluster *= 2 {
		g.fit()
		if g.clusters <= most && (kind == FAT16 || g.perCluster >= usualCluster32(g.sectors)) {
			break
		}
	}
	if g.clusters < least || g.clusters > most || g.perCluster > 64 {
		return nil, fmt.Errorf("size %d: a FAT%d of this size has no valid number of clusters", opt.Size, kind)
	}
	return g, nil
}

// usualCluster32 keeps the FAT of large volumes small, in sectors a cluster.
func usualCluster32(sectors uint32) uint32 {
	if sectors < 260<<20/sectorSize {
		return 1
	}
	return 8
}

// fit sets fatSectors and clusters for the cluster size.
func (g *geometry) fit() {
	width := uint32(g.kind) / 8
	g.fatSectors, g.clusters = 0, 0
	fixed := g.reserved + g.rootSectors()
	if g.sectors <= fixed {
		return
	}
	// Enough FAT for all clusters that there would be without FATs is an upper
	// bound; a second round takes off what the FATs themselves need.
	for range 2 {
		free := g.sectors - fixed - min(g.sectors-fixed, g.fats*g.fatSectors)
		entries := uint64(free/g.perCluster) + 2
		g.fatSectors = uint32((entries*uint64(width) + sectorSize - 1) / sectorSize)
	}
	if used := fixed + g.fats*g.fatSectors; used < g.sectors {
		g.clusters = min((g.sectors-used)/g.perCluster, g.fatSectors*sectorSize/width-2)
	}
}

// label gives the 11 bytes of a volume label.
func label(text string) ([11]byte, error) {
	var b [11]byte
	copy(b[:], "           ")
	if len(text) > len(b) {
		return b, fmt.Errorf("label %q: longer than %d bytes", text, len(b))
	}
	for _, c := range []byte(text) {
		if c < 0x20 || c > 0x7e || c >= 'a' && c <= 'z' || strings.IndexByte(`"*+,./:;<=>?[\]|`, c) >= 0 {
			return b, fmt.Errorf("label %q: character %q is not allowed", text, c)
		}
	}
	copy(b[:], text)
	return b, nil
}

// stamp gives a time as FAT's date and time words; two seconds are its unit and
// 1980 to 2107 its range.
func stamp(seconds int64) (date, clock uint16) {
	t := time.Unix(seconds, 0).UTC()
	switch {
	case t.Year() < 1980:
		t = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)
	case t.Year() > 2107:
		t = time.Date(2107, 12, 31, 23, 59, 58, 0, time.UTC)
	}
	date = uint16(t.Year()-1980)<<9 | uint16(t.Month())<<5 | uint16(t.Day())
	clock = uint16(t.Hour())<<11 | uint16(t.Minute())<<5 | uint16(t.Second()/2)
	return date, clock
}

// seconds is the inverse of stamp; days that no month has give 0.
func seconds(date, clock uint16) int64 {
	year, month, day := int(date>>9)+1980, time.Month(date>>5&15), int(date&31)
	t := time.Date(year, month, day, int(clock>>11), int(clock>>5&63), int(clock&31)*2, 0, time.UTC)
	if t.Month() != month || t.Day() != day {
		return 0
	}
	return t.Unix()
}
