package squashfs

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

func randomTails(rng *rand.Rand, n, most int) []tail {
	tails := make([]tail, n)
	for i := range tails {
		size := 1 + rng.IntN(most-1)
		if rng.IntN(4) > 0 {
			size = 1 + rng.IntN(most/16)
		}
		tails[i] = tail{fmt.Sprintf("usr/share/file-%06d", i), size}
	}
	return tails
}

// packsOf names every fragment block by what is in it.
func packsOf(tails []tail, blockSize int) map[string]bool {
	starts := append(packTails(tails, blockSize), len(tails))
	packs := map[string]bool{}
	for i := range len(starts) - 1 {
		packs[fmt.Sprint(tails[starts[i]:starts[i+1]])] = true
	}
	return packs
}

func TestPacksHoldAllTails(t *testing.T) {
	const blockSize = 64 << 10
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 2))
		tails := randomTails(rng, rng.IntN(2000), blockSize)
		starts := packTails(tails, blockSize)
		if len(tails) > 0 && starts[0] != 0 || !slices.IsSorted(starts) || len(slices.Compact(slices.Clone(starts))) != len(starts) {
			t.Fatalf("seed %d: blocks start at %v", seed, starts)
		}
		for i, first := range starts {
			end := len(tails)
			if i+1 < len(starts) {
				end = starts[i+1]
			}
			sum := 0
			for _, tl := range tails[first:end] {
				sum += tl.size
			}
			if sum > blockSize || end == first {
				t.Fatalf("seed %d: block %d has %d bytes in %d tails", seed, i, sum, end-first)
			}
		}
	}
}

// TestPacksStaySteady changes the size of one tail in 4000, takes one away or
// adds one: no other group's fragment blocks change, and few of its own.
func TestPacksStaySteady(t *testing.T) {
	const blockSize, rounds = 64 << 10, 200
	rng := rand.New(rand.NewPCG(6, 2))
	tails := randomTails(rng, 4000, blockSize)
	before := packsOf(tails, blockSize)
	lost, most := 0, 0
	for i := range rounds {
		changed := slices.Clone(tails)
		at := rng.IntN(len(tails))
		switch i % 3 {
		case 0:
			changed[at].size = 1 + rng.IntN(blockSize/16)
		case 1:
			changed = slices.Delete(changed, at, at+1)
		case 2:
			changed = slices.Insert(changed, at, tail{fmt.Sprintf("%s-%d", tails[at].name, i), 1 + rng.IntN(blockSize/16)})
		}
		after := packsOf(changed, blockSize)
		here := 0
		for pack := range before {
			if !after[pack] {
				here++
			}
		}
		lost, most = lost+here, max(most, here)
	}
	mean := float64(lost) / rounds
	t.Logf("a change in one tail changes %.2f of %d fragment blocks on average, %d at most", mean, len(before), most)
	// A group has at most twice its full blocks, and two may become one.
	if mean > 2 || most > 4*groupBlocks {
		t.Errorf("want 2 on average and %d at most", 4*groupBlocks)
	}
}
