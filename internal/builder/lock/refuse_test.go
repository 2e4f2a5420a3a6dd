package lock

import (
	"errors"
	"strings"
	"testing"

	"ashlar/internal/foundation/digest"
)

// refusal is a text that Parse refuses, and a part of what it says.
type refusal struct{ name, text, want string }

func expectRefusals(t *testing.T, cases []refusal) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse([]byte(c.text))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

// The file as text: what an editor, a merge or another program may do to it.
func TestParseRefusesText(t *testing.T) {
	good := string(sample().Marshal())
	replace := func(old, now string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("the sample has no %q", old)
		}
		return strings.Replace(good, old, now, 1)
	}
	marker := "\n" + strings.Repeat("<", 7) + " ours"
	definition := sample().Definition.String()
	expectRefusals(t, []refusal{
		{"nothing", "", "line 1: unexpected end"},
		{"cut", good[:len(good)/2], "unexpected end"},
		{"newer", replace(`"version": 1`, `"version": 2`), "it has version 2, this program knows 1: use a newer ashlar"},
		{"newer and other", `{"version": 9, "new": {}}`, "use a newer ashlar"},
		{"version zero", replace(`"version": 1`, `"version": 0`), "which never was"},
		{"no version", "{}", "no version"},
		{"conflict", replace("\n \"epoch\"", marker+"\n \"epoch\""), "conflict markers"},
		{"unknown key", replace(`"encoder":`, `"color": 1, "encoder":`), `unknown field "color"`},
		{"unknown in line", replace(`"archive":"debian"`, `"colour":"red","archive":"debian"`), `unknown field "colour"`},
		{"wrong type", replace(`"epoch": 1769871600`, `"epoch": "x"`), "epoch"},
		{"fraction", replace(`"epoch": 1769871600`, `"epoch": 1.5`), "epoch"},
		{"twice a key", replace(" \"epoch\"", " \"epoch\": 1,\n \"epoch\""), "not in the form"},
		{"another case", replace(`"encoder":`, `"Encoder":`), "not in the form"},
		{"spaces", replace(`"epoch": `, `"epoch":  `), "not in the form"},
		{"carriage returns", strings.ReplaceAll(good, "\n", "\r\n"), "line 1: not in the form"},
		{"more behind", good + "{}", "invalid character"},
		{"short digest", replace(definition, "abcd"), "want 64 hexadecimal digits"},
		{"upper digest", replace(definition, strings.ToUpper(definition)), "not in the form"},
	})
}

// The content: what no lock can say.
func TestParseRefusesContent(t *testing.T) {
	change := func(f func(*Lock)) string {
		l := sample()
		f(l)
		return string(l.Marshal())
	}
	first := func(f func(*Package)) string {
		return change(func(l *Lock) { f(&l.Arches["amd64"].Packages[0]) })
	}
	expectRefusals(t, []refusal{
		{"no definition", change(func(l *Lock) { l.Definition = digest.Digest{} }), "no definition digest"},
		{"no name", change(func(l *Lock) { l.Name = "" }), "no name"},
		{"epoch", change(func(l *Lock) { l.Epoch = -1 }), "before 1970"},
		{"release order", change(func(l *Lock) { l.Releases[0], l.Releases[1] = l.Releases[1], l.Releases[0] }), "not sorted"},
		{"release twice", change(func(l *Lock) { l.Releases[1] = l.Releases[0] }), "not sorted, or twice"},
		{"release digest", change(func(l *Lock) { l.Releases[0].Digest = digest.Digest{} }), "no digest"},
		{"date", change(func(l *Lock) { l.Releases[0].Date = "2026-01-31T16:00:00+01:00" }), "want RFC 3339 in UTC"},
		{"no mirror", change(func(l *Lock) { l.Releases[0].Mirrors = nil }), "no mirror"},
		{"mirror", change(func(l *Lock) { l.Releases[0].Mirrors[0] = "/srv/mirror" }), "not the URL"},
		{"signer", change(func(l *Lock) { l.Releases[0].Signers[0] = "Debian" }), "not a fingerprint"},
		{"architecture", change(func(l *Lock) { l.Arches["../x"] = Arch{} }), "not a name"},
		{"package name", first(func(p *Package) { p.Name = "../x" }), "not a package name"},
		{"package version", first(func(p *Package) { p.Version = "1 2" }), "not a version"},
		{"package arch", first(func(p *Package) { p.Arch = "" }), "not an architecture"},
		{"package archive", first(func(p *Package) { p.Archive = "own" }), "no release of it is locked"},
		{"package size", first(func(p *Package) { p.Size = 0 }), "size 0: out of bounds"},
		{"package too large", first(func(p *Package) { p.Size = 1 << 40 }), "out of bounds"},
		{"package digest", first(func(p *Package) { p.Digest = digest.Digest{} }), "no digest"},
		{"absolute path", first(func(p *Package) { p.Path = "/etc/passwd" }), "relative to the mirror"},
		{"path out", first(func(p *Package) { p.Path = "../x.deb" }), "relative to the mirror"},
		{"path within", first(func(p *Package) { p.Path = "a/../../x.deb" }), "relative to the mirror"},
		{"path backslash", first(func(p *Package) { p.Path = `a\x.deb` }), "no archive uses"},
		{"path newline", first(func(p *Package) { p.Path = "a\nx.deb" }), "no archive uses"},
		{"package twice", change(func(l *Lock) { a := l.Arches["amd64"]; a.Packages[1] = a.Packages[0] }), "libc6: twice"},
		{"tools order", change(func(l *Lock) { a := l.Arches["amd64"].Tools; a[0], a[1] = a[1], a[0] }), "ovmf: not sorted"},
		{"one path, two contents", change(func(l *Lock) {
			a := l.Arches["amd64"]
			a.Boot[0] = a.Packages[1]
			a.Boot[0].Digest = digest.Of(nil)
		}), "other content"},
	})
}

func TestCheck(t *testing.T) {
	l := sample()
	if err := l.Check(l.Definition); err != nil {
		t.Error(err)
	}
	err := l.Check(digest.Of([]byte("another")))
	if !errors.Is(err, ErrStale) || !strings.Contains(err.Error(), "ashlar lock DIR") {
		t.Errorf("a stale lock: %v", err)
	}
}
