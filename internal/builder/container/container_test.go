package container

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"ashlar/internal/builder/definition"
	"ashlar/internal/contract/layout"
	"ashlar/internal/format/imagetest"
	"ashlar/internal/format/tarball"
	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/tree"
)

// world makes packages of some files each and the root that they make, with
// files of nobody's, links and a program of the device.
func world(t testing.TB, packages int, version string) (*tree.Tree, []Owner) {
	t.Helper()
	root := &tree.Tree{}
	put := func(e tree.Entry) {
		e.MTime = 1_700_000_000
		if err := root.AddParents(e.Path, 0o755, 1_800_000_000); err != nil {
			t.Fatal(err)
		}
		imagetest.Put(t, root, e)
	}
	var owners []Owner
	for n := range packages {
		o := Owner{Name: fmt.Sprintf("package-%d", n)}
		for _, dir := range []string{"bin", "usr/share/doc/" + o.Name, "etc"} {
			e := tree.NewFile(dir+"/"+o.Name, 0o644, []byte(o.Name+" in "+dir))
			o.Entries = append(o.Entries, e)
			e.Path = strings.Replace(e.Path, "bin/", "usr/bin/", 1) // as /bin is a link
			put(e)
		}
		link := tree.Entry{Path: "usr/bin/a-link-" + o.Name, Kind: tree.HardLink, Target: "usr/bin/" + o.Name}
		o.Entries = append(o.Entries, link)
		put(link)
		owners = append(owners, o)
	}
	put(tree.NewSymlink("bin", "usr/bin"))
	put(tree.NewFile(layout.InitBinary, 0o755, []byte("program")))
	put(tree.NewFile("etc/passwd", 0o644, []byte("made "+version)))
	put(tree.Entry{Path: "dev/null", Kind: tree.CharDevice, Major: 1, Minor: 3})
	return root, owners
}

// archives writes each group and gives their digests by what they hold.
func archives(t testing.TB, groups []Group) map[string]digest.Digest {
	t.Helper()
	sums := map[string]digest.Digest{}
	for _, g := range groups {
		var b bytes.Buffer
		if err := tarball.Write(&b, g.Tree, tarball.Options{Paths: g.Paths}); err != nil {
			t.Fatal(err)
		}
		sums[g.By] = digest.Of(b.Bytes())
	}
	return sums
}

func nobody(string) bool { return false }

