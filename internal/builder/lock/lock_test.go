package lock

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ashlar/internal/foundation/digest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// sample is a small lock with every field.
func sample() *Lock {
	pkg := func(name, version, arch, archive string, size int64) Package {
		return Package{
			Name: name, Version: version, Arch: arch, Archive: archive, Size: size, Digest: digest.Of([]byte(name + version)),
			Path: "pool/main/" + name[:1] + "/" + name + "/" + name + "_" + strings.TrimPrefix(version, "1:") + "_" + arch + ".deb",
		}
	}
	return &Lock{
		Version: Version, Name: "web", Definition: digest.Of([]byte("definition")), Epoch: 1769871600, Encoder: "klauspost-zstd 1.20.3",
		Releases: []Release{
			{
				Archive: "debian", Suite: "trixie", Date: "2026-01-31T15:00:00Z", Digest: digest.Of([]byte("InRelease")),
				Mirrors: []string{"https://deb.debian.org/debian", "http://ftp.de.debian.org/debian/"},
				Signers: []string{"B8B80B5B623EAB6AD8775C45B7C5D7D6350947F8"},
			},
			{
				Archive: "debian-security", Suite: "trixie-security", Date: "2026-01-31T12:00:00Z", Digest: digest.Of([]byte("InRelease 2")),
				Mirrors: []string{"https://deb.debian.org/debian-security"},
			},
		},
		Arches: map[string]Arch{"amd64": {
			Packages: []Package{
				pkg("libc6", "2.41-12", "amd64", "debian", 2847000),
				pkg("adduser", "3.152", "all", "debian", 190000),
				pkg("nginx", "1.26.3-3+deb13u1", "amd64", "debian-security", 600000),
			},
			Kernel: []Package{pkg("linux-image-6.12.94+deb13-cloud-amd64", "6.12.94-1", "amd64", "debian", 30000000)},
			Boot:   []Package{pkg("grub-efi-amd64-bin", "2.12-9", "amd64", "debian", 1500000)},
			Tools: []Package{
				pkg("ovmf", "2025.02-8", "all", "debian", 9000000),
				pkg("qemu-system-x86", "1:10.0.2+ds-2", "amd64", "debian", 11000000),
			},
		}},
	}
}

// The form is part of every repository that has a lock: it must not move.
func TestGoldenForm(t *testing.T) {
	want, err := os.ReadFile(filepath.Join("testdata", "ashlar.lock"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(sample().Marshal())); diff != "" {
		t.Errorf("form (-want +got):\n%s", diff)
	}
	if !json.Valid(want) {
		t.Error("not JSON")
	}
	got, err := Parse(want)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sample(), got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
}

// One changed package is one changed line.
func TestOneLineAPackage(t *testing.T) {
	a, b := sample(), sample()
	b.Arches["amd64"].Packages[1].Version = "3.153"
	old, now := strings.Split(string(a.Marshal()), "\n"), strings.Split(string(b.Marshal()), "\n")
	if len(old) != len(now) {
		t.Fatalf("%d and %d lines", len(old), len(now))
	}
	changed := 0
	for i := range old {
		if old[i] != now[i] {
			changed++
		}
	}
	if changed != 1 {
		t.Errorf("%d lines changed", changed)
	}
}

func TestEmptyLists(t *testing.T) {
	l := sample()
	l.Arches = map[string]Arch{"amd64": {}, "arm64": {}}
	l.Releases = nil
	if got, err := Parse(l.Marshal()); err != nil || len(got.Arches) != 2 {
		t.Errorf("%v, %v\n%s", got, err, l.Marshal())
	}
	l.Arches = nil
	if _, err := Parse(l.Marshal()); err != nil {
		t.Errorf("%v\n%s", err, l.Marshal())
	}
}

// random makes a valid lock.
func random(r *rand.Rand) *Lock {
	l := &Lock{
		Version: Version, Name: "n", Definition: digest.Of(fmt.Append(nil, r.Int())), Epoch: r.Int64N(1 << 40),
		Encoder: "<&> \"é\" \u2028", Arches: map[string]Arch{},
	}
	for i := range 1 + r.IntN(4) {
		l.Releases = append(l.Releases, Release{
			Archive: fmt.Sprintf("archive%d", i/2), Suite: fmt.Sprintf("suite%d", i), Date: fmt.Sprintf("20%02d-01-02T03:04:05Z", r.IntN(100)),
			Digest: digest.Of(fmt.Append(nil, r.Int())), Mirrors: []string{"http://a/x", "https://b/%7E"}, Signers: []string{"0123456789abcdef"}[:r.IntN(2)],
		})
	}
	list := func() []Package {
		var packages []Package
		for i := range r.IntN(20) {
			content := fmt.Append(nil, r.Int())
			packages = append(packages, Package{
				Name: fmt.Sprintf("p%02d+x", i), Version: fmt.Sprintf("%d:%d.~%d-1", r.IntN(2), r.IntN(9), r.IntN(9)), Arch: []string{"amd64", "all"}[r.IntN(2)],
				Archive: l.Releases[r.IntN(len(l.Releases))].Archive, Path: fmt.Sprintf("pool/%x & é.deb", content), Size: 1 + r.Int64N(1<<30), Digest: digest.Of(content),
			})
		}
		return packages
	}
	for _, arch := range []string{"amd64", "arm64", "armhf"}[:r.IntN(4)] {
		a := Arch{Packages: list(), Kernel: list(), Boot: list(), Tools: list()}
		r.Shuffle(len(a.Packages), func(i, j int) { a.Packages[i], a.Packages[j] = a.Packages[j], a.Packages[i] })
		l.Arches[arch] = a
	}
	return l
}

func TestRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		want := random(r)
		data := want.Marshal()
		got, err := Parse(data)
		if err != nil {
			t.Fatalf("%v\n%s", err, data)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("read back (-want +got):\n%s", diff)
		}
		if lines := DiffLocks(want, got).Lines(); len(lines) != 0 {
			t.Fatalf("equal locks differ: %q", lines)
		}
	}
}

