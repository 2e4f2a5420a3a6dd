package zstdblock

// settings are what a level means. The figures are measured on Debian roots
// with bench/encoder.
type settings struct {
	search   search
	hashBits int  // at most; short frames take fewer
	depth    int  // how many earlier places a search looks at
	nice     int  // a match of this length needs no better one; below shortLengths
	sure     int  // behind such a match its rest is enough; chains only
	parts    int  // pieces of a block between which it may be divided, at most maxParts
	twice    bool // parse each part again at its own prices
}

// search says how matches are found and chosen.
type search int

const (
	lazyChains    search = iota // chains, place by place
	optimalChains               // chains, all matches, then the cheapest way
	optimalTree                 // trees, likewise
)

func settingsOf(level Level) settings {
	switch level {
	case Fast:
		return settings{search: lazyChains, hashBits: 16, depth: 2, nice: 32, parts: 8}
	case High:
		return settings{search: optimalChains, hashBits: 16, depth: 6, nice: 32, sure: 8, parts: 16}
	case Best:
		return settings{search: optimalTree, hashBits: 17, depth: 64, nice: 256, parts: 64, twice: true}
	}
	return settings{search: lazyChains, hashBits: 16, depth: 12, nice: 64, parts: 32}
}
