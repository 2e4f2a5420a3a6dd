package zstdblock

// settings are what a level means.
type settings struct {
	hashBits         int // at most; short frames take fewer
	depth            int // how many earlier places a search looks at
	nice             int // a match of this length needs no better one
	leastHuffmanBits int
	split, reparse   bool
	chain            bool
	passes           int // of the optimal parser; 0 is the lazy one
}

func settingsOf(level Level) settings {
	switch level {
	case Fast:
		return settings{hashBits: 16, depth: 6, nice: 32, leastHuffmanBits: 11}
	case Best:
		return settings{hashBits: 17, depth: 64, nice: 256, leastHuffmanBits: 9, passes: 2}
	}
	return settings{hashBits: 17, depth: 24, nice: 96, leastHuffmanBits: 9}
}
