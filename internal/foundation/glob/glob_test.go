package glob

import "testing"

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, path string
		want          bool
	}{
		{"usr/share/doc/**", "usr/share/doc", true},
		{"usr/share/doc/**", "usr/share/doc/a/b", true},
		{"usr/share/doc/**", "usr/share/docs", false},
		{"/srv/www/*.html", "srv/www/a.html", true},
		{"/srv/www/*.html", "srv/www/a/b.html", false},
		{"**/copyright", "usr/share/doc/x/copyright", true},
		{"**/copyright", "copyright", true},
		{"a/**/b/**/c", "a/b/x/b/c", true},
		{"a/**/b/**/c", "a/x/c", false},
		{"usr/lib/*/gconv/**", "usr/lib/x86_64-linux-gnu/gconv/UTF-7.so", true},
		{"*", "a", true},
		{"*", "a/b", false},
	} {
		p, err := Compile(c.pattern)
		if err != nil {
			t.Fatalf("%q: %v", c.pattern, err)
		}
		if got := p.Match(c.path); got != c.want {
			t.Errorf("%q on %q: got %v", c.pattern, c.path, got)
		}
	}
	if _, err := Compile("a/[b"); err == nil {
		t.Error("a pattern with an open bracket was accepted")
	}
}

func FuzzMatch(f *testing.F) {
	f.Add("usr/**/*.so", "usr/lib/a.so")
	f.Add("**/**/**/x", "a/a/a/a/a/a/a")
	f.Fuzz(func(t *testing.T, pattern, path string) {
		if p, err := Compile(pattern); err == nil {
			p.Match(path)
		}
	})
}
