package sizes

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"ashlar/internal/testenv"
)

// TestAttribute: blocks and tails that files share are counted once, and the
// rest of the part is overhead.
func TestAttribute(t *testing.T) {
	r := New("web", []Part{{
		Name: "root.img", Size: 1050, Hash: 50,
		Files: []File{
			{Path: "b/copy", Size: 300, Owner: "two", Extents: []Extent{{Place: 96, Stored: 200, Plain: 300}}},
			{Path: "a/first", Size: 300, Owner: "one", Extents: []Extent{{Place: 96, Stored: 200, Plain: 300}}},
			{Path: "a/small", Size: 30, Owner: "one", Extents: []Extent{{Place: 296, Stored: 100, Plain: 30, Tail: true}}},
			{Path: "b/small", Size: 60, Owner: "two", Extents: []Extent{{Place: 296, Stored: 100, Plain: 60, Tail: true, Offset: 30}}},
			{Path: "b/twin", Size: 60, Owner: "two", Extents: []Extent{{Place: 296, Stored: 100, Plain: 60, Tail: true, Offset: 30}}},
			{Path: "empty", Owner: "one", Stored: 7, Extents: []Extent{}},
		},
	}, {Name: "vmlinuz", Size: 500, Files: []File{{Path: ".", Size: 500, Stored: 500, Owner: "linux"}}}}, "lock")
	want := []Row{
		{OwnerOverhead, Sum{0, 700, 0}}, {"linux", Sum{1, 500, 500}}, {"one", Sum{3, 233, 330}}, {"two", Sum{3, 67, 420}}, {OwnerHash, Sum{0, 50, 0}},
	}
	if !slices.Equal(r.Packages, want) {
		t.Errorf("packages\n%v, want\n%v", r.Packages, want)
	}
	want = []Row{
		{"root.img", Sum{6, 1050, 750}}, {"root.img/a", Sum{2, 233, 330}}, {"root.img/b", Sum{3, 67, 420}},
	}
	if !slices.Equal(r.Directories, want) {
		t.Errorf("directories\n%v, want\n%v", r.Directories, want)
	}
	if r.Sum != (Sum{7, 1550, 1250}) || len(r.Parts) != 2 {
		t.Errorf("%v, %v", r.Sum, r.Parts)
	}
}

// randomParts are parts whose extents make sense: tails follow each other.
func randomParts(rng *rand.Rand) []Part {
	var parts []Part
	for p := range 1 + rng.IntN(3) {
		part := Part{Name: fmt.Sprintf("part%d", p)}
		place, tail, packed := int64(96), int64(1<<40), int64(0)
		for n := range rng.IntN(200) {
			f := File{Path: fmt.Sprintf("d%d/e%d/f%d", rng.IntN(4), rng.IntN(4), n), Owner: fmt.Sprintf("p%d", rng.IntN(9)), Extents: []Extent{}}
			for range rng.IntN(3) {
				x := Extent{Place: place, Stored: 1 + rng.Int64N(5000), Plain: 8192}
				place += x.Stored
				f.Extents, f.Size = append(f.Extents, x), f.Size+x.Plain
				part.Size += x.Stored
			}
			if rng.IntN(2) == 0 {
				x := Extent{Place: tail, Stored: 4000, Plain: 1 + rng.Int64N(900), Tail: true, Offset: packed}
				if packed == 0 {
					part.Size += x.Stored
				}
				if packed += x.Plain; packed > 8192 {
					tail, packed = tail+1, 0
				}
				f.Extents, f.Size = append(f.Extents, x), f.Size+x.Plain
			}
			part.Files = append(part.Files, f)
			if rng.IntN(5) == 0 { // the same content elsewhere
				f.Path += "-twin"
				part.Files = append(part.Files, f)
			}
		}
		part.Size += rng.Int64N(5000)
		parts = append(parts, part)
	}
	return parts
}

