package pipeline

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"ashlar/internal/builder/boot"
	"ashlar/internal/builder/distro/deb"
	"ashlar/internal/builder/distro/deb/pkginfo"
	"ashlar/internal/builder/distro/deb/resolve"
	"ashlar/internal/builder/lock"
	"ashlar/internal/foundation/digest"
)

var testOrigin = &pkginfo.Origin{Archive: "debian", Suite: "trixie", Priority: 500}

func pkg(name, version, depends string) *pkginfo.Package {
	return &pkginfo.Package{
		Name: name, Version: version, Arch: "amd64", Depends: depends, Size: 1, Origin: testOrigin,
		Filename: "pool/" + name + "_" + version + ".deb", Digest: digest.Of([]byte(name + version)),
	}
}

// archive has all that resolveArch asks for, two versions of some.
func archive() []*deb.Index {
	packages := []*pkginfo.Package{
		pkg("nginx", "1", "libc"), pkg("nginx", "2", "libc (>= 1)"), pkg("libc", "1", ""), pkg("libc", "2", ""),
		pkg("linux-image-cloud-amd64", "9", "linux-image-6.12 (= 9)"),
		pkg("linux-image-6.12", "9", "kmod, linux-base, initramfs-tools | linux-initramfs-tool, linux-modules-6.12, linux-image-6.12"), pkg("linux-modules-6.12", "9", ""),
		pkg("kmod", "1", ""), pkg("qemu", "1", "libaio, gui"), pkg("qemu", "2", "libaio, gui"), pkg("libaio", "1", ""), pkg("gui", "1", "toolkit"), pkg("toolkit", "1", ""),
	}
	for _, name := range boot.Packages("amd64") {
		packages = append(packages, pkg(name, "1", "grub-common"))
	}
	return []*deb.Index{{Packages: packages}}
}

func idsOf(list []lock.Package) string {
	var ids []string
	for _, p := range list {
		ids = append(ids, p.Name+"="+p.Version)
	}
	return strings.Join(ids, " ")
}

var testTools = ToolSet{Packages: []string{"qemu"}, Without: []string{"gui"}}

const testDefinition = "packages = [\"nginx\"]\nessential = false\nkernel.package = \"linux-image-cloud-amd64\"\n"

func TestResolveArch(t *testing.T) {
	for _, c := range []struct {
		name, more  string
		keep        map[string]string
		root, tools string
	}{
		{"newest", "", nil, "libc=2 nginx=2", "libaio=1 qemu=2"},
		{"kept", "", map[string]string{"nginx": "1", "qemu": "1"}, "libc=2 nginx=1", "libaio=1 qemu=1"},
		{"kept but gone", "", map[string]string{"nginx": "0.9"}, "libc=2 nginx=2", "libaio=1 qemu=2"},
		{"a pin wins", "[[pins]]\npackage = \"nginx\"\nversion = \"1\"\n", map[string]string{"nginx": "2"}, "libc=2 nginx=1", "libaio=1 qemu=2"},
	} {
		a, err := (&Env{}).resolveArch(parsed(t, testDefinition+c.more), "amd64", archive(), c.keep, testTools)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := idsOf(sortByName(a.Packages)); got != c.root {
			t.Errorf("%s: the root is %s, want %s", c.name, got, c.root)
		}
		if got := idsOf(a.Tools); got != c.tools {
			t.Errorf("%s: the tools are %s, want %s", c.name, got, c.tools)
		}
		if got := idsOf(a.Kernel); got != "linux-image-6.12=9 linux-image-cloud-amd64=9 linux-modules-6.12=9" {
			t.Errorf("%s: the kernel is %s", c.name, got)
		}
		if len(a.Boot) != len(boot.Packages("amd64")) {
			t.Errorf("%s: the loader is %s", c.name, idsOf(a.Boot))
		}
		if p := a.Tools[0]; p.Archive != "debian" || p.Path != "pool/libaio_1.deb" || p.Digest != digest.Of([]byte("libaio1")) {
			t.Errorf("%s: locked is %+v", c.name, p)
		}
	}
}

