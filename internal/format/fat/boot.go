package fat

import (
	"encoding/binary"
	"errors"
	"fmt"
)

const (
	infoSector   = 1 // FAT32: free space counters
	backupSector = 6 // FAT32: copy of the first sectors
)

// boot writes the boot sector, and for FAT32 the counters and the copies.
func (w *writer) boot() error {
	sector := w.bootSector()
	if w.kind == FAT16 {
		_, err := w.w.WriteAt(sector, 0)
		return err
	}
	le := binary.LittleEndian
	info := make([]byte, sectorSize)
	copy(info, "RRaA")
	copy(info[484:], "rrAa")
	le.PutUint32(info[488:], w.clusters+2-w.next)
	le.PutUint32(info[492:], w.next)
	le.PutUint32(info[508:], 0xaa550000)
	pair := append(sector, info...)
	_, err := w.w.WriteAt(pair, 0)
	_, err2 := w.w.WriteAt(pair, backupSector*sectorSize)
	return errors.Join(err, err2)
}

func (w *writer) bootSector() []byte {
	le := binary.LittleEndian
	b := make([]byte, sectorSize)
	copy(b[3:], "ASHLAR  ")
	le.PutUint16(b[11:], sectorSize)
	b[13] = byte(w.perCluster)
	le.PutUint16(b[14:], uint16(w.reserved))
	b[16] = byte(w.fats)
	le.PutUint16(b[17:], uint16(w.rootEntries))
	if w.kind == FAT16 && w.sectors < 0x10000 {
		le.PutUint16(b[19:], uint16(w.sectors))
	} else {
		le.PutUint32(b[32:], w.sectors)
	}
	b[21] = 0xf8              // a fixed disk
	le.PutUint16(b[24:], 63)  // CHS geometry, for old firmware
	le.PutUint16(b[26:], 255) //
	le.PutUint32(b[28:], w.opt.Hidden)
	tail, kind := 36, "FAT16   "
	if w.kind == FAT32 {
		tail, kind = 64, "FAT32   "
		le.PutUint32(b[36:], w.fatSectors)
		le.PutUint32(b[44:], w.rootCluster)
		le.PutUint16(b[48:], infoSector)
		le.PutUint16(b[50:], backupSector)
	} else {
		le.PutUint16(b[22:], uint16(w.fatSectors))
	}
	b[tail] = 0x80
	b[tail+2] = 0x29
	le.PutUint32(b[tail+3:], w.opt.Serial)
	name := w.label
	if w.opt.Label == "" {
		copy(name[:], "NO NAME    ")
	}
	copy(b[tail+7:], name[:])
	copy(b[tail+18:], kind)
	code := tail + 26
	copy(b, []byte{0xeb, byte(code - 2), 0x90})
	copy(b[code:], []byte{0xcd, 0x18, 0xeb, 0xfe}) // tell the BIOS that this boots nothing, then stay
	b[510], b[511] = 0x55, 0xaa
	return b
}

// parse reads the geometry from a boot sector and checks it against the size
// of what holds the file system.
func parse(b []byte, size int64) (*geometry, error) {
	le := binary.LittleEndian
	if b[510] != 0x55 || b[511] != 0xaa {
		return nil, errors.New("no boot sector signature")
	}
	if n := le.Uint16(b[11:]); n != sectorSize {
		return nil, fmt.Errorf("sectors of %d bytes are not supported", n)
	}
	g := &geometry{
		perCluster: uint32(b[13]), reserved: uint32(le.Uint16(b[14:])), fats: uint32(b[16]),
		rootEntries: uint32(le.Uint16(b[17:])), sectors: uint32(le.Uint16(b[19:])), fatSectors: uint32(le.Uint16(b[22:])),
	}
	if g.sectors == 0 {
		g.sectors = le.Uint32(b[32:])
	}
	if g.fatSectors == 0 {
		g.fatSectors, g.rootCluster = le.Uint32(b[36:]), le.Uint32(b[44:])
	}
	if g.perCluster == 0 || g.perCluster&(g.perCluster-1) != 0 || g.fats == 0 || g.fats > 4 || g.reserved == 0 {
		return nil, fmt.Errorf("%d sectors a cluster, %d FATs, %d reserved sectors", g.perCluster, g.fats, g.reserved)
	}
	if int64(g.sectors) > size/sectorSize {
		return nil, fmt.Errorf("%d sectors, there are %d", g.sectors, size/sectorSize)
	}
	start := uint64(g.reserved) + uint64(g.fats)*uint64(g.fatSectors) + uint64(g.rootSectors())
	if start >= uint64(g.sectors) {
		return nil, fmt.Errorf("data would start at sector %d of %d", start, g.sectors)
	}
	g.clusters = (g.sectors - uint32(start)) / g.perCluster
	switch {
	case g.clusters < minClusters16:
		return nil, errors.New("FAT12 is not supported")
	case g.clusters <= maxClusters16:
		g.kind = FAT16
	default:
		g.kind = FAT32
	}
	if (g.kind == FAT32) != (g.rootEntries == 0) {
		return nil, fmt.Errorf("%d clusters and %d root entries do not agree", g.clusters, g.rootEntries)
	}
	if int64(g.clusters)+2 > int64(g.fatSectors)*sectorSize*8/int64(g.kind) {
		return nil, errors.New("the FAT is too small for the clusters")
	}
	return g, nil
}
