package version

import (
	"slices"
	"strings"
	"testing"
)

func TestOrder(t *testing.T) {
	// Each sorts before the next.
	ordered := []string{
		"0~", "0", "0a", "0+", "0.1~~", "0.1~~a", "0.1~", "0.1~1", "0.1~a", "0.1", "0.1-0.1", "0.1-1~bpo1", "0.1-1", "0.1-1+b1", "0.1-1.1",
		"0.1a", "0.1+dfsg", "0.1-a-1", "0.2", "0.10", "1.0~rc1-1", "1.0-1", "1.0.1", "1:0", "1:0.1", "2:0~", "99999999999999999999:1",
	}
	for i, a := range ordered {
		for j, b := range ordered {
			if got := Compare(a, b); got != sign(i-j) {
				t.Errorf("Compare(%q, %q) = %d", a, b, got)
			}
		}
	}
}

func TestEqual(t *testing.T) {
	for _, pair := range [][2]string{{"1.0", "1.0-0"}, {"0:1", "1"}, {"1.00", "1.0"}, {"1.0-00", "1.0-0"}, {"000:1.0", "1.0"}, {"1.a", "1.a0"}} {
		if Compare(pair[0], pair[1]) != 0 {
			t.Errorf("%q and %q differ", pair[0], pair[1])
		}
	}
}

func TestParse(t *testing.T) {
	for s, want := range map[string]Version{
		"1":              {0, "1", ""},
		"1.0-1":          {0, "1.0", "1"},
		"2:1.0-rc1-1~b+": {2, "1.0-rc1", "1~b+"},
		"0:1:2":          {0, "1:2", ""},
	} {
		got, err := Parse(s)
		if err != nil || got != want || got.String() != s {
			t.Errorf("Parse(%q) = %+v, %v; String %q", s, got, err, got)
		}
	}
	for _, s := range []string{"", "a", "-1", "1-", ":1", "x:1", "-1:1", "2147483648:1", "1:", "1.0 ", "1_0", "1.0-1_", "1.0-é", strings.Repeat("1", maxLength+1)} {
		if v, err := Parse(s); err == nil {
			t.Errorf("Parse(%q) = %+v", s, v)
		}
	}
}

// FuzzCompare checks that the order is total, and that the parsed form agrees
// with the written one.
func FuzzCompare(f *testing.F) {
	f.Add("1.0-1", "1.0-1+b1", "1.0~rc1")
	f.Add("1:0", "0:1", "2")
	f.Add("0.1~~a", "0.1~", "0.1-")
	f.Add("1.é", "1.\x00", ":")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		if Compare(a, a) != 0 {
			t.Fatalf("%q differs from itself", a)
		}
		if Compare(a, b) != -Compare(b, a) {
			t.Fatalf("%q, %q: not antisymmetric", a, b)
		}
		three := []string{a, b, c}
		slices.SortFunc(three, Compare)
		if Compare(three[0], three[1]) > 0 || Compare(three[1], three[2]) > 0 || Compare(three[0], three[2]) > 0 {
			t.Fatalf("%q: not transitive", three)
		}
		va, errA := Parse(a)
		vb, errB := Parse(b)
		if errA != nil || errB != nil {
			return
		}
		if va.Compare(vb) != Compare(a, b) {
			t.Fatalf("%q, %q: parsed %d, written %d", a, b, va.Compare(vb), Compare(a, b))
		}
		again, err := Parse(va.String())
		if err != nil || again != va {
			t.Fatalf("round trip of %q: %+v, %v", a, again, err)
		}
	})
}