// TestSums: whatever the files share, everything stored is the parts, to the
// byte, by directory and by package; and order does not matter.
func TestSums(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 60 {
		parts := randomParts(rng)
		r := New("x", parts, "lock")
		var whole, inParts, inPackages int64
		for _, p := range parts {
			whole += p.Size
		}
		for _, row := range r.Parts {
			inParts += row.Stored
		}
		for _, row := range r.Packages {
			inPackages += row.Stored
			if row.Stored < 0 {
				t.Fatalf("%v", row)
			}
		}
		if r.Stored != whole || inParts != whole || inPackages != whole {
			t.Fatalf("%d bytes: the report has %d, its parts %d, its packages %d", whole, r.Stored, inParts, inPackages)
		}
		first := page(t, r)
		for _, p := range parts {
			rng.Shuffle(len(p.Files), func(i, j int) { p.Files[i], p.Files[j] = p.Files[j], p.Files[i] })
		}
		if again := New("x", parts, "lock"); !bytes.Equal(page(t, again), first) || !reflect.DeepEqual(again.Packages, r.Packages) {
			t.Fatal("the order of files shows")
		}
	}
}

func page(t *testing.T, r *Report) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := r.Page(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestSquarify: the rectangles fill the box, none lies over another, areas are
// in proportion, and usual weights give nothing flat.
func TestSquarify(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for round := range 300 {
		weights := make([]int64, 1+rng.IntN(mostBoxes))
		var sum int64
		for i := range weights {
			weights[i] = 1000 + rng.Int64N(20_000)
			if round%3 == 0 {
				weights[i] <<= 35 // terabytes
			}
			sum += weights[i]
		}
		slices.SortFunc(weights, func(a, b int64) int { return int(min(max(b-a, -1), 1)) })
		rects := squarify(weights)
		if len(rects) != len(weights) {
			t.Fatalf("%d rectangles of %d weights", len(rects), len(weights))
		}
		var area int64
		flat := 0
		for i, a := range rects {
			area += a.w * a.h
			want := float64(weights[i]) / float64(sum) * boxWidth * boxHeight
			if got := float64(a.w * a.h); got < 0.9*want || got > 1.1*want {
				t.Errorf("weight %d of %d has %.0f, want %.0f", i, len(weights), got, want)
			}
			if ratio(a.w, a.h) > 4*256 {
				flat++
			}
			if a.x < 0 || a.y < 0 || a.x+a.w > boxWidth || a.y+a.h > boxHeight {
				t.Fatalf("%v is outside", a)
			}
			for _, b := range rects[:i] {
				if a.x < b.x+b.w && b.x < a.x+a.w && a.y < b.y+b.h && b.y < a.y+a.h {
					t.Fatalf("%v lies over %v", a, b)
				}
			}
		}
		if area != boxWidth*boxHeight {
			t.Errorf("the rectangles have %d, the box %d", area, boxWidth*boxHeight)
		}
		if flat > 1+len(rects)/10 {
			t.Errorf("%d of %d rectangles are flat", flat, len(rects))
		}
	}
	for _, weights := range [][]int64{nil, {0}, {0, 0}, {5, 0}} {
		if rects := squarify(weights); len(rects) != len(weights) {
			t.Errorf("%v gives %v", weights, rects)
		}
	}
}

// evil is a name that a page must not believe.
const evil = `</script><img src=x onerror="alert('1')">&{{.}}` + "\u2028`${1}"

// TestPage: the page holds all numbers, asks nobody for anything, and takes
// names for names.
func TestPage(t *testing.T) {
	r := New(evil, []Part{
		{Name: evil, Size: 5000, Files: []File{
			{Path: "usr/bin/" + evil, Size: 9000, Stored: 4000, Owner: evil}, {Path: "usr/bin/b", Size: 10, Stored: 5, Owner: "b"},
		}},
	}, "lock")
	text := string(page(t, r))
	if strings.Contains(text, "<img") {
		t.Error("a name became an image")
	}
	plain := string(page(t, New("x", []Part{{Name: "p", Size: 1}}, "lock")))
	for _, wrong := range []string{"<img", "http:", "https:", "//", "src=", "href=", "@import", "url("} {
		if rest := strings.ReplaceAll(plain, "// ", ""); strings.Contains(rest, wrong) {
			t.Errorf("the page has %s", wrong)
		}
	}
	if n := strings.Count(strings.ToLower(text), "</script"); n != 2 {
		t.Errorf("the page has %d ends of scripts", n)
	}
	data := regexp.MustCompile(`(?s)<script type="application/json" id="data">(.*?)</script>`).FindStringSubmatch(text)
	var views []struct {
		Key  string
		Root []any
	}
	if err := json.Unmarshal([]byte(data[1]), &views); err != nil {
		t.Fatal(err)
	}
	if len(views) != 2 || views[0].Key != "dir" || views[0].Root[0] != evil || views[0].Root[1] != 5000.0 {
		t.Errorf("%v", views)
	}
	part := views[0].Root[5].([]any)[0].([]any)
	if part[0] != evil || fmt.Sprint(part[4]) != "[0 0 16000 10000]" {
		t.Errorf("%v", part)
	}
	r = New("x", []Part{{Name: "p", Size: 1}}, "")
	if text := string(page(t, r)); !strings.Contains(text, "No packages are known") || strings.Contains(text, `"pkg"`) || r.Packages != nil {
		t.Errorf("without packages:\n%s", text)
	}
}

// TestManySmall: what is too small to be drawn is drawn together, and counted.
func TestManySmall(t *testing.T) {
	part := Part{Name: "p"}
	for n := range 1000 {
		part.Files = append(part.Files, File{Path: fmt.Sprintf("f%04d", n), Size: 10, Stored: int64(1000 - n), Owner: "x"})
		part.Size += int64(1000 - n)
	}
	b := draw(New("x", []Part{part}, "").byDir, nil, 0)
	children := b[5].([]box)[0][5].([]box)
	var sum int64
	for _, c := range children {
		sum += c[1].(int64)
	}
	if len(children) != mostBoxes+1 || children[0][0] != "920 smaller" || children[0][3] != 920 || sum != part.Size {
		t.Errorf("%d boxes of %d bytes, the first is %v", len(children), sum, children[0])
	}
}

// TestScript runs the page's functions in another interpreter.
func TestScript(t *testing.T) {
	node := testenv.RequireTool(t, "node")
	script := regexp.MustCompile(`(?s)<script>(.*?)</script>`).FindStringSubmatch(string(page(t, New("x", []Part{{Name: "p", Size: 1}}, ""))))[1]
	file := filepath.Join(t.TempDir(), "page.js")
	if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(node, "--check", file).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	function := regexp.MustCompile(`(?s)function bytes\(n\) \{.*?\n\}`).FindString(script)
	numbers := []int64{0, 1, 1023, 1024, 1075, 1076, 10239, 1048524, 1048525, 1 << 20, 123456789, 1 << 40, 1 << 52}
	list, err := json.Marshal(numbers)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(node, "-e", function+"\nfor (const n of "+string(list)+") console.log(bytes(n));").Output()
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		if want := bytesText(numbers[i]); line != want {
			t.Errorf("%d is %q in the script, %q in the table", numbers[i], line, want)
		}
	}
}

func TestLargest(t *testing.T) {
	list := []Row{
		{"p", Sum{3, 90, 0}}, {"p/usr", Sum{3, 90, 0}}, {"p/usr/bin", Sum{1, 50, 0}}, {"p/usr/lib", Sum{2, 40, 0}}, {"q", Sum{1, 7, 0}},
	}
	names := func(n int) string {
		var all []string
		for _, row := range Largest(list, n) {
			all = append(all, row.Name)
		}
		return strings.Join(all, " ")
	}
	if got := names(0); got != "p/usr p/usr/bin p/usr/lib q" {
		t.Error(got)
	}
	if got := names(2); got != "p/usr p/usr/bin" {
		t.Error(got)
	}
	if got := share(1, 3) + share(0, 0) + share(2, 2); got != "33.3 %0.0 %100.0 %" {
		t.Error(got)
	}
}
