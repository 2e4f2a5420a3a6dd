package sizes

import (
	"cmp"
	_ "embed" // the page
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strconv"
)

// What is drawn of a directory: children below both bounds are drawn together.
const (
	mostBoxes  = 80
	leastShare = 2000 // one part in that many of the directory's stored bytes
)

//go:embed page.html
var pageText string

// box is a node of the page's data: the script reads it by position.
//
//	[name, stored, size, files, [x, y, w, h] or null, children or null]
//
// The place is in the parent's box, in units of boxWidth by boxHeight.
type box []any

// Page writes the report as one HTML page that needs nothing else: no network,
// no script but its own. The bytes depend on the report alone.
func (r *Report) Page(w io.Writer) error {
	t, err := template.New("page").Funcs(template.FuncMap{"bytes": bytesText, "share": share}).Parse(pageText)
	if err != nil {
		return fmt.Errorf("read page: %w", err)
	}
	type view struct {
		Key, Title string
		Root       box
	}
	views := []view{{"dir", "Directories", draw(r.byDir, nil, 0)}}
	if r.Owners != "" {
		views = append(views, view{"pkg", "Packages", draw(r.byOwner, nil, 0)})
	}
	data, err := json.Marshal(views) // escapes <, > and &: nothing in it ends the script element
	if err != nil {
		return err
	}
	return t.Execute(w, struct {
		*Report
		Data  template.JS
		Known bool
		Total int64
	}{r, template.JS(data), r.Owners != "", r.Stored})
}

// draw turns a node into a box with all that is below it. Directories that hold
// one thing each are one box, but for parts and packages.
func draw(n *node, place *rect, depth int) box {
	name := n.name
	for depth > 1 && len(n.children) == 1 {
		n = n.children[0]
		name += "/" + n.name
	}
	b := box{name, n.sum.Stored, n.sum.Size, n.sum.Files, nil, nil}
	if place != nil {
		b[4] = []int64{place.x, place.y, place.w, place.h}
	}
	if len(n.children) == 0 {
		return b
	}
	shown, rest := visible(n)
	if rest != nil {
		shown = append(shown, rest)
		slices.SortStableFunc(shown, func(a, b *node) int { return cmp.Compare(b.sum.Stored, a.sum.Stored) })
	}
	weights := make([]int64, len(shown))
	for i, c := range shown {
		weights[i] = c.sum.Stored
	}
	var children []box
	for i, place := range squarify(weights) {
		children = append(children, draw(shown[i], &place, depth+1))
	}
	b[5] = children
	return b
}

// visible gives the children that get a box of their own, and one for the rest.
func visible(n *node) (shown []*node, rest *node) {
	for i, c := range n.children {
		if i > 0 && (i >= mostBoxes || c.sum.Stored*leastShare < n.sum.Stored || c.sum.Stored == 0) {
			rest = &node{name: strconv.Itoa(len(n.children)-i) + " smaller"}
			for _, other := range n.children[i:] {
				rest.sum.add(other.sum)
			}
			break
		}
		shown = append(shown, c)
	}
	return shown, rest
}

// bytesText writes bytes as the page's script does.
func bytesText(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	tenths, unit := n*10, 0
	for tenths >= 10240 && unit < len(units)-1 {
		tenths, unit = (tenths+512)/1024, unit+1
	}
	if unit == 0 {
		return strconv.FormatInt(n, 10) + " B"
	}
	return fmt.Sprintf("%d.%d %s", tenths/10, tenths%10, units[unit])
}

// share is a part of the whole in percent, with one decimal.
func share(part, whole int64) string {
	if whole <= 0 {
		return "0.0 %"
	}
	thousandths := (part*2000 + whole) / (2 * whole)
	return fmt.Sprintf("%d.%d %%", thousandths/10, thousandths%10)
}