// TestSplitIsWhole puts the layers over each other: the root comes out.
func TestSplitIsWhole(t *testing.T) {
	for _, packages := range []int{0, 1, 5, 200} {
		root, owners := world(t, packages, "1")
		groups := Split(root, owners, nobody)
		if len(groups) > MaxLayers {
			t.Errorf("%d packages make %d layers", packages, len(groups))
		}
		got := &tree.Tree{}
		for _, g := range groups {
			for _, p := range g.Paths {
				if e := g.Tree.Get(p); e.Kind != tree.HardLink { // it may stand before its file
					if err := tarball.Apply(got, *e); err != nil {
						t.Fatal(err)
					}
				}
			}
			for _, p := range g.Paths {
				if e := g.Tree.Get(p); e.Kind == tree.HardLink {
					if err := tarball.Apply(got, *e); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		if diff := imagetest.Differences(t, root, got); diff != "" {
			t.Errorf("%d packages: %s", packages, diff)
		}
		rng := rand.New(rand.NewPCG(1, 2))
		rng.Shuffle(len(owners), func(i, j int) { owners[i], owners[j] = owners[j], owners[i] })
		a, b := archives(t, groups), archives(t, Split(root, owners, nobody))
		if fmt.Sprint(a) != fmt.Sprint(b) {
			t.Errorf("the order of packages reaches the layers")
		}
	}
}

// TestSplitKeepsLayers changes one thing at a time and counts the layers that
// are not as they were.
func TestSplitKeepsLayers(t *testing.T) {
	root, owners := world(t, 100, "1")
	before := archives(t, Split(root, owners, nobody))
	changed := func(root *tree.Tree, owners []Owner, own func(string) bool) (n int) {
		had := map[digest.Digest]bool{}
		for _, sum := range before {
			had[sum] = true
		}
		for _, sum := range archives(t, Split(root, owners, own)) {
			if !had[sum] {
				n++
			}
		}
		return n
	}
	if n := changed(root, owners, nobody); n != 0 {
		t.Errorf("nothing changed, and %d layers are new", n)
	}
	other, _ := world(t, 100, "2")
	if n := changed(other, owners, nobody); n != 1 {
		t.Errorf("a file of nobody's changed, and %d layers are new", n)
	}
	later := root.Clone()
	for _, p := range later.Paths() {
		if e := later.Get(p); e.Kind == tree.Dir {
			e.MTime++ // as a later commit's bound of times does
		}
	}
	if n := changed(later, owners, nobody); n != 1 {
		t.Errorf("the times of directories changed, and %d layers are new", n)
	}
	newer := root.Clone()
	file := tree.NewFile("usr/bin/package-7", 0o755, []byte("a new version"))
	imagetest.Put(t, newer, file)
	upgraded := slices.Clone(owners)
	upgraded[7].Entries = slices.Clone(upgraded[7].Entries)
	file.Path = "bin/package-7"
	upgraded[7].Entries[0] = file
	if n := changed(newer, upgraded, nobody); n != 1 {
		t.Errorf("a package changed, and %d layers are new", n)
	}
	imagetest.Put(t, newer, tree.NewFile("etc/package-8", 0o644, []byte("package-8 in ETC"))) // as large as it was
	if n := changed(newer, upgraded, func(p string) bool { return p == "etc/package-8" }); n != 3 {
		t.Errorf("the definition took a package's file over, and %d layers are new: the package's, the changed one's, the last", n)
	}
	more, moreOwners := world(t, 101, "1")
	if n := changed(more, moreOwners, nobody); n != 2 {
		t.Errorf("a package came, and %d layers are new: its own and the last, for its directory", n)
	}
}

func web() *definition.Definition {
	return &definition.Definition{Name: "web", Init: "ashlar", Base: definition.Base{Distro: "debian", Suite: "trixie"},
		State: []definition.State{{Path: "/var/log/web", Kind: "dir"}, {Path: "/etc/key", Kind: "file"}},
		Tests: []definition.Test{{HTTP: "http://:80/"}, {TCP: ":22"}, {Service: "web"}, {HTTP: "https://[::1]:8443/x"}, {HTTP: "http://localhost/"}}}
}

func TestPorts(t *testing.T) {
	def := web()
	if got := strings.Join(Ports(def), " "); got != "22/tcp 80/tcp 8443/tcp" {
		t.Errorf("of the tests: %s", got)
	}
	def.Container.Ports = []string{"53/udp", "8080"}
	if got := strings.Join(Ports(def), " "); got != "53/udp 8080/tcp" {
		t.Errorf("declared: %s", got)
	}
}

func TestConfig(t *testing.T) {
	in := Input{Definition: web(), Arch: "armhf", Epoch: 1_700_000_000, Generation: "0123"}
	got, err := in.Config()
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"created":"2023-11-14T22:13:20Z","architecture":"arm","os":"linux","variant":"v7","config":{` +
		`"ExposedPorts":{"22/tcp":{},"80/tcp":{},"8443/tcp":{}},` +
		`"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin","container=oci"],` +
		`"Entrypoint":["/usr/lib/ashlar/ashlar-init","container"],"Volumes":{"/var/log/web":{}},"WorkingDir":"/",` +
		`"Labels":{"org.opencontainers.image.base.name":"debian:trixie","org.opencontainers.image.created":"2023-11-14T22:13:20Z",` +
		`"org.opencontainers.image.title":"web","org.opencontainers.image.version":"0123"},"StopSignal":"SIGTERM"},"rootfs":{"type":"","diff_ids":null}}`
	if string(text) != want {
		t.Errorf("config is\n%s, want\n%s", text, want)
	}
	in.Definition.Init = "systemd"
	if got, err := in.Config(); err != nil || got.Config.StopSignal != "SIGRTMIN+3" || got.Config.Entrypoint[0] != systemdPath {
		t.Errorf("with systemd: %+v, %v", got.Config, err)
	}
	in.Definition.Init = "/usr/bin/app"
	if got, err := in.Config(); err != nil || got.Config.StopSignal != "" || got.Config.Entrypoint[0] != "/usr/bin/app" {
		t.Errorf("with an application: %+v, %v", got.Config, err)
	}
	in.Arch = "vax"
	if _, err := in.Config(); err == nil {
		t.Error("a VAX has a platform")
	}
	if _, err := LXCMeta(in); err == nil {
		t.Error("a VAX has a template")
	}
}

func TestTree(t *testing.T) {
	root, _ := world(t, 1, "1")
	imagetest.Put(t, root, tree.NewSymlink("etc/resolv.conf", "/run/ashlar/resolv.conf"), tree.Entry{Path: "dev/log", Kind: tree.Socket})
	before := imagetest.Describe(t, root)
	for init, want := range map[string]string{"ashlar": "/" + layout.InitBinary, "systemd": systemdPath, "/usr/bin/app": "/usr/bin/app"} {
		got, err := Tree(root, &definition.Definition{Init: init})
		if err != nil {
			t.Fatal(err)
		}
		if e := got.Get("etc/resolv.conf"); e.Kind != tree.File || e.Size != 0 {
			t.Errorf("resolv.conf is %+v", e)
		}
		if e := got.Get("usr/sbin/init"); e == nil || e.Target != want || got.Get("sbin") == nil {
			t.Errorf("%s: init is %+v", init, e)
		}
		if got.Get("dev/log") != nil {
			t.Error("a socket is left")
		}
	}
	imagetest.Put(t, root, tree.NewDir("usr/sbin", 0o755), tree.NewFile("usr/sbin/init", 0o755, []byte("its own")))
	got, err := Tree(root, &definition.Definition{Init: "ashlar"})
	if err != nil || got.Get("usr/sbin/init").Kind != tree.File {
		t.Errorf("the image's own init is gone: %v", err)
	}
	root.Remove("usr/sbin")
	if imagetest.Describe(t, root) != before {
		t.Error("the root itself was changed")
	}
}

func TestLXCMeta(t *testing.T) {
	in := Input{Definition: web(), Arch: "amd64", Epoch: 1_700_000_000, Generation: "0123"}
	got, err := LXCMeta(in)
	if err != nil {
		t.Fatal(err)
	}
	text := func(name string) string {
		data, err := got.Get(name).ReadAll(1 << 16)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	if c := text("config"); !strings.Contains(c, "\nlxc.arch = x86_64\nlxc.init.cmd = /usr/lib/ashlar/ashlar-init container\nlxc.signal.halt = SIGPWR\n") {
		t.Errorf("config is\n%s", c)
	}
	if c := text("config-user"); !strings.Contains(c, "userns.conf") {
		t.Errorf("config-user is\n%s", c)
	}
	var meta struct {
		Architecture string            `json:"architecture"`
		Created      int64             `json:"creation_date"`
		Properties   map[string]string `json:"properties"`
	}
	if err := json.Unmarshal([]byte(text("metadata.yaml")), &meta); err != nil || meta.Architecture != "x86_64" || meta.Created != 1_700_000_000 || meta.Properties["release"] != "trixie" {
		t.Errorf("metadata %+v, %v", meta, err)
	}
	if name, err := OpenVZName(in); err != nil || name != "debian-trixie-x86_64-web.tar.gz" {
		t.Errorf("OpenVZ: %s, %v", name, err)
	}
	in.Definition.Base = definition.Base{}
	if name, err := OpenVZName(in); err != nil || name != "ashlar-scratch-x86_64-web.tar.gz" {
		t.Errorf("OpenVZ without packages: %s, %v", name, err)
	}
}
