package machine

import (
	"fmt"
	"strconv"
	"strings"

	"ashlar/internal/foundation/digest"
)

// Verity is what the kernel command line says of an image with a hash tree
// behind it (dm-verity): the image's name in the generation, its blocks of 4096 bytes
// without the tree, which starts behind them, and the digest that all of it hangs on.
type Verity struct {
	Name   string
	Blocks int64
	Root   digest.Digest
}

// String gives "NAME:BLOCKS:ROOT", the root hash in hexadecimal digits.
func (v Verity) String() string {
	return v.Name + ":" + strconv.FormatInt(v.Blocks, 10) + ":" + v.Root.String()
}

// ParseVerity reads such words, separated by commas; none give none.
func ParseVerity(text string) ([]Verity, error) {
	var list []Verity
	for word := range strings.SplitSeq(text, ",") {
		if text == "" {
			break
		}
		v, err := parseVerity(word)
		if err != nil {
			return nil, fmt.Errorf("%q: %w: want NAME:BLOCKS:ROOT", word, err)
		}
		list = append(list, v)
	}
	return list, nil
}

func parseVerity(word string) (v Verity, err error) {
	const maxBlocks = 1 << 48 // beyond any disk, and bytes of it stay in int64
	fields := strings.Split(word, ":")
	if len(fields) != 3 || fields[0] == "" {
		return v, fmt.Errorf("has %d fields", len(fields))
	}
	v.Name = fields[0]
	if v.Blocks, err = strconv.ParseInt(fields[1], 10, 64); err != nil || v.Blocks < 1 || v.Blocks > maxBlocks {
		return v, fmt.Errorf("%q is no number of blocks", fields[1])
	}
	v.Root, err = digest.Parse(fields[2])
	return v, err
}
