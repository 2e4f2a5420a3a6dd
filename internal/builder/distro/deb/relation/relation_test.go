package relation

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	got, err := Parse("libc6 (>= 2.38), default-mta | mail-transport-agent:any ( << 1:2~ ) ,\n python3:any [!hurd-any linux-any] <!nocheck> <cross stage1>,")
	if err != nil {
		t.Fatal(err)
	}
	want := List{
		{{Name: "libc6", Op: GreaterEqual, Version: "2.38"}},
		{{Name: "default-mta"}, {Name: "mail-transport-agent", Qualifier: "any", Op: Less, Version: "1:2~"}},
		{{
			Name: "python3", Qualifier: "any",
			Arches:   []Term{{Not: true, Name: "hurd-any"}, {Name: "linux-any"}},
			Profiles: [][]Term{{{Not: true, Name: "nocheck"}}, {{Name: "cross"}, {Name: "stage1"}}},
		}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	const text = "libc6 (>= 2.38), default-mta | mail-transport-agent:any (<< 1:2~), python3:any [!hurd-any linux-any] <!nocheck> <cross stage1>"
	if got.String() != text {
		t.Errorf("String: %s", got)
	}
}

func TestParseRefuses(t *testing.T) {
	for field, cause := range map[string]string{
		", a":                                   "no package name",
		"a |":                                   "no package name",
		"a b":                                   "unexpected 'b'",
		"a:":                                    "after the colon",
		"a (1.0)":                               "operator",
		"a (== 1.0)":                            "operator",
		"a (>= )":                               "no version",
		"a (>= 1.0":                             "not closed",
		"a (>= 1 2)":                            "not closed",
		"a []":                                  "empty restriction",
		"a [amd64":                              "restriction list without",
		"a <!x":                                 "restriction list without",
		"${misc:Depends}":                       "no package name",
		"a\x00":                                 "unexpected",
		"a [amd64] [i386]":                      "unexpected",
		strings.Repeat("a,", maxRelations+1):    "more than",
		strings.Repeat(" ", maxField+1):         "more than",
		"a [" + strings.Repeat("x ", 300) + "]": "more than",
	} {
		_, err := Parse(field)
		if err == nil || !strings.Contains(err.Error(), cause) {
			t.Errorf("Parse(%.40q): %v, want %q", field, err, cause)
		}
	}
}

func TestHolds(t *testing.T) {
	for _, c := range []struct {
		have string
		op   Op
		want string
		hold bool
	}{
		{"1.0", Any, "", true}, {"", Any, "", true}, {"", GreaterEqual, "0", false},
		{"1.0", Less, "1.0", false}, {"1.0~", Less, "1.0", true}, {"1.0-0", LessEqual, "1.0", true},
		{"1.0", Equal, "1.0-0", true}, {"1:0", Equal, "0", false},
		{"1.0", GreaterEqual, "1.0", true}, {"1.0", Greater, "1.0", false}, {"1.0+b1", Greater, "1.0", true},
	} {
		if got := c.op.Holds(c.have, c.want); got != c.hold {
			t.Errorf("%q %s %q: %v", c.have, c.op, c.want, got)
		}
	}
}

func TestReduce(t *testing.T) {
	list, err := Parse("a [amd64], b [!amd64], c [i386] | d, e <!nocheck>, f <cross> <nocheck>, g [any-amd64], h [kfreebsd-any]")
	if err != nil {
		t.Fatal(err)
	}
	names := func(l List) (out []string) {
		for _, clause := range l {
			for _, r := range clause {
				out = append(out, r.Name)
			}
		}
		return out
	}
	if got := names(list.Reduce("amd64", nil)); !slices.Equal(got, []string{"a", "d", "e", "g"}) {
		t.Error(got)
	}
	if got := names(list.Reduce("amd64", []string{"nocheck"})); !slices.Equal(got, []string{"a", "d", "f", "g"}) {
		t.Error(got)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", "a", "a | b, c", "a:any (>= 1)", "a (= 1:2-3~) [!amd64 i386] <!x y> <z>", "a,", "a (< 1)", "a\n , b",
		"librust-foo+bar-1.2-dev (= 1.2.3-1)", "a (", "a [", "a <", "|", ",",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, field string) {
		list, err := Parse(field)
		if err != nil {
			return
		}
		again, err := Parse(list.String())
		if err != nil {
			t.Fatalf("Parse(%q) gives %q, which does not parse: %v", field, list, err)
		}
		if diff := cmp.Diff(list, again); diff != "" {
			t.Fatalf("round trip of %q: %s", field, diff)
		}
	})
}
