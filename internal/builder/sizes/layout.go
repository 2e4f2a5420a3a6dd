package sizes

import "math/bits"

// The box that a directory's children are laid out in, 16 by 10. All is done
// in whole numbers: the page has the same bytes on every processor.
const (
	boxWidth  = 16000
	boxHeight = 10000
)

// rect is a place in the box.
type rect struct{ x, y, w, h int64 }

// squarify divides the box among weights, which fall, so that the areas are in
// proportion and the rectangles as near to squares as the greedy method of Bruls,
// Huizing and van Wijk (Squarified Treemaps, 2000) gets them: children go into
// a row along the shorter side for as long as that betters the worst of them.
func squarify(weights []int64) []rect {
	var left int64
	for _, w := range weights {
		left += w
	}
	box := rect{0, 0, boxWidth, boxHeight}
	rects := make([]rect, 0, len(weights))
	for len(rects) < len(weights) {
		rest := weights[len(rects):]
		n, sum := rowOf(rest, left, box)
		row, remaining := box.split(sum, left)
		rects = append(rects, row.slices(rest[:n], sum, box.w >= box.h)...)
		box, left = remaining, left-sum
	}
	return rects
}

// rowOf gives how many of the weights make the next row, and their sum.
func rowOf(weights []int64, left int64, box rect) (n int, sum int64) {
	side := min(box.w, box.h)
	area := func(weight int64) int64 { return max(mulDiv(weight, box.w*box.h, left), 1) }
	best := int64(0)
	for n < len(weights) {
		s := area(sum + weights[n])
		// In a row of area s the first is the longest, the last the flattest.
		worst := max(ratio(area(weights[0])*side*side, s*s), ratio(area(weights[n])*side*side, s*s))
		if n > 0 && worst > best {
			break
		}
		n, sum, best = n+1, sum+weights[n], worst
	}
	return n, sum
}

// ratio is a/b or b/a, what is not below one, in 256ths. Both are at most
// (boxWidth·boxHeight)², which leaves room for the factor.
func ratio(a, b int64) int64 {
	const fine = 256
	return max(a*fine/max(b, 1), b*fine/max(a, 1))
}

// mulDiv is a·b/c without overflow, for a of at most c.
func mulDiv(a, b, c int64) int64 {
	if c <= 0 {
		return 0
	}
	hi, lo := bits.Mul64(uint64(a), uint64(b))
	q, _ := bits.Div64(hi, lo, uint64(c))
	return int64(q)
}

// split cuts a row of sum out of left off the box, across its longer side.
func (b rect) split(sum, left int64) (row, rest rect) {
	if b.w >= b.h {
		w := mulDiv(sum, b.w, left)
		return rect{b.x, b.y, w, b.h}, rect{b.x + w, b.y, b.w - w, b.h}
	}
	h := mulDiv(sum, b.h, left)
	return rect{b.x, b.y, b.w, h}, rect{b.x, b.y + h, b.w, b.h - h}
}

// slices divides a row; upright rows are divided from top to bottom.
func (b rect) slices(weights []int64, sum int64, upright bool) []rect {
	var rects []rect
	var done int64
	for _, w := range weights {
		if upright {
			from, to := mulDiv(done, b.h, sum), mulDiv(done+w, b.h, sum)
			rects = append(rects, rect{b.x, b.y + from, b.w, to - from})
		} else {
			from, to := mulDiv(done, b.w, sum), mulDiv(done+w, b.w, sum)
			rects = append(rects, rect{b.x + from, b.y, to - from, b.h})
		}
		done += w
	}
	return rects
}
