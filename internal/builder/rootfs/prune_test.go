package rootfs

import (
	"bytes"
	"slices"
	"testing"

	"ashlar/internal/builder/definition"
	"ashlar/internal/builder/distro/deb"
	"ashlar/internal/builder/store"
	"ashlar/internal/format/deb822"
	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/tree"
)

// pruned lists the files and links that stay; packages gives each package's
// paths and Depends.
func pruned(t *testing.T, files []string, text string, packages ...testOwner) []string {
	t.Helper()
	all := map[string]string{}
	for _, f := range files {
		all[f] = "x"
	}
	root := treeOf(t, all)
	return prunedTree(t, root, parse(t, text+base1), packages)
}

type testOwner struct {
	name, depends string
	paths         []string
}

func prunedTree(t *testing.T, root *tree.Tree, def *definition.Definition, owners []testOwner) []string {
	t.Helper()
	var packages []*pkg
	for _, o := range owners {
		control, err := deb822.ReadOne(bytes.NewReader([]byte("Package: "+o.name+"\nDepends: "+o.depends+"\n")), deb822.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		p := newPackage(&deb.Unpacked{Control: *control})
		p.paths = o.paths
		packages = append(packages, p)
	}
	if err := prune(root, def, packages); err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, name := range root.Paths() {
		if e := root.Get(name); !e.IsDir() {
			left = append(left, name)
		}
	}
	return left
}

func TestPrune(t *testing.T) {
	files := []string{
		"usr/share/doc/a/copyright", "usr/share/doc/a/changelog.gz", "usr/share/doc/a/examples/e", "usr/share/common-licenses/GPL", "usr/share/man/man1/a.1.gz", "usr/share/man/de/man1/a.1.gz",
		"usr/share/info/a.info", "usr/share/locale/de/LC_MESSAGES/a.mo", "usr/share/locale/de_AT/LC_MESSAGES/a.mo", "usr/share/locale/fr/LC_MESSAGES/a.mo",
		"usr/share/locale/locale.alias", "usr/lib/x86_64-linux-gnu/gconv/UTF-7.so", "usr/lib/x86_64-linux-gnu/gconv/EUC-KR.so", "usr/lib/x86_64-linux-gnu/gconv/gconv-modules",
		"usr/lib/x86_64-linux-gnu/gconv/gconv-modules.d/extra.conf", "var/lib/dpkg/status", "etc/apt/sources.list", "usr/share/lintian/overrides/a", "usr/bin/a", "etc/doc/x",
	}
	off := "docs = false\ncopyright = false\nman = false\nlocales = false\npackage_manager = false\n"
	gone := func(names ...string) []string {
		return slices.DeleteFunc(slices.Sorted(slices.Values(files)), func(f string) bool { return slices.Contains(names, f) })
	}
	docs := []string{"usr/share/doc/a/changelog.gz", "usr/share/doc/a/examples/e", "usr/share/lintian/overrides/a"}
	locales := []string{"usr/share/locale/de/LC_MESSAGES/a.mo", "usr/share/locale/de_AT/LC_MESSAGES/a.mo", "usr/share/locale/fr/LC_MESSAGES/a.mo", "usr/lib/x86_64-linux-gnu/gconv/EUC-KR.so"}
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"nothing", "[prune]\n" + off, gone()},
		{"docs but not copyright", "[prune]\ncopyright = false\nman = false\nlocales = false\npackage_manager = false\n", gone(docs...)},
		{"copyright", "[prune]\ndocs = false\nman = false\nlocales = false\npackage_manager = false\n", gone("usr/share/doc/a/copyright", "usr/share/common-licenses/GPL")},
		{"man", "[prune]\ndocs = false\ncopyright = false\nlocales = false\npackage_manager = false\n", gone("usr/share/man/man1/a.1.gz", "usr/share/man/de/man1/a.1.gz", "usr/share/info/a.info")},
		{"locales", "[prune]\ndocs = false\ncopyright = false\nman = false\npackage_manager = false\n", gone(locales...)},
		{"locales but the declared one", "locale = \"de_AT.UTF-8\"\n[prune]\ndocs = false\ncopyright = false\nman = false\npackage_manager = false\n", gone(locales[2:]...)},
		{"package manager", "[prune]\ndocs = false\ncopyright = false\nman = false\nlocales = false\n", gone("var/lib/dpkg/status", "etc/apt/sources.list")},
		{"everything", "", []string{"etc/doc/x", "usr/bin/a", "usr/lib/x86_64-linux-gnu/gconv/UTF-7.so", "usr/lib/x86_64-linux-gnu/gconv/gconv-modules", "usr/lib/x86_64-linux-gnu/gconv/gconv-modules.d/extra.conf", "usr/share/locale/locale.alias"}},
		{"paths and keep", "[prune]\n" + off + "paths = [\"/usr/bin/*\", \"/etc/**\"]\nkeep = [\"/etc/doc/**\"]\n", gone("usr/bin/a", "etc/apt/sources.list")},
		{"keep beats a rule", "[prune]\ncopyright = false\nman = false\nlocales = false\npackage_manager = false\nkeep = [\"/usr/share/doc/a/examples/**\"]\n", gone(docs[0], docs[2])},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := pruned(t, files, c.text); !slices.Equal(got, c.want) {
				t.Errorf("left %q\nwant %q", got, c.want)
			}
		})
	}
}

