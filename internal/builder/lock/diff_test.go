package lock

import (
	"encoding/json"
	"strings"
	"testing"

	"ashlar/internal/foundation/digest"

	"github.com/google/go-cmp/cmp"
)

func TestDiff(t *testing.T) {
	a, b := sample(), sample()
	b.Encoder = "own 1"
	b.Releases[0].Date, b.Releases[0].Digest = "2026-02-28T15:00:00Z", digest.Of([]byte("moved"))
	b.Releases[1].Suite = "trixie-updates"
	arch := b.Arches["amd64"]
	arch.Packages[0].Version, arch.Packages[0].Size = "2.41-13", 2848500
	arch.Packages[1].Digest = digest.Of([]byte("other"))
	arch.Packages[2] = Package{Name: "curl", Version: "8.14", Arch: "amd64", Size: 1234567}
	arch.Tools = arch.Tools[:1]
	b.Arches["amd64"] = arch
	want := `encoder klauspost-zstd 1.20.3 → own 1
~ release debian trixie 2026-01-31T15:00:00Z → 2026-02-28T15:00:00Z
- release debian-security trixie-security 2026-01-31T12:00:00Z
+ release debian-security trixie-updates 2026-01-31T12:00:00Z
amd64:
~ adduser 3.152 with other content (±0)
+ curl 8.14 (+1 234 567)
~ libc6 2.41-12 → 2.41-13 (+1 500)
- nginx 1.26.3-3+deb13u1 (-600 000)
- qemu-system-x86 1:10.0.2+ds-2 (-11 000 000) [tools]
5 packages changed, -10 363 933 bytes`
	d := DiffLocks(a, b)
	if diff := cmp.Diff(want, strings.Join(d.Lines(), "\n")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	data, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	var back Diff
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(d, back); diff != "" {
		t.Errorf("through JSON (-want +got):\n%s", diff)
	}
}

func TestDiffOfNoLock(t *testing.T) {
	got := strings.Join(DiffLocks(&Lock{}, sample()).Lines(), "\n")
	const want = `encoder klauspost-zstd 1.20.3
+ release debian trixie 2026-01-31T15:00:00Z
+ release debian-security trixie-security 2026-01-31T12:00:00Z
amd64 boot: 1 of 1 500 000 bytes
amd64 kernel: 1 of 30 000 000 bytes
amd64 packages: 3 of 3 637 000 bytes
amd64 tools: 2 of 20 000 000 bytes`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDiffOfOrder(t *testing.T) {
	a, b := sample(), sample()
	p := b.Arches["amd64"].Packages
	p[0], p[1] = p[1], p[0]
	if got := DiffLocks(a, b).Lines(); len(got) != 1 || got[0] != "amd64 packages: the same in another order" {
		t.Errorf("%q", got)
	}
}

// A package that was for all architectures and now is for one changed; it is
// not one that went and one that came.
func TestDiffOfArchitecture(t *testing.T) {
	a, b := sample(), sample()
	b.Arches["amd64"].Packages[1].Arch = "amd64"
	if got := DiffLocks(a, b); len(got.Packages) != 1 || got.Packages[0].Old == nil || got.Packages[0].New == nil {
		t.Errorf("%+v", got)
	}
}

func TestDiffFromNothing(t *testing.T) {
	got := DiffLocks(&Lock{}, sample())
	if len(got.Packages) != 7 || got.Bytes != 55137000 || len(got.Releases) != 2 {
		t.Errorf("%d packages, %d bytes, %d releases", len(got.Packages), got.Bytes, len(got.Releases))
	}
}
