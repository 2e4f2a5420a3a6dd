package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestOneFile builds a program with its kernel and nothing else: twice to the
// same bytes, small, and it answers from both of its targets.
func TestOneFile(t *testing.T) {
	dir := example(t, "one-file")
	must(t, "build", dir)
	again := filepath.Join(t.TempDir(), "again")
	must(t, "build", "--no-cache", "-o", again, dir)
	var files [2][2][]byte
	for i, out := range []string{filepath.Join(dir, "out"), again} {
		for j, name := range []string{"initramfs.img", "uki.efi"} {
			var err error
			if files[i][j], err = os.ReadFile(filepath.Join(out, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if !bytes.Equal(files[0][0], files[1][0]) || !bytes.Equal(files[0][1], files[1][1]) {
		t.Error("two builds differ")
	}
	kernel, err := os.Stat(filepath.Join(dir, "out", "vmlinuz"))
	if err != nil {
		t.Fatal(err)
	}
	// The initramfs without the reaper is the program, compressed, and a few links.
	alone := example(t, "one-file")
	replace(t, filepath.Join(alone, "ashlar.toml"), "init_reaper = true", "init_reaper = false")
	must(t, "build", alone, "--target", "initramfs")
	program, err := os.Stat(filepath.Join(alone, "out", "initramfs.img"))
	if err != nil {
		t.Fatal(err)
	}
	const most = 1_000_000
	if besides := int64(len(files[0][1])) - kernel.Size() - program.Size(); besides > most {
		t.Errorf("%d bytes besides kernel and program, at most %d", besides, most)
	}

	const want = "hello from one file, [/usr/bin/app of the command line]\n"
	for _, row := range []shown{
		{"initramfs", "amd64", "kernel and initramfs by the emulator", "the program of `examples/one-file` answers HTTP"},
		{"uki", "amd64", "by UEFI", "the program of `examples/one-file` answers HTTP"},
	} {
		if got := runTarget(t, dir, row); got != want {
			t.Errorf("%s answers %q, want %q", row.target, got, want)
		}
	}

	// Without the reaper the program itself is PID 1, and what the kernel gives is all it has.
	r := start(t, "", os.Environ(), ashlar, "run", alone, "--target", "initramfs")
	const alonePID1 = "PID 1 listens on :80"
	eventually(t, "the program as PID 1", func() error {
		if !strings.Contains(r.printed(), alonePID1) {
			return fmt.Errorf("it has not said %q:\n%s", alonePID1, r.printed())
		}
		return nil
	})
	r.end(t)
	page.note(t, shown{"initramfs", "amd64", "without the reaper", "the program of `examples/one-file` is PID 1"})
}
