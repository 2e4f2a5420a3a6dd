package definition

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// ParseSize reads a number of bytes as it stands in a definition: digits and
// at most one of K, M, G, T, which are powers of 1024.
func ParseSize(text string) (int64, error) {
	digits, factor := text, int64(1)
	if i := strings.IndexAny(text, "KMGT"); i >= 0 && i == len(text)-1 {
		digits, factor = text[:i], int64(1)<<(10*(1+strings.IndexByte("KMGT", text[i])))
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil {
		return 0, fmt.Errorf("parse size %s: want digits and at most one of K, M, G, T", quote(text))
	}
	if int64(n) > math.MaxInt64/factor {
		return 0, fmt.Errorf("parse size %s: too large", quote(text))
	}
	return int64(n) * factor, nil
}

// ParseMode reads an octal mode: three or four digits, set-id and sticky bits included.
func ParseMode(text string) (uint32, error) {
	if len(text) < 3 || len(text) > 4 {
		return 0, fmt.Errorf("parse mode %s: want three or four octal digits", quote(text))
	}
	n, err := strconv.ParseUint(text, 8, 12)
	if err != nil {
		return 0, fmt.Errorf("parse mode %s: want three or four octal digits", quote(text))
	}
	return uint32(n), nil
}

// maxDuration bounds timeouts.
const maxDuration = 24 * time.Hour

// ParseDuration reads a time of whole seconds such as "90s" or "1m30s".
func ParseDuration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return 0, fmt.Errorf("parse duration %s: want a number with its unit", quote(text))
	case d < time.Second || d > maxDuration:
		return 0, fmt.Errorf("parse duration %s: want one second to 24 hours", quote(text))
	case d%time.Second != 0:
		return 0, fmt.Errorf("parse duration %s: want whole seconds", quote(text))
	}
	return d, nil
}
