package ext4

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/tree"
	"ashlar/internal/testenv"
)

// mount mounts the image on a loop device and gives the directory and the device.
func mount(t *testing.T, image, options string) (dir, device string) {
	t.Helper()
	testenv.RequireRoot(t)
	losetup := testenv.RequireTool(t, "losetup")
	out, err := exec.Command(losetup, "--find", "--show", image).CombinedOutput()
	if err != nil {
		testenv.Lack(t, "needs a loop device: %v: %s", err, out)
	}
	device = strings.TrimSpace(string(out))
	detach := func() {
		if out, err := exec.Command(losetup, "--detach", device).CombinedOutput(); err != nil {
			t.Errorf("detach %s: %v: %s", device, err, out)
		}
	}
	dir = t.TempDir()
	if err := unix.Mount(device, dir, "ext4", 0, options); err != nil {
		detach()
		if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENODEV) {
			testenv.Lack(t, "needs a kernel that mounts ext4: %v", err)
		}
		t.Fatalf("mount: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
		detach()
	})
	return dir, device
}

// scan describes a mounted directory in the words of describe.
func scan(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(full string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, full)
		if err != nil {
			return err
		}
		var st syscall.Stat_t
		if err := syscall.Lstat(full, &st); err != nil {
			return err
		}
		text := ""
		switch st.Mode & syscall.S_IFMT {
		case syscall.S_IFREG:
			data, err := os.ReadFile(full)
			if err != nil {
				return err
			}
			text = digest.Of(data).String()
		case syscall.S_IFLNK:
			text, err = os.Readlink(full)
		case syscall.S_IFCHR, syscall.S_IFBLK:
			text = fmt.Sprint(unix.Major(st.Rdev), unix.Minor(st.Rdev))
		}
		list := make([]byte, 4096)
		n, err2 := unix.Llistxattr(full, list)
		if err = errors.Join(err, err2); err != nil {
			return err
		}
		xattrs := map[string]string{}
		for _, x := range strings.Split(strings.Trim(string(list[:n]), "\x00"), "\x00") {
			value := make([]byte, 4096)
			if x == "" {
				continue
			}
			n, err := unix.Lgetxattr(full, x, value)
			if err != nil {
				return fmt.Errorf("%s: %s: %w", full, x, err)
			}
			xattrs[x] = string(value[:n])
		}
		links := st.Nlink
		if st.Mode&syscall.S_IFMT == syscall.S_IFDIR {
			links = 0
		}
		all[name] = fmt.Sprintf("%o %d:%d %d x%d %q %q", st.Mode, st.Uid, st.Gid, st.Mtim.Sec, links, text, xattrs)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// describe says the same of a tree.
func describe(t *testing.T, tr *tree.Tree) map[string]string {
	t.Helper()
	links := map[string]int{}
	for _, p := range tr.Paths() {
		if e := tr.Get(p); e.Kind == tree.HardLink {
			links[e.Target]++
		}
	}
	all := map[string]string{}
	for _, p := range tr.Paths() {
		e := tr.Get(p)
		first := p
		if e.Kind == tree.HardLink {
			first = e.Target
			e = tr.Get(first)
		}
		text := ""
		switch e.Kind {
		case tree.File:
			data, err := e.ReadAll(1 << 20)
			if err != nil {
				t.Fatal(err)
			}
			text = digest.Of(data).String()
		case tree.Symlink:
			text = e.Target
		case tree.CharDevice, tree.BlockDevice:
			text = fmt.Sprint(e.Major, e.Minor)
		}
		xattrs := map[string]string{}
		for _, x := range e.Xattrs {
			xattrs[x.Name] = string(x.Value)
		}
		count := 1 + links[first]
		if e.Kind == tree.Dir {
			count = 0
		}
		all[p] = fmt.Sprintf("%o %d:%d %d x%d %q %q", e.Kind.TypeBits()|e.Mode, e.UID, e.GID, min(e.MTime, epoch), count, text, xattrs)
	}
	return all
}

func compare(t *testing.T, want, got map[string]string) {
	t.Helper()
	for name, w := range want {
		if g := got[name]; g != w {
			t.Errorf("%s:\n got %.300s\nwant %.300s", name, g, w)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok && name != lostFound {
			t.Errorf("%s: was not in the tree", name)
		}
	}
}

func TestKernelReads(t *testing.T) {
	tr := example(t)
	image := build(t, tr, options(64<<20))
	dir, _ := mount(t, image, "")
	compare(t, describe(t, tr), scan(t, dir))
}

// The kernel writes into what we made, directories that it then hashes included.
func TestKernelWrites(t *testing.T) {
	image := build(t, example(t), options(64<<20))
	t.Run("mounted", func(t *testing.T) {
		dir, _ := mount(t, image, "")
		for i := range 500 {
			for _, sub := range []string{"empty", "many", "new"} {
				name := filepath.Join(dir, sub, fmt.Sprintf("a name of some length that fills the blocks %d", i))
				if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, bytes.Repeat([]byte{'x'}, i*10), 0o644)); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := os.RemoveAll(filepath.Join(dir, "files")); err != nil {
			t.Fatal(err)
		}
		if err := unix.Setxattr(filepath.Join(dir, "xattr/few"), "user.more", bytes.Repeat([]byte("m"), 2000), 0); err != nil {
			t.Fatal(err)
		}
	})
	fsckQuiet(t, image)
}

// fsckQuiet is fsck for file systems that the kernel wrote to.
func fsckQuiet(t *testing.T, image string) {
	t.Helper()
	out, err := exec.Command(testenv.RequireTool(t, "e2fsck"), "-fn", image).CombinedOutput()
	if err != nil || strings.Contains(string(out), "? no") {
		t.Errorf("e2fsck -fn: %v\n%s", err, out)
	}
}

// The mounted file system grows as the device grows it: 64 MiB to 100 GiB.
// Where this process may not ask the kernel for that (containers without
// CAP_SYS_RESOURCE), resize2fs does it on the file system at rest.
func TestGrows(t *testing.T) {
	resize := testenv.RequireTool(t, "resize2fs")
	for _, to := range []int64{100<<20 + 4096, 100 << 30} {
		t.Run(fmt.Sprint(to), func(t *testing.T) {
			tr := example(t)
			image := build(t, tr, options(64<<20))
			if err := os.Truncate(image, to); err != nil {
				testenv.Lack(t, "needs a file system that holds a sparse file of %d bytes: %v", to, err)
			}
			online := true
			t.Run("mounted", func(t *testing.T) {
				dir, device := mount(t, image, "")
				out, err := exec.Command(resize, device).CombinedOutput()
				if strings.Contains(string(out), "Permission denied to resize") {
					online = false
					return
				}
				if err != nil {
					t.Fatalf("resize2fs: %v\n%s", err, out)
				}
				grown(t, dir, to, tr)
			})
			fsckQuiet(t, image)
			if !online {
				if out, err := exec.Command(testenv.RequireTool(t, "e2fsck"), "-fp", image).CombinedOutput(); err != nil {
					t.Fatalf("e2fsck -fp: %v\n%s", err, out)
				}
				if out, err := exec.Command(resize, image).CombinedOutput(); err != nil {
					t.Fatalf("resize2fs: %v\n%s", err, out)
				}
				fsckQuiet(t, image)
			}
			t.Run("afterwards", func(t *testing.T) {
				dir, _ := mount(t, image, "")
				grown(t, dir, to, tr)
			})
			fsckQuiet(t, image)
		})
	}
}

// grown checks that the file system has its new size, its old content, and
// takes more than the old size could hold.
func grown(t *testing.T, dir string, size int64, tr *tree.Tree) {
	t.Helper()
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	if got := int64(st.Blocks) * st.Bsize; got < size-size/8 {
		t.Errorf("capacity is %d bytes, want about %d", got, size)
	}
	after := filepath.Join(dir, "after")
	if err := errors.Join(os.WriteFile(after, make([]byte, 75<<20), 0o644), os.Remove(after)); err != nil {
		t.Error(err)
	}
	want, got := describe(t, tr), scan(t, dir)
	delete(want, ".") // its time is that of the removal
	delete(got, ".")
	compare(t, want, got)
}

// zeros is a file of zero bytes but for its last one.
type zeros int64

func (z zeros) Open() (io.ReadCloser, error) {
	return io.NopCloser(io.MultiReader(io.LimitReader(zeroReader{}, int64(z)-1), strings.NewReader("x"))), nil
}

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// crcOf gives the CRC-32 in the way grub-fstest prints it.
func crcOf(t *testing.T, c tree.Content) string {
	t.Helper()
	r, err := c.Open()
	if err != nil {
		t.Fatal(err)
	}
	h := crc32.NewIEEE()
	if _, err := io.Copy(h, r); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%08x", h.Sum32())
}

// large has a file that needs a tree of extents.
func large(t *testing.T) *tree.Tree {
	t.Helper()
	const size = 900 << 20
	tr := &tree.Tree{}
	for _, e := range []tree.Entry{
		tree.NewDir(".", 0o755),
		{Path: "large", Kind: tree.File, Mode: 0o644, Size: size, Source: zeros(size)},
		tree.NewFile("small", 0o644, []byte("behind it")),
	} {
		if err := tr.Put(e); err != nil {
			t.Fatal(err)
		}
	}
	return tr
}

func TestLargeFile(t *testing.T) {
	image := build(t, large(t), options(1100<<20))
	fsck(t, image)
	out, err := exec.Command(testenv.RequireTool(t, "debugfs"), "-R", "dump_extents /large", image).CombinedOutput()
	if err != nil || !strings.Contains(string(out), " 0/ 1 ") {
		t.Errorf("no tree of extents: %v\n%s", err, out)
	}
	grub := testenv.RequireTool(t, "grub-fstest")
	want := crcOf(t, zeros(900<<20))
	got, err := exec.Command(grub, image, "crc", "/large").CombinedOutput()
	if err != nil || strings.TrimSpace(string(got)) != want {
		t.Errorf("GRUB reads checksum %s, want %s (%v)", got, want, err)
	}
	var st syscall.Stat_t
	if err := syscall.Stat(image, &st); err != nil || st.Blocks*512 > 2<<20 {
		t.Errorf("the image takes %d bytes of disk (%v)", st.Blocks*512, err)
	}
}

func TestGRUBReads(t *testing.T) {
	tr := example(t)
	image := build(t, tr, options(300<<20))
	grub := testenv.RequireTool(t, "grub-fstest")
	for _, name := range []string{"files/300000", "files/zeros", "many/a file with a rather long name 0699", "hard/b"} {
		want, err := tr.Lookup(name).ReadAll(1 << 20)
		if err != nil {
			t.Fatal(err)
		}
		got, err := exec.Command(grub, image, "cat", "/"+name).Output()
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("GRUB reads %d bytes of %s, want %d (%v)", len(got), name, len(want), err)
		}
	}
}

func TestDebugfsExtracts(t *testing.T) {
	tr := example(t)
	image := build(t, tr, options(200<<20))
	out := t.TempDir()
	if text, err := exec.Command(testenv.RequireTool(t, "debugfs"), "-R", "rdump / "+out, image).CombinedOutput(); err != nil {
		t.Fatalf("debugfs: %v\n%s", err, text)
	}
	for _, p := range tr.Paths() {
		e := tr.Lookup(p)
		if e == nil || e.Kind != tree.File {
			continue
		}
		want, err := e.ReadAll(1 << 20)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join(out, p)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: debugfs gives other content (%v)", p, err)
		}
	}
}
