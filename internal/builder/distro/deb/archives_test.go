package deb_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ashlar/internal/builder/definition"
	"ashlar/internal/builder/distro/deb"
)

func readKey(name string) ([]byte, error) {
	if name == "missing" {
		return nil, errors.New("no such file")
	}
	return []byte("keys of " + name), nil
}

func TestArchives(t *testing.T) {
	env := func(vars map[string]string) func(string) string {
		return func(name string) string { return vars[name] }
	}
	debian := definition.Base{Distro: "debian", Suite: "trixie", Components: []string{"main"}, Updates: true, Security: true}
	snapshot, own, ubuntu, extra := debian, debian, debian, debian
	snapshot.Snapshot = "20260131T000000Z"
	own.Mirrors = []string{"http://mirror.example/debian/"}
	ubuntu.Distro, ubuntu.Suite, ubuntu.Components = "ubuntu", "noble", []string{"main", "universe"}
	extra.Updates, extra.Security = false, false
	extra.Extra = []definition.Archive{
		{Name: "backports", Suite: "trixie-backports", Priority: 100},
		{Name: "ours", Suite: "stable", Mirrors: []string{"https://apt.example"}, Components: []string{"ours"}, Keyring: "ours.asc"},
	}
	main := []string{"main"}
	deb1, sec := []string{"http://deb.debian.org/debian"}, []string{"http://deb.debian.org/debian-security"}
	cases := map[string]struct {
		base definition.Base
		env  map[string]string
		want []deb.Archive
	}{
		"debian": {debian, nil, []deb.Archive{
			{Name: "debian", Mirrors: deb1, Suite: "trixie", Components: main, Priority: 500},
			{Name: "debian", Mirrors: deb1, Suite: "trixie-updates", Components: main, Priority: 500},
			{Name: "debian-security", Mirrors: sec, Suite: "trixie-security", Components: main, Priority: 500},
		}},
		"environment": {own, map[string]string{"ASHLAR_MIRROR_DEBIAN": "http://a/, http://b", "ASHLAR_MIRROR_DEBIAN_SECURITY": "http://s"}, []deb.Archive{
			{Name: "debian", Mirrors: []string{"http://a", "http://b", "http://mirror.example/debian"}, Suite: "trixie", Components: main, Priority: 500},
			{Name: "debian", Mirrors: []string{"http://a", "http://b", "http://mirror.example/debian"}, Suite: "trixie-updates", Components: main, Priority: 500},
			{Name: "debian-security", Mirrors: append([]string{"http://s"}, sec...), Suite: "trixie-security", Components: main, Priority: 500},
		}},
		"snapshot": {snapshot, map[string]string{"ASHLAR_MIRROR_DEBIAN": "http://a"}, []deb.Archive{
			{Name: "debian", Mirrors: []string{"http://snapshot.debian.org/archive/debian/20260131T000000Z"}, Suite: "trixie", Components: main, Priority: 500, Snapshot: "20260131T000000Z"},
			{Name: "debian", Mirrors: []string{"http://snapshot.debian.org/archive/debian/20260131T000000Z"}, Suite: "trixie-updates", Components: main, Priority: 500, Snapshot: "20260131T000000Z"},
			{Name: "debian-security", Mirrors: []string{"http://snapshot.debian.org/archive/debian-security/20260131T000000Z"}, Suite: "trixie-security", Components: main, Priority: 500, Snapshot: "20260131T000000Z"},
		}},
		"ubuntu": {ubuntu, map[string]string{"ASHLAR_MIRROR_DEBIAN": "http://a"}, []deb.Archive{
			{Name: "ubuntu", Mirrors: []string{"http://archive.ubuntu.com/ubuntu"}, Suite: "noble", Components: []string{"main", "universe"}, Priority: 500},
			{Name: "ubuntu", Mirrors: []string{"http://archive.ubuntu.com/ubuntu"}, Suite: "noble-updates", Components: []string{"main", "universe"}, Priority: 500},
			{Name: "ubuntu-security", Mirrors: []string{"http://archive.ubuntu.com/ubuntu"}, Suite: "noble-security", Components: []string{"main", "universe"}, Priority: 500},
		}},
		"extra": {extra, nil, []deb.Archive{
			{Name: "debian", Mirrors: deb1, Suite: "trixie", Components: main, Priority: 500},
			{Name: "backports", Mirrors: deb1, Suite: "trixie-backports", Components: main, Priority: 100},
			{Name: "ours", Mirrors: []string{"https://apt.example"}, Suite: "stable", Components: []string{"ours"}, Priority: 500},
		}},
	}
	for name, c := range cases {
		got, err := deb.Archives(c.base, env(c.env), readKey)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(c.want, got, cmpopts.IgnoreFields(deb.Archive{}, "Keyring")); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		for _, a := range got {
			if want := "keys of ours.asc"; (a.Name == "ours") != (string(a.Keyring) == want) || len(a.Keyring) == 0 {
				t.Errorf("%s, %s: keyring of %d bytes", name, a.Suite, len(a.Keyring))
			}
		}
	}
}

func TestArchivesRefused(t *testing.T) {
	base := definition.Base{Distro: "debian", Suite: "trixie"}
	cases := map[string]func(*definition.Base){
		"\"plan9\" is not known": func(b *definition.Base) { b.Distro = "plan9" },
		"base.suite":             func(b *definition.Base) { b.Suite = "" },
		"base.snapshot":          func(b *definition.Base) { b.Snapshot = "yesterday" },
		"base.keyring":           func(b *definition.Base) { b.Keyring = "missing" },
		"extra archive":          func(b *definition.Base) { b.Extra = []definition.Archive{{Name: "x"}} },
		"extra archive x: keyr":  func(b *definition.Base) { b.Extra = []definition.Archive{{Name: "x", Suite: "y", Keyring: "missing"}} },
	}
	for want, change := range cases {
		b := base
		change(&b)
		if _, err := deb.Archives(b, func(string) string { return "" }, readKey); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
