// Package lz4 packs and unpacks single LZ4 blocks (lz4_Block_format.md of the
// LZ4 project), without frames, checksums or dictionaries.
//
// # Vocabulary
//
// A block is a row of sequences. A sequence is a token, literals that are copied
// as they are, and a match: a distance of 1 to 65535 bytes back and a length of at least 4.
// The last sequence has literals only.
//
// # What the encoder does
//
// It looks for the cheapest row of sequences, not for the next good one: of every
// place that can be reached it keeps what it costs in bytes to get there. So it also
// knows how much input fits into a block of a given size, which is how EROFS wants its
// blocks: input as it comes, output of a fixed size. Its output depends on the input,
// the effort and nothing else, and will stay as it is: Version changes with it.
//
// # What it does not do
//
// Speed like the reference's fast mode: that is not what images need.
package lz4

// Version names this encoder's choices: equal versions give equal blocks.
const Version = 1

const (
	minMatch     = 4
	maxDistance  = 1<<16 - 1
	lastLiterals = 5  // a block ends with so many literals or more,
	lastStart    = 12 // and no match starts nearer to its end
	runBits      = 15 // a length of so much or more goes on behind the token
	endCost      = 1 + lastLiterals
)

// Bound is the most that a block of n bytes of input has.
func Bound(n int) int { return n + n/255 + 16 }