// TestPruneLeavesNoEmptyDirectories has directories go with what they held,
// but not those that were empty before and match nothing.
func TestPruneLeavesNoEmptyDirectories(t *testing.T) {
	root := treeOf(t, map[string]string{"usr/share/man/man1/a": "x", "srv/empty": "dir", "var/lib/apt/lists/partial": "dir"})
	prunedTree(t, root, parse(t, base1), nil)
	for name, want := range map[string]bool{"usr/share/man/man1": false, "usr/share/man": false, "srv/empty": true, "var/lib/apt": false, "var/lib": true} {
		if got := root.Get(name) != nil; got != want {
			t.Errorf("/%s: there: %v", name, got)
		}
	}
}

// TestPruneManager takes the packages that only install others, not what
// others have too, and perl only where nothing needs it.
func TestPruneManager(t *testing.T) {
	files := []string{"usr/bin/dpkg", "usr/bin/tool", "usr/bin/perl", "usr/share/perl5/Debconf.pm", "usr/lib/shared"}
	owners := []testOwner{
		{"dpkg", "tar", []string{"/.", "/usr", "/bin/dpkg", "/usr/bin/dpkg", "/usr/lib/shared"}}, {"perl-base", "", []string{"/usr/bin/perl"}},
		{"tool", "libc6", []string{"/usr/bin/tool", "/usr/lib/shared"}},
	}
	if got, want := pruned(t, files, "", owners...), []string{"usr/bin/tool", "usr/lib/shared"}; !slices.Equal(got, want) {
		t.Errorf("left %q, want %q", got, want)
	}
	for _, depends := range []string{"perl:any", "libc6, perl-base (>= 5)", "libfoo-perl | other"} {
		owners[2].depends = depends
		if got, want := pruned(t, files, "", owners...), []string{"usr/bin/perl", "usr/bin/tool", "usr/lib/shared", "usr/share/perl5/Debconf.pm"}; !slices.Equal(got, want) {
			t.Errorf("%s: left %q, want %q", depends, got, want)
		}
	}
	owners[2].depends = "foo | libfoo-perl"
	if got := pruned(t, files, "[prune]\nkeep = [\"/usr/bin/dpkg\"]\n", owners...); !slices.Equal(got, []string{"usr/bin/dpkg", "usr/bin/tool", "usr/lib/shared"}) {
		t.Errorf("left %q", got)
	}
}

// TestPruneAlternatives takes links to what is gone, and the links to those.
func TestPruneAlternatives(t *testing.T) {
	root := treeOf(t, map[string]string{
		"etc/alternatives/pager": "-> /bin/more", "usr/bin/pager": "-> /etc/alternatives/pager", "usr/bin/more": "x", "bin": "-> usr/bin",
		"etc/alternatives/pager.1.gz": "-> /usr/share/man/man1/more.1.gz", "usr/share/man1link": "-> /etc/alternatives/pager.1.gz", "usr/share/man/man1/more.1.gz": "x",
		"etc/dangling": "-> nowhere",
	})
	got := prunedTree(t, root, parse(t, base1), nil)
	if want := []string{"bin", "etc/alternatives/pager", "etc/dangling", "usr/bin/more", "usr/bin/pager"}; !slices.Equal(got, want) {
		t.Errorf("left %q, want %q", got, want)
	}
}

