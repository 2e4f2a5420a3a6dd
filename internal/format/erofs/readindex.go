package erofs

import "errors"

// typeHead2 is a head of the second algorithm.
const typeHead2 = 3

const partialFlag = 1 << 15 // full index: the extent is a part of what its cluster holds

// packAt is the pack of a compact index that was read last.
type packAt struct {
	values []logical
	base   uint32
	first  int64 // number of its first value
}

// value reads one value of the index.
func (c *clustered) value(i int64) (value, error) {
	if c.f.layout == layoutFullIndex {
		return c.fullValue(i)
	}
	if i < c.pack.first || i >= c.pack.first+int64(len(c.pack.values)) {
		if err := c.readPack(i); err != nil {
			return value{}, err
		}
	}
	k := int(i - c.pack.first)
	v := value{logical: c.pack.values[k]}
	if v.kind != typeNonHead {
		v.address = c.pack.base + clustersBefore(c.pack.values[:k], c.big())
	}
	return v, nil
}

func (c *clustered) big() bool { return c.head.Advise&adviseBig != 0 }

// fullValue reads a value of 8 bytes.
func (c *clustered) fullValue(i int64) (value, error) {
	raw := make([]byte, 8)
	if err := c.r.at(raw, c.index+8*i); err != nil {
		return value{}, err
	}
	advise := order.Uint16(raw)
	v := value{logical: logical{kind: int(advise & 3), offset: int(order.Uint16(raw[2:]))}, part: advise&partialFlag != 0}
	if v.kind == typeNonHead {
		if back := order.Uint16(raw[4:]); back&countFlag != 0 {
			v.blocks = int(back &^ countFlag)
		}
		return v, nil
	}
	if v.offset >= BlockSize {
		return value{}, errors.New("an extent that starts beyond its block")
	}
	v.address = order.Uint32(raw[4:])
	return v, nil
}

// parts gives how many values of a compact index stand in small packs before
// the large ones, and in large ones.
func (c *clustered) parts() (first, large int64) {
	if first = -c.index & 31 / 4; first >= c.count || c.head.Advise&adviseLargePacks == 0 {
		return c.count, 0
	}
	return first, (c.count - first) / largePack * largePack
}

func (c *clustered) indexSize() int64 {
	if c.f.layout == layoutFullIndex {
		return 8 * c.count
	}
	first, large := c.parts()
	return (first+1)/smallPack*8 + 2*large + (c.count-first-large+1)/smallPack*8
}

// readPack reads the pack that has a value.
func (c *clustered) readPack(i int64) error {
	first, large := c.parts()
	start, place, size := int64(0), c.index, int64(smallPack)
	switch {
	case i >= first+large:
		start, place = first+large, c.index+4*first+2*large
	case i >= first:
		start, place, size = first, c.index+4*first, largePack
	}
	number := (i - start) / size
	bytes := int64(8)
	if size == largePack {
		bytes = 32
	}
	raw := make([]byte, bytes)
	if err := c.r.at(raw, place+number*bytes); err != nil {
		return err
	}
	c.pack = packAt{decodePack(raw, int(size), c.big()), order.Uint32(raw[bytes-4:]), start + number*size}
	return nil
}

// decodePack is the reverse of pack. Of values without a head only the count of
// a cluster and, if it is not the last, the way back are taken.
func decodePack(raw []byte, size int, big bool) []logical {
	width := (len(raw) - 4) * 8 / size
	values := make([]logical, size)
	for i := range values {
		at := i * width
		word := uint32(raw[at/8]) | uint32(raw[at/8+1])<<8 | uint32(raw[at/8+2])<<16
		word >>= at % 8
		low := int(word & (BlockSize - 1))
		v := logical{kind: int(word >> blockBits & 3)}
		switch {
		case v.kind != typeNonHead:
			v.offset = low
		case big && low&countFlag != 0:
			v.blocks = low &^ countFlag
		default:
			v.back = low
		}
		values[i] = v
	}
	return values
}

// clustersBefore counts the blocks from a pack's address to the cluster of the
// head behind these values of it, as kernels do.
func clustersBefore(values []logical, big bool) uint32 {
	blocks := uint32(0)
	if !big {
		blocks = 1
	}
	for i := len(values) - 1; i >= 0; i-- {
		switch v := values[i]; {
		case v.kind != typeNonHead:
			blocks++
		case v.blocks > 0:
			blocks += uint32(v.blocks)
			i-- // its head
		case big:
			i -= max(v.back-2, 0) // to the count of its extent
		default:
			i -= v.back
			if i >= 0 {
				blocks++
			}
		}
	}
	return blocks
}
