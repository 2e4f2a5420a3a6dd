package squashfs

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"ashlar/internal/format/imagetest"
	"ashlar/internal/foundation/tree"
)

// TestExportTable opens files by their handles, as a server of NFS does, at a
// second mount of the image: that knows no inode yet and looks each up in the export table.
func TestExportTable(t *testing.T) {
	tr := imagetest.Sample(t)
	data, _ := writeImage(t, tr, Options{Compressor: compressor(t, "lz4", 0), BlockSize: minBlockSize})
	first, second := mount(t, data), mount(t, data)
	at, err := os.Open(second)
	if err != nil {
		t.Fatal(err)
	}
	defer at.Close()
	opened := 0
	for _, p := range tr.Paths() {
		e := tr.Get(p)
		if e.Kind != tree.File {
			continue
		}
		handle, _, err := unix.NameToHandleAt(unix.AT_FDCWD, filepath.Join(first, p), 0)
		if err != nil {
			t.Fatal(err)
		}
		fd, err := unix.OpenByHandleAt(int(at.Fd()), handle, unix.O_RDONLY)
		if err != nil {
			t.Fatalf("%s by its handle: %v", p, err)
		}
		f := os.NewFile(uintptr(fd), p)
		var is, want unix.Stat_t
		if err := unix.Fstat(fd, &is); err != nil {
			t.Fatal(err)
		}
		if err := unix.Lstat(filepath.Join(second, p), &want); err != nil {
			t.Fatal(err)
		}
		if is.Ino != want.Ino || is.Size != e.Size || is.Mode != want.Mode {
			t.Errorf("the handle of %s opens inode %d of %d bytes, want %d of %d", p, is.Ino, is.Size, want.Ino, e.Size)
		}
		f.Close()
		opened++
	}
	if opened < 10 {
		t.Errorf("%d files were opened", opened)
	}
}