// TestClean has one path for each rule, and one beside it that stays.
func TestClean(t *testing.T) {
	gone := []string{
		"var/lib/dbus/machine-id", "var/lib/systemd/random-seed", "var/lib/systemd/credential.secret", "etc/ssh/ssh_host_rsa_key", "etc/ssh/ssh_host_rsa_key.pub",
		"etc/ssl/private/ssl-cert-snakeoil.key", "etc/ssl/certs/ssl-cert-snakeoil.pem", "etc/passwd-", "etc/group-", "etc/shadow-", "etc/gshadow-", "etc/subuid-", "etc/subgid-",
		"etc/.pwd.lock", "etc/.updated", "var/.updated", "etc/apt/apt.conf.d/01autoremove-kernels", "var/lib/dpkg/status-old", "var/lib/dpkg/lock-frontend", "var/lib/dpkg/triggers/Lock",
		"var/lib/ucf/hashfile.0", "var/cache/debconf/config.dat-old", "var/lib/apt/lists/x/y", "var/cache/apt/pkgcache.bin", "var/cache/ldconfig/aux-cache", "var/cache/fontconfig/x",
		"var/cache/man/index.db", "var/log/apt/term.log", "var/log/dpkg.log", "tmp/x/y", "var/tmp/x", "run/lock/x", "usr/lib/python3/__pycache__/a.pyc", "usr/sbin/policy-rc.d",
	}
	stay := []string{
		"etc/machine-id", "etc/ssh/ssh_config", "etc/ssh/ssh_host_name", "etc/passwd", "var/lib/dpkg/status", "var/lib/dpkg/triggers/File", "var/lib/ucf/hashfile", "var/cache/debconf/config.dat",
		"etc/ssl/certs/ca.pem", "usr/lib/python3/a.py", "etc/subuid",
	}
	files := map[string]string{"etc/ssl/certs/12345678.0": "-> ssl-cert-snakeoil.pem", "etc/ssl/certs/87654321.0": "-> ca.pem"}
	for _, name := range append(gone, stay...) {
		files[name] = "x"
	}
	root := treeOf(t, files)
	if err := clean(root); err != nil {
		t.Fatal(err)
	}
	for _, name := range append(gone, "etc/ssl/certs/12345678.0", "tmp/x", "usr/lib/python3/__pycache__") {
		if root.Get(name) != nil {
			t.Errorf("/%s stays", name)
		}
	}
	for _, name := range append(stay, "etc/ssl/certs/87654321.0", "tmp", "var/tmp", "run", "var/log", "var/log/apt", "var/cache/apt", "var/lib/apt/lists/x") {
		if root.Get(name) == nil {
			t.Errorf("/%s is gone", name)
		}
	}
	if e := root.Get("etc/machine-id"); e.Size != 0 || e.Digest != digest.Of(nil) || e.Source != nil {
		t.Errorf("machine-id: %+v", e)
	}
}

func TestNormalise(t *testing.T) {
	root := treeOf(t, map[string]string{"usr/bin/a": "x", "usr/games": "dir", "etc/a": "x", "usrlocal/a": "x", "usr/empty": "", "usr/l": "-> a"})
	for name, mtime := range map[string]int64{"usr/bin/a": 100, "etc/a": 2000, "usrlocal/a": -5, "usr/empty": 1000} {
		root.Get(name).MTime = mtime
	}
	root.Get("usr/bin/a").Mode, root.Get("usr/games").Mode, root.Get("usr/empty").UID = 0o4775, 0o2775, 5
	if err := normalise(root, 1000); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]struct {
		shown string
		mtime int64
	}{
		"usr/bin/a": {"file 4555 0:0 ", 100}, "usr/games": {"dir 2555 0:0 ", 1000}, "etc/a": {"file 644 0:0 ", 1000}, "usrlocal/a": {"file 644 0:0 ", 1000},
		"usr/empty": {"file 644 5:0 ", 1000}, "usr/l": {"symlink 777 0:0 a", 1000},
	} {
		if e := root.Get(name); shows(e) != want.shown || e.MTime != want.mtime {
			t.Errorf("/%s: %s at %d, want %v", name, shows(e), e.MTime, want)
		}
	}
}

// TestTreeCodec writes a tree of all kinds and reads it; a content that the
// store has lost makes the record useless.
func TestTreeCodec(t *testing.T) {
	st, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	root := treeOf(t, map[string]string{"d": "dir", "d/l": "-> x", "d/empty": ""})
	d, err := st.PutBytes([]byte("content"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []tree.Entry{
		{Path: "d/f", Kind: tree.File, Mode: 0o4755, UID: 1, GID: 2, MTime: -3, Size: 7, Digest: d, Source: st.Blob(d), Xattrs: []tree.Xattr{{Name: "security.capability", Value: []byte{0, 255}}}},
		{Path: "d/h", Kind: tree.HardLink, Target: "d/f"}, {Path: "d/c", Kind: tree.CharDevice, Mode: 0o600, Major: 1, Minor: 3}, {Path: "d/p", Kind: tree.Fifo, Mode: 0o600},
	} {
		if err := root.Put(e); err != nil {
			t.Fatal(err)
		}
	}
	data, err := encodeTree(root, st)
	if err != nil {
		t.Fatal(err)
	}
	again, err := decodeTree(data, st)
	if err != nil {
		t.Fatal(err)
	}
	if second, err := encodeTree(again, st); err != nil || !bytes.Equal(second, data) {
		t.Errorf("%v\n%s\n%s", err, data, second)
	}
	if got := textOf(t, again, "d/f"); got != "content" {
		t.Errorf("content: %q", got)
	}
	if refs := Refs(recordKind, "", data); !slices.Equal(refs, []digest.Digest{d}) {
		t.Errorf("refs: %v", refs)
	}
	if err := st.Remove(d); err != nil {
		t.Fatal(err)
	}
	if lost, err := decodeTree(data, st); lost != nil || err != nil {
		t.Errorf("content lost: %v, %v", lost, err)
	}
	if _, err := decodeTree([]byte("{"), st); err == nil {
		t.Error("garbage: no error")
	}
}
