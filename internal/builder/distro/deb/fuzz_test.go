package deb

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"ashlar/internal/builder/distro/deb/pkginfo"
)

const seedPackages = `Package: hello
Version: 1:2.10-3+b1
Architecture: amd64
Depends: libc6 (>= 2.34),
 libx | liby
Essential: yes
Installed-Size: 12
Filename: pool/main/h/hello/hello_2.10-3+b1_amd64.deb
Size: 3
SHA256: ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad

Package: other
Version: 1
Architecture: all
Filename: ./x.deb
Size: 3
SHA256: ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad
`

const seedRelease = `Origin: Debian
Suite: stable
Codename: trixie
Date: Sat, 12 Sep 2026  7:55:41 UTC
Valid-Until: Sat, 19 Sep 2026 07:55:41 UTC
Acquire-By-Hash: yes
Architectures: all amd64
Components: main
SHA256:
 ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad 3 main/binary-amd64/Packages.xz
`

func TestParsePackagesRefused(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{"Package: hello", "Package: he/llo", "line 1: package he/llo: field Package"},
		{"Package: hello", "Package: -rf", "not a name"},
		{"Version: 1\n", "Version: 1 2\n", "field Version"},
		{"Version: 1\n", "", "field Version: missing"},
		{"Architecture: all", "Architecture: ", "field Architecture"},
		{"Size: 3", "Size: -3", "field Size"},
		{"Size: 3", "Size: 99999999999999999999", "field Size"},
		{"./x.deb", "/x.deb", "field Filename"},
		{"./x.deb", "../x.deb", "field Filename"},
		{"./x.deb", "x.deb?y", "field Filename"},
		{"SHA256: ba", "SHA256: xx", "field SHA256"},
		{"Essential: yes", "Architecture: all", "stands twice"},
	} {
		text := strings.Replace(seedPackages, c.old, c.new, 1)
		_, err := ParsePackages(strings.NewReader(text), "amd64", &pkginfo.Origin{})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.new, err, c.want)
		}
	}
	all, err := ParsePackages(strings.NewReader(seedPackages), "arm64", &pkginfo.Origin{})
	if err != nil || len(all) != 1 || all[0].Filename != "x.deb" {
		t.Errorf("for arm64: %v, %v", all, err)
	}
}

func TestParseReleaseRefused(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{"07:55:41 UTC", "07:55:41 CEST", "field Valid-Until: date"},
		{"  7:55:41", " 25:55:41", "field Date"},
		{"SHA256:", "MD5Sum:", "field SHA256: missing"},
		{" 3 main", " x main", "size \"x\""},
		{" 3 main", " 3 /main", "line 10: field SHA256"},
		{" 3 main", " 3 ../main", ".. element"},
		{" 3 main", " main", "want digest, size and path"},
	} {
		if _, err := parseRelease([]byte(strings.Replace(seedRelease, c.old, c.new, 1))); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.new, err, c.want)
		}
	}
}

func FuzzPackages(f *testing.F) {
	f.Add([]byte(seedPackages))
	f.Add([]byte("Package: x\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		all, err := ParsePackages(bytes.NewReader(data), "amd64", &pkginfo.Origin{})
		if err != nil {
			return
		}
		for _, p := range all {
			if p.Name == "" || p.Version == "" || p.Size <= 0 || p.Digest.IsZero() || strings.HasPrefix(p.Filename, "/") || strings.Contains("/"+p.Filename+"/", "/../") {
				t.Errorf("taken: %+v", p)
			}
		}
	})
}

// FuzzInRelease has no key that could sign: nothing may be taken for signed.
func FuzzInRelease(f *testing.F) {
	sig := "-----BEGIN PGP SIGNATURE-----\n\niHUEARYKAB0WIQRMwAAAAAAAAAAAAAAAAAAAAAAAAAUCZ\n-----END PGP SIGNATURE-----\n"
	f.Add([]byte(beginSigned + "Hash: SHA256\n\n" + seedRelease + sig))
	f.Add([]byte(beginSigned + "\n- -dash\n" + sig + "more"))
	f.Add([]byte(seedRelease))
	keys, err := readKeyring(debianKeyring)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		at := time.Date(2026, 9, 13, 0, 0, 0, 0, time.UTC)
		if text, _, err := verifySigned(data, keys, at, true); err == nil {
			t.Errorf("signed by Debian: %q", text)
		}
		if block, err := splitSigned(data); err == nil {
			data = block.Plaintext
		}
		r, err := parseRelease(data)
		if err != nil {
			return
		}
		for path := range r.files {
			if strings.HasPrefix(path, "/") || strings.Contains("/"+path+"/", "/../") {
				t.Errorf("path %q taken", path)
			}
		}
	})
}