// TestResolveMicrocode: the packages are locked with the kernel, on the
// architecture that has some; where they are is said.
func TestResolveMicrocode(t *testing.T) {
	asks := testDefinition + "kernel.microcode = true\n"
	_, err := (&Env{}).resolveArch(parsed(t, asks), "amd64", archive(), nil, testTools)
	var lack *resolve.Error
	if !errors.As(err, &lack) || !strings.Contains(err.Error(), `kernel.microcode: resolve packages: find package "amd64-microcode"`) || !strings.Contains(err.Error(), `add "non-free-firmware" to base.components`) {
		t.Errorf("without the component: %v", err)
	}
	indexes := archive()
	indexes[0].Packages = append(indexes[0].Packages, pkg("amd64-microcode", "3", ""), pkg("intel-microcode", "4", "iucode-tool"))
	asks += "base.components = [\"main\", \"non-free-firmware\"]\n"
	a, err := (&Env{}).resolveArch(parsed(t, asks), "amd64", indexes, nil, testTools)
	if err != nil {
		t.Fatal(err)
	}
	if got := idsOf(a.Kernel); got != "amd64-microcode=3 intel-microcode=4 linux-image-6.12=9 linux-image-cloud-amd64=9 linux-modules-6.12=9" {
		t.Errorf("the kernel is %s", got)
	}
	if _, err := (&Env{}).resolveArch(parsed(t, asks), "amd64", archive(), nil, testTools); err == nil || strings.Contains(err.Error(), "base.components") {
		t.Errorf("with the component but without the package: %v", err)
	}
	u, err := resolve.NewUniverse(nil, "arm64")
	if err != nil {
		t.Fatal(err)
	}
	if found, err := resolveMicrocode(u, parsed(t, asks), "arm64", nil); found != nil || err != nil {
		t.Errorf("arm64 has %v, %v", found, err)
	}
}

func TestResolveArchLacks(t *testing.T) {
	for name, want := range map[string]string{"linux-image-cloud-amd64": "kernel: ", boot.Packages("amd64")[0]: "boot loader: ", "qemu": "the emulator: ", "nginx": "nginx"} {
		indexes := archive()
		var left []*pkginfo.Package
		for _, p := range indexes[0].Packages {
			if p.Name != name {
				left = append(left, p)
			}
		}
		indexes[0].Packages = left
		_, err := (&Env{}).resolveArch(parsed(t, testDefinition), "amd64", indexes, nil, testTools)
		var lack *resolve.Error // exit code 3
		if !errors.As(err, &lack) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: %v", name, err)
		}
	}
}

// TestNoteRelease: the lock gets the newest date, each index once, and no
// mirror of this machine unless there is no other.
func TestNoteRelease(t *testing.T) {
	e := surroundings(map[string]string{"ASHLAR_MIRROR_DEBIAN": "http://near"})
	index := func(suite, date string, mirrors ...string) *deb.Index {
		return &deb.Index{Release: lock.Release{Archive: "debian", Suite: suite, Date: date, Mirrors: mirrors}}
	}
	l := &lock.Lock{}
	for _, x := range []*deb.Index{
		index("a", "2026-01-02T00:00:00Z", "http://near", "http://far"), index("b", "2026-01-01T00:00:00Z", "http://near"), index("a", "2026-01-02T00:00:00Z", "http://far"),
	} {
		if err := e.noteRelease(l, x); err != nil {
			t.Fatal(err)
		}
	}
	const newest = 1767312000 // 2026-01-02
	if l.Epoch != newest || len(l.Releases) != 2 {
		t.Errorf("epoch %d, %d releases", l.Epoch, len(l.Releases))
	}
	if got := fmt.Sprint(l.Releases[0].Mirrors, l.Releases[1].Mirrors); got != "[http://far] [http://near]" {
		t.Errorf("mirrors %s", got)
	}
	if err := e.noteRelease(l, index("c", "yesterday")); err == nil || !strings.Contains(err.Error(), "debian") {
		t.Errorf("a date that is none: %v", err)
	}
}
