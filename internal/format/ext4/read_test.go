package ext4

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/tree"
	"ashlar/internal/testenv"
)

func openTree(t *testing.T, image string) (*FS, *tree.Tree) {
	t.Helper()
	f, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	fs, err := Open(f, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	tr, err := fs.Tree()
	if err != nil {
		t.Fatal(err)
	}
	return fs, tr
}

func TestRoundTrip(t *testing.T) {
	for _, size := range []int64{24 << 20, 400 << 20} {
		tr := example(t)
		opt := options(size)
		fs, got := openTree(t, build(t, tr, opt))
		if fs.UUID != opt.UUID || fs.Label != opt.Label || fs.NeedsRecovery {
			t.Errorf("uuid %s, label %q, recovery %v", fs.UUID, fs.Label, fs.NeedsRecovery)
		}
		compare(t, describe(t, tr), describe(t, got))
	}
}

func TestReadsLargeFile(t *testing.T) {
	_, got := openTree(t, build(t, large(t), options(1100<<20)))
	e := got.Get("large")
	if e == nil || e.Size != 900<<20 {
		t.Fatalf("entry %+v", e)
	}
	if sum := crcOf(t, e.Source); sum != crcOf(t, zeros(900<<20)) {
		t.Errorf("checksum %s", sum)
	}
}

// foreignSource is a directory for mke2fs -d.
func foreignSource(t *testing.T) string {
	t.Helper()
	source := t.TempDir()
	var files []string
	for i := range 300 {
		name := filepath.Join(source, "dir", fmt.Sprintf("file with a name %d", i))
		files = append(files, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, bytes.Repeat([]byte{byte(i)}, i*i), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	for _, err := range []error{
		os.Link(files[7], filepath.Join(source, "linked")),
		os.Symlink("fast", filepath.Join(source, "fast")),
		os.Symlink(strings.Repeat("slow", 40), filepath.Join(source, "slow")),
		os.Truncate(files[9], 5<<20), // a hole behind the content
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return source
}

// mkfs.ext4 in the forms that it has had: with and without checksums, 64bit,
// flexible groups, small blocks and inodes, descriptors spread over the disk.
func TestReadsForeign(t *testing.T) {
	mkfs := testenv.RequireTool(t, "mke2fs")
	source := foreignSource(t)
	want := scan(t, source)
	for _, args := range [][]string{
		{}, {"-O", "^metadata_csum,^64bit"}, {"-b", "1024", "-I", "128", "-O", "^metadata_csum"}, {"-O", "^resize_inode,meta_bg", "-b", "1024"},
		{"-O", "^flex_bg,uninit_bg,^metadata_csum"}, {"-b", "2048", "-O", "metadata_csum_seed"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			image := filepath.Join(t.TempDir(), "ext4")
			all := append(append([]string{"-q", "-t", "ext4", "-d", source}, args...), image, "200M")
			if out, err := exec.Command(mkfs, all...).CombinedOutput(); err != nil {
				t.Fatalf("mke2fs: %v\n%s", err, out)
			}
			_, got := openTree(t, image)
			got.Remove(lostFound)
			for name, w := range want {
				// "mode owner time xLINKS content attributes"; links are not compared.
				fields := strings.Fields(w)
				w = strings.Join([]string{fields[0], fields[1], fields[2], fields[4]}, " ")
				if g := summary(t, got, name); name != "." && g != w {
					t.Errorf("%s:\n got %s\nwant %s", name, g, w)
				}
			}
			if got.Len() != len(want) {
				t.Errorf("%d paths, want %d", got.Len(), len(want))
			}
		})
	}
}

func summary(t *testing.T, tr *tree.Tree, p string) string {
	t.Helper()
	e := tr.Get(p)
	if e != nil && e.Kind == tree.HardLink {
		e = tr.Get(e.Target)
	}
	if e == nil {
		return "missing"
	}
	text := e.Target
	if e.Kind == tree.File {
		r, err := e.Open()
		if err != nil {
			t.Fatal(err)
		}
		sum, _, err := digest.Reader(r)
		if err != nil {
			t.Fatal(err)
		}
		text = sum.String()
	}
	return fmt.Sprintf("%o %d:%d %d %q", e.Kind.TypeBits()|e.Mode, e.UID, e.GID, e.MTime, text)
}

// What the kernel wrote is read too: directories that it hashed, new files.
func TestReadsWhatTheKernelWrote(t *testing.T) {
	image := build(t, example(t), options(64<<20))
	var want map[string]string
	t.Run("mounted", func(t *testing.T) {
		dir, _ := mount(t, image, "")
		for i := range 900 {
			name := filepath.Join(dir, "empty", fmt.Sprintf("written by the kernel %d", i))
			if err := os.WriteFile(name, bytes.Repeat([]byte{'k'}, i), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want = scan(t, dir)
	})
	out, err := exec.Command(testenv.RequireTool(t, "debugfs"), "-R", "htree_dump /empty", image).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "Root node dump") {
		t.Errorf("the kernel did not hash the directory: %v\n%.300s", err, out)
	}
	_, got := openTree(t, image)
	for name, w := range want {
		fields := strings.Fields(w)
		w = strings.Join([]string{fields[0], fields[1], fields[2], fields[4]}, " ")
		if g := summary(t, got, name); g != w && !strings.HasPrefix(name, "dev/") {
			t.Errorf("%s:\n got %s\nwant %s", name, g, w)
		}
	}
}

func TestDetectsDamage(t *testing.T) {
	image := build(t, example(t), options(24<<20))
	data, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	fs, err := Open(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	table, err := fs.inodeTable(0)
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[int]string{superOffset + 0x20: "superblock", int(table)*blockSize + inodeSize + 4: "inode 2"} {
		broken := bytes.Clone(data)
		broken[at] ^= 1
		fs, err := Open(bytes.NewReader(broken), int64(len(broken)))
		if err == nil {
			_, err = fs.Tree()
		}
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "checksum") {
			t.Errorf("byte %d changed: %v", at, err)
		}
	}
}