func TestDownloadsOf(t *testing.T) {
	l := sample()
	l.Releases = append(l.Releases, Release{Archive: "debian", Suite: "trixie-updates", Mirrors: []string{"https://deb.debian.org/debian", "https://other/debian"}})
	a := l.Arches["amd64"]
	extra := func(archive string) []string {
		if archive == "debian" {
			return []string{"http://localhost:3142/debian"}
		}
		return nil
	}
	got := l.DownloadsOf(extra, a.Packages, a.Kernel, a.Packages)
	if len(got) != 4 {
		t.Fatalf("%d downloads", len(got))
	}
	libc := "/pool/main/l/libc6/libc6_2.41-12_amd64.deb"
	want := Download{Name: "libc6", Digest: a.Packages[0].Digest, Size: 2847000, URLs: []string{
		"http://localhost:3142/debian" + libc, "https://deb.debian.org/debian" + libc, "http://ftp.de.debian.org/debian" + libc, "https://other/debian" + libc,
	}}
	if diff := cmp.Diff(want, got[0]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"https://deb.debian.org/debian-security/pool/main/n/nginx/nginx_1.26.3-3+deb13u1_amd64.deb"}, got[2].URLs); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	odd := Package{Name: "x", Archive: "debian-security", Path: "pool/a b%3a#?.deb", Digest: digest.Of(nil)}
	if got := l.DownloadsOf(nil, []Package{odd})[0].URLs[0]; got != "https://deb.debian.org/debian-security/pool/a%20b%253a%23%3F.deb" {
		t.Errorf("escaped as %s", got)
	}
}

// FuzzParse: no input makes Parse panic, and what it accepts is exactly what
// Marshal writes.
func FuzzParse(f *testing.F) {
	f.Add(sample().Marshal())
	f.Add((&Lock{Version: 1, Name: "x", Definition: digest.Of(nil)}).Marshal())
	f.Add([]byte(`{"version":1,"arches":{"a":null},"releases":[{}]}`))
	r := rand.New(rand.NewPCG(3, 4))
	for range 4 {
		f.Add(random(r).Marshal())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := Parse(data)
		if err != nil {
			return
		}
		if string(l.Marshal()) != string(data) {
			t.Fatalf("accepted in another form:\n%s", data)
		}
		for _, a := range l.Arches {
			for _, d := range l.DownloadsOf(nil, a.Packages, a.Kernel, a.Boot, a.Tools) {
				if len(d.URLs) == 0 || d.Size <= 0 || strings.Contains(d.URLs[0], "/../") {
					t.Fatalf("a download that cannot be: %+v", d)
				}
			}
		}
		if DiffLocks(l, l).Lines() != nil {
			t.Fatal("a lock differs from itself")
		}
	})
}
