package lz4

import "errors"

var (
	errShort    = errors.New("lz4 block: ends within a sequence")
	errOverrun  = errors.New("lz4 block: has more bytes than it should")
	errDistance = errors.New("lz4 block: match before the start")
)

// Decode unpacks a block into dst, which must have the block's plain size, and
// gives how much of it was filled. A block that has more is an error; one that has
// less is not, the caller sees it by the number.
func Decode(dst, src []byte) (int, error) { return decode(dst, src, false) }

// DecodeStart fills dst with the first bytes of a block. What stands behind
// them is not looked at: it may be more of the block, or something else.
func DecodeStart(dst, src []byte) error {
	n, err := decode(dst, src, true)
	if err == nil && n < len(dst) {
		return errShort
	}
	return err
}

// decode unpacks a block; part allows it to have more than dst.
func decode(dst, src []byte, part bool) (int, error) {
	at := 0
	for len(src) > 0 {
		token := src[0]
		literals, rest, err := length(int(token>>4), src[1:], len(dst)-at)
		if part && (errors.Is(err, errOverrun) || literals == len(dst)-at) {
			return at + copy(dst[at:], rest), nil
		}
		if err != nil {
			return at, err
		}
		if literals > len(rest) {
			return at, errShort
		}
		at += copy(dst[at:], rest[:literals])
		if src = rest[literals:]; len(src) == 0 {
			return at, nil
		}
		if len(src) < 2 {
			return at, errShort
		}
		distance := int(src[0]) | int(src[1])<<8
		if distance == 0 || distance > at {
			return at, errDistance
		}
		var match int
		match, src, err = length(int(token&15), src[2:], len(dst)-at)
		if match += minMatch; part && (errors.Is(err, errOverrun) || err == nil && match >= len(dst)-at) {
			return repeat(dst, at, distance, len(dst)-at), nil
		}
		if err == nil && match > len(dst)-at {
			err = errOverrun
		}
		if err != nil {
			return at, err
		}
		at = repeat(dst, at, distance, match)
	}
	return at, errShort
}

// length reads the rest of a length, which may be at most most.
func length(n int, src []byte, most int) (int, []byte, error) {
	for more := n == runBits; more; {
		if len(src) == 0 {
			return 0, nil, errShort
		}
		n += int(src[0])
		more = src[0] == 255
		src = src[1:]
	}
	if n > most {
		return n, src, errOverrun
	}
	return n, src, nil
}

// repeat copies what stands a distance back, which may overlap with itself.
func repeat(dst []byte, at, distance, n int) int {
	for n > 0 {
		k := copy(dst[at:at+n], dst[at-distance:at])
		at, n, distance = at+k, n-k, distance+k
	}
	return at
}
