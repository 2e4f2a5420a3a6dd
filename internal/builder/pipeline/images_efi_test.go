package pipeline

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ashlar/internal/builder/initramfs"
	"ashlar/internal/format/cpio"
	"ashlar/internal/foundation/tree"
)

func archiveOf(t *testing.T, files ...tree.Entry) []byte {
	t.Helper()
	tr := &tree.Tree{}
	for _, e := range append([]tree.Entry{tree.NewDir(".", 0o755)}, files...) {
		if err := tr.Put(e); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	if err := cpio.Write(&out, tr, cpio.Options{}); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func packed(t *testing.T, archive []byte) []byte {
	t.Helper()
	data, err := initramfs.Pack(archive, initramfs.Often)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestSeveralArchives reads an initramfs of several compressed archives, and
// one with an archive behind them that is not compressed.
func TestSeveralArchives(t *testing.T) {
	first := archiveOf(t, tree.NewFile("init", 0o755, []byte("old")), tree.NewFile("a", 0o644, nil))
	second := archiveOf(t, tree.NewFile("init", 0o755, []byte("newer")), tree.NewFile("b", 0o644, nil))
	initrd := slices.Concat(packed(t, append(first, make([]byte, 300)...)), packed(t, second))
	for _, behind := range [][]byte{nil, archiveOf(t, tree.NewFile("c", 0o644, nil))} {
		tr, err := readInitrd(bytes.NewReader(slices.Concat(initrd, behind)))
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(tr.Paths(), " "); got != ". a b init" || tr.Get("init").Size != 5 {
			t.Errorf("it holds %s, init of %d bytes", got, tr.Get("init").Size)
		}
	}
	for _, bad := range [][]byte{nil, packed(t, nil), packed(t, first[:50]), initrd[:len(initrd)-5]} {
		if tr, err := readInitrd(bytes.NewReader(bad)); err == nil {
			t.Errorf("%d bytes are read: %q", len(bad), tr.Paths())
		}
	}
	if _, err := readArchives(bufio.NewReader(io.LimitReader(bytes.NewReader(first), 9)), 9); err == nil {
		t.Error("an archive that ends is read")
	}
}

// TestProgramKind: what begins like a program and is none is an error.
func TestProgramKind(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.efi")
	if err := os.WriteFile(path, []byte("MZ and no more"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenImage(path); err == nil || !strings.Contains(err.Error(), "PE program") {
		t.Errorf("got %v", err)
	}
}
