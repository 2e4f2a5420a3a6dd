package resolve_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"ashlar/internal/builder/distro/deb/pkginfo"
	"ashlar/internal/builder/distro/deb/resolve"
)

var (
	stable    = &pkginfo.Origin{Archive: "debian", Suite: "stable", Codename: "trixie", Priority: 500}
	backports = &pkginfo.Origin{Archive: "backports", Suite: "stable-backports", Codename: "trixie-backports", Priority: 100}
)

// small is an archive to explain things with.
func small(t *testing.T) *resolve.Universe {
	t.Helper()
	u, err := resolve.NewUniverse([]*pkginfo.Package{
		{Name: "base-files", Version: "13", Arch: "amd64", Essential: true, PreDepends: "awk", Origin: stable},
		{Name: "base-passwd", Version: "3", Arch: "amd64", Essential: true, Depends: "libc6 (>= 2)", Origin: stable},
		{Name: "libc6", Version: "2.41", Arch: "amd64", MultiArch: "same", Depends: "libgcc-s1", Origin: stable},
		{Name: "libgcc-s1", Version: "14", Arch: "amd64", MultiArch: "same", Depends: "libc6", Origin: stable},
		{Name: "mawk", Version: "1", Arch: "amd64", Provides: "awk", PreDepends: "libc6", Priority: "required", Origin: stable},
		{Name: "gawk", Version: "5", Arch: "amd64", Provides: "awk", PreDepends: "libc6", Priority: "optional", Origin: stable},
		{Name: "nginx", Version: "1.26", Arch: "amd64", Depends: "libssl3 (>= 3.5), mta | postfix", Recommends: "logrotate", Origin: stable},
		{Name: "nginx", Version: "1.28~bpo", Arch: "amd64", Depends: "libssl3 (>= 3.6~)", Origin: backports},
		{Name: "libssl3", Version: "3.5", Arch: "amd64", Depends: "libc6", Origin: stable},
		{Name: "libssl3", Version: "3.6~bpo", Arch: "amd64", Depends: "libc6", Origin: backports},
		{Name: "libssl3", Version: "3.6", Arch: "amd64", Depends: "libc6", Origin: backports},
		{Name: "postfix", Version: "3", Arch: "amd64", Provides: "mta", Conflicts: "mta", Origin: stable},
		{Name: "exim4", Version: "4", Arch: "amd64", Provides: "mta", Conflicts: "mta", Origin: stable},
		{Name: "logrotate", Version: "3", Arch: "all", Origin: stable},
		{Name: "old", Version: "1", Arch: "all", Depends: "nginx (<< 1.20) | nothing", Origin: stable},
		{Name: "foreign", Version: "1", Arch: "arm64", Origin: stable},
	}, "amd64")
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestChoices(t *testing.T) {
	u := small(t)
	for _, c := range []struct {
		name string
		req  resolve.Request
		want string
	}{
		{"order and provider by priority", resolve.Request{Essential: true}, "libc6=2.41 libgcc-s1=14 base-passwd=3 mawk=1 base-files=13"},
		{"what is asked for satisfies", resolve.Request{Essential: true, Packages: []string{"gawk"}}, "libc6=2.41 libgcc-s1=14 base-passwd=3 gawk=5 base-files=13"},
		{"excluded essential", resolve.Request{Essential: true, Exclude: []string{"base-files"}}, "libc6=2.41 libgcc-s1=14 base-passwd=3"},
		{"later provider", resolve.Request{Packages: []string{"nginx"}}, "exim4=4 libc6=2.41 libgcc-s1=14 libssl3=3.5 nginx=1.26"},
		{"recommended", resolve.Request{Packages: []string{"nginx", "postfix"}, Recommends: true}, "libc6=2.41 libgcc-s1=14 libssl3=3.5 logrotate=3 postfix=3 nginx=1.26"},
		{"suite", resolve.Request{Packages: []string{"nginx/trixie-backports"}}, "libc6=2.41 libgcc-s1=14 libssl3=3.6 nginx=1.28~bpo"},
		{"pin", resolve.Request{Packages: []string{"nginx"}, Pins: []resolve.Pin{{Package: "nginx", Archive: "backports", Priority: 600}, {Package: "libssl*", Version: "3.6~*", Priority: 501}}}, "libc6=2.41 libgcc-s1=14 libssl3=3.6~bpo nginx=1.28~bpo"},
		{"archive pin", resolve.Request{Packages: []string{"libssl3"}, Pins: []resolve.Pin{{Archive: "stable-*", Priority: 990}}}, "libc6=2.41 libgcc-s1=14 libssl3=3.6"},
		{"version", resolve.Request{Packages: []string{"libssl3=3.6~*"}}, "libc6=2.41 libgcc-s1=14 libssl3=3.6~bpo"},
		{"only provider", resolve.Request{Packages: []string{"awk"}, Exclude: []string{"mawk"}}, "libc6=2.41 libgcc-s1=14 gawk=5"},
		{"nothing", resolve.Request{}, ""},
	} {
		result, err := resolve.Resolve(u, c.req)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var got []string
		for _, p := range result.Packages {
			got = append(got, p.Name+"="+p.Version)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %s, want %s", c.name, strings.Join(got, " "), c.want)
		}
	}
}

func TestWhy(t *testing.T) {
	result, err := resolve.Resolve(small(t), resolve.Request{Essential: true, Packages: []string{"nginx"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"nginx": "requested", "base-files": "essential", "mawk": "base-files Pre-Depends: awk",
		"libc6": "base-passwd Depends: libc6 (>= 2)", "exim4": "nginx Depends: mta | postfix",
	} {
		if result.Why[name] != want {
			t.Errorf("%s: %q, want %q", name, result.Why[name], want)
		}
	}
	if len(result.Why) != len(result.Packages) {
		t.Errorf("%d reasons for %d packages", len(result.Why), len(result.Packages))
	}
}

func TestRefusals(t *testing.T) {
	u := small(t)
	for _, c := range []struct {
		name string
		req  resolve.Request
		want string
	}{
		{"unknown", resolve.Request{Packages: []string{"ngnix", "libssl"}}, `resolve packages: find package "ngnix": no archive has it; did you mean nginx?
  find package "libssl": no archive has it; did you mean libssl3?`},
		{"other architecture", resolve.Request{Packages: []string{"foreign"}}, `resolve packages: find package "foreign": no archive has it`},
		{"virtual", resolve.Request{Packages: []string{"awk"}}, "resolve packages: install awk: it is virtual; name one of its providers: gawk, mawk"},
		{"mentioned", resolve.Request{Packages: []string{"nothing"}}, `resolve packages: find package "nothing": other packages mention it, but no archive has it`},
		{"no version", resolve.Request{Packages: []string{"nginx=9"}}, "resolve packages: install nginx=9: there is no such version: nginx 1.28~bpo is in stable-backports (backports has priority 100); nginx 1.26 is in stable (debian has priority 500) and is the candidate"},
		{"two versions", resolve.Request{Packages: []string{"nginx=1.26", "nginx/stable-backports"}}, "resolve packages: install nginx/stable-backports: nginx 1.26 is requested too"},
		{"pinned away", resolve.Request{Packages: []string{"logrotate"}, Pins: []resolve.Pin{{Package: "logrotate", Priority: -1}}}, "resolve packages: install logrotate: no version may be installed: logrotate 3 is in stable (pin logrotate (priority -1))"},
		{"conflict", resolve.Request{Packages: []string{"postfix", "exim4"}}, `resolve packages: postfix 3 is requested
  exim4 4 is requested
  postfix 3 Conflicts: mta, and that is exim4 4`},
		{"unmet", resolve.Request{Packages: []string{"old"}}, `resolve packages: old 1 is requested
  old 1 Depends: nginx (<< 1.20) | nothing, which nothing satisfies: nginx 1.28~bpo is in stable-backports (backports has priority 100); nginx 1.26 is in stable (debian has priority 500) and is the candidate; no archive has nothing`},
		{"pin in the way", resolve.Request{Packages: []string{"nginx=1.28*"}}, `resolve packages: nginx 1.28~bpo is requested=1.28*
  nginx 1.28~bpo Depends: libssl3 (>= 3.6~), which nothing satisfies: libssl3 3.6 is in stable-backports (backports has priority 100); libssl3 3.6~bpo is in stable-backports (backports has priority 100); libssl3 3.5 is in stable (debian has priority 500) and is the candidate`},
		{"excluded", resolve.Request{Packages: []string{"libssl3"}, Exclude: []string{"libgcc-s1"}}, `resolve packages: libssl3 3.5 is requested
  libssl3 3.5 Depends: libc6, which only libc6 can satisfy
  libc6 2.41 Depends: libgcc-s1, which nothing satisfies: libgcc-s1 is excluded`},
	} {
		_, err := resolve.Resolve(u, c.req)
		var explained *resolve.Error
		if !errors.As(err, &explained) {
			t.Errorf("%s: %v", c.name, err)
		} else if err.Error() != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, err, c.want)
		}
	}
	for _, pin := range []resolve.Pin{{Package: "["}, {Package: "a", Priority: 0}, {Priority: 40000}} {
		if _, err := resolve.Resolve(u, resolve.Request{Pins: []resolve.Pin{pin}}); err == nil {
			t.Errorf("%v is accepted", pin)
		}
	}
}

// TestBadRelations: what cannot be read is an error where it matters, and
// only there.
func TestBadRelations(t *testing.T) {
	packages := []*pkginfo.Package{
		{Name: "good", Version: "1", Arch: "all"},
		{Name: "bad", Version: "1", Arch: "all", Depends: "good (>> "},
	}
	u, err := resolve.NewUniverse(packages, "amd64")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := resolve.Resolve(u, resolve.Request{Packages: []string{"good"}}); err != nil {
		t.Error(err)
	}
	if _, err := resolve.Resolve(u, resolve.Request{Packages: []string{"bad"}}); err == nil || !strings.Contains(err.Error(), "read Depends of bad:all=1") {
		t.Error(err)
	}
	packages[0].Provides = "x ("
	if _, err := resolve.NewUniverse(packages, "amd64"); err == nil || !strings.Contains(err.Error(), "read Provides") {
		t.Error(err)
	}
}

// TestRealInstallations judges what is chosen from trixie, and the time it
// takes.
func TestRealInstallations(t *testing.T) {
	x := needTrixie(t)
	start := time.Now()
	if _, err := resolve.NewUniverse(x.packages, "amd64"); err != nil {
		t.Fatal(err)
	}
	build := time.Since(start)
	sets := append(slices.Clone(servers), draw(x.packages, 20261123, 300)...)
	var times []time.Duration
	for _, set := range sets {
		start := time.Now()
		result, err := resolve.Resolve(x.universe, resolve.Request{Packages: strings.Fields(set), Essential: true})
		times = append(times, time.Since(start))
		if err != nil {
			t.Logf("%s: %v", set, err)
			continue
		}
		if err := checkInstallation(result.Packages, "amd64", true); err != nil {
			t.Errorf("%s: %v", set, err)
		}
		again, err := resolve.Resolve(x.universe, resolve.Request{Packages: strings.Fields(set), Essential: true})
		if err != nil || !slices.Equal(again.Packages, result.Packages) {
			t.Errorf("%s: another answer or order the second time: %v", set, err)
		}
		if len(result.Why) != len(result.Packages) {
			t.Errorf("%s: %d reasons for %d packages", set, len(result.Why), len(result.Packages))
		}
	}
	slices.Sort(times)
	t.Logf("universe of %d packages in %v; %d sets: median %v, longest %v", len(x.packages), build, len(times), times[len(times)/2], times[len(times)-1])
}

func BenchmarkUniverse(b *testing.B) {
	x := needTrixie(b)
	for b.Loop() {
		if _, err := resolve.NewUniverse(x.packages, "amd64"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkResolve(b *testing.B) {
	x := needTrixie(b)
	for b.Loop() {
		if _, err := resolve.Resolve(x.universe, resolve.Request{Packages: []string{"nginx", "openssh-server", "linux-image-cloud-amd64"}, Essential: true}); err != nil {
			b.Fatal(err)
		}
	}
}
