package machine

import (
	"slices"
	"strings"
	"testing"

	"ashlar/internal/foundation/digest"
)

func TestVerity(t *testing.T) {
	want := []Verity{{"root.img", 5123, digest.Of([]byte("a"))}, {"modules.img", 1, digest.Of([]byte("b"))}}
	got, err := ParseVerity(want[0].String() + "," + want[1].String())
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	if none, err := ParseVerity(""); len(none) > 0 || err != nil {
		t.Errorf("nothing: %v, %v", none, err)
	}
}

func FuzzParseVerity(f *testing.F) {
	root := digest.Of(nil).String()
	for _, seed := range []string{"", ",", "root.img:1:" + root, "a:-1:" + root, "a:0:" + root, ":1:" + root, "a:1:" + root[1:], "a:99999999999999999999:" + root, "a:1:" + root + ","} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		list, err := ParseVerity(text)
		if err != nil {
			return
		}
		var words []string
		for _, v := range list {
			if v.Blocks < 1 || v.Name == "" {
				t.Errorf("%q gives %+v", text, v)
			}
			words = append(words, v.String())
		}
		again, err := ParseVerity(strings.Join(words, ","))
		if err != nil || !slices.Equal(again, list) {
			t.Errorf("%q: %v, and again %v, %v", text, list, again, err)
		}
	})
}
