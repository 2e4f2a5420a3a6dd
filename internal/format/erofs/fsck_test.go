package erofs

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ashlar/internal/format/imagetest"
	"ashlar/internal/foundation/tree"
	"ashlar/internal/testenv"
)

// utilities gives the directory of a Debian with erofs-utils of the stable
// release: those of the release that runs the tests may not know duplicates and xattrs.
func utilities(t *testing.T) string {
	t.Helper()
	archive := testenv.Debian(t, "trixie")
	return archive.Unpack(t, archive.Closure(t, []string{"erofs-utils"}, []string{"debconf", "libc-bin"})...)
}

// utility is one of them, run with its own libraries.
func utility(dir, name string, args ...string) *exec.Cmd {
	usr := filepath.Join(dir, "usr")
	loader := []string{"--library-path", filepath.Join(usr, "lib", "x86_64-linux-gnu"), filepath.Join(usr, "bin", name)}
	return exec.Command(filepath.Join(usr, "lib64", "ld-linux-x86-64.so.2"), append(loader, args...)...)
}

// extractable is the sample tree without what fsck.erofs cannot unpack: of a hole
// at the end of a file it makes nothing, an empty value of an xattr it refuses, and capabilities
// it gives to a file before the owner, which takes them away.
func extractable(t *testing.T) *tree.Tree {
	t.Helper()
	tr := sample(t)
	imagetest.Put(t, tr, tree.NewFile("data/zeros", 0o644, append(make([]byte, 1<<20), 'x')))
	for _, p := range tr.Paths() {
		e := tr.Get(p)
		e.Xattrs = slices.DeleteFunc(slices.Clone(e.Xattrs), func(x tree.Xattr) bool {
			return len(x.Value) == 0 || strings.HasPrefix(x.Name, "security.")
		})
	}
	return tr
}

// TestFsck has fsck.erofs check images, and unpack them.
func TestFsck(t *testing.T) {
	testenv.RequireRoot(t) // owners and devices
	dir := utilities(t)
	for name, opt := range manners(t) {
		tr := extractable(t)
		data, _ := writeImage(t, tr, opt)
		to := filepath.Join(t.TempDir(), "out")
		out, err := utility(dir, "fsck.erofs", "--extract="+to, "--xattrs", "--preserve", imagetest.File(t, data)).CombinedOutput()
		if err != nil {
			t.Errorf("%s: fsck.erofs: %v: %s", name, err, out)
			continue
		}
		if diff := imagetest.Differences(t, tr, imagetest.HostTree(t, to)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// TestReadsForeignImage reads what mkfs.erofs makes.
func TestReadsForeignImage(t *testing.T) {
	testenv.RequireRoot(t)
	dir := utilities(t)
	tr := sample(t)
	data, _ := writeImage(t, tr, Options{})
	from := mount(t, data)
	for _, args := range [][]string{
		{},
		{"-x-1"},
		{"-x0"},
		{"-Eforce-inode-extended"},
		{"-Enoinline_data"},
		{"--chunksize=4096"},
		{"--chunksize=65536", "-Eforce-chunk-indexes"},
		{"-zlz4"},
		{"-zlz4hc,12", "-C65536"},
		{"-zlz4hc", "-C1048576", "-Eztailpacking"},
		{"-zlz4", "-Elegacy-compress"},
		{"-zzstd,3", "-C65536", "-Eztailpacking"},
	} {
		image := filepath.Join(t.TempDir(), "foreign.erofs")
		out, err := utility(dir, "mkfs.erofs", append(append([]string{"--quiet"}, args...), image, from)...).CombinedOutput()
		if err != nil {
			t.Fatalf("mkfs.erofs %v: %v: %s", args, err, out)
		}
		raw, err := os.ReadFile(image)
		if err != nil {
			t.Fatal(err)
		}
		want := tr
		if len(args) > 0 && args[0] == "-x-1" {
			want = tr.Clone()
			want.Walk(func(e *tree.Entry) error { e.Xattrs = nil; return nil })
		}
		if diff := imagetest.Differences(t, want, readImage(t, raw)); diff != "" {
			t.Errorf("mkfs.erofs %v: %s", args, diff)
		}
	}
}
