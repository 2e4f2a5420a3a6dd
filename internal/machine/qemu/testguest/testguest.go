// Package testguest makes a machine to test with: Debian's cloud kernel, an
// initrd whose only program is package init below, and Debian's emulator.
package testguest

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"ashlar/internal/machine/qemu"
	"ashlar/internal/testenv"
)

// Guest is a kernel and its initrd, as files.
type Guest struct{ Kernel, Initrd string }

// modules go into the initrd.
var modules = []string{"efivarfs", "virtio_blk", "failover", "net_failover", "virtio_net"}

// Emulator gives the emulator of the suite's packages, and where it lies, as
// ashlar itself would unpack them. The one on PATH may be of any age.
func Emulator(t testing.TB, archive *testenv.Archive) (e *qemu.Emulator, root string) {
	t.Helper()
	need := qemu.Packages()
	root = archive.Unpack(t, archive.Closure(t, need.Packages, need.Without)...)
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err == nil && !qemu.Wanted(name) {
			err = os.Remove(path)
		}
		return err
	})
	if err == nil {
		e, err = qemu.FromRoot(root)
	}
	if err != nil {
		t.Fatalf("unpack the emulator: %v", err)
	}
	return e, root
}

// Make takes the kernel of an unpacked kernel package, as
// testenv.Archive.CloudKernel gives it, and builds the initrd.
func Make(t testing.TB, root string) Guest {
	t.Helper()
	images, err := filepath.Glob(root + "/boot/vmlinuz-*")
	if err != nil || len(images) != 1 {
		t.Fatalf("kernels in %s: %q, %v", root, images, err)
	}
	dir := t.TempDir()
	init := filepath.Join(dir, "init")
	cmd := exec.Command("go", "build", "-o", init, "ashlar/internal/machine/qemu/testguest/init")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the guest's init: %v: %s", err, out)
	}
	var archiveBytes bytes.Buffer
	add := func(name string, mode uint32, data []byte) {
		cpioEntry(&archiveBytes, name, mode, data)
	}
	program, err := os.ReadFile(init)
	if err != nil {
		t.Fatal(err)
	}
	add("init", 0o100755, program)
	add("modules", 0o040755, nil)
	for _, name := range modules {
		add("modules/"+name+".ko.xz", 0o100644, find(t, root, name+".ko.xz"))
	}
	add("TRAILER!!!", 0, nil)
	initrd := filepath.Join(dir, "initrd")
	if err := os.WriteFile(initrd, archiveBytes.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return Guest{Kernel: images[0], Initrd: initrd}
}

func find(t testing.TB, root, name string) (data []byte) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Name() == name {
			data, err = os.ReadFile(path)
		}
		return err
	})
	if err != nil || data == nil {
		t.Fatalf("find %s: %v", name, err)
	}
	return data
}

// cpioEntry writes an entry of the "newc" form: 13 fields of 8 hexadecimal
// digits, the name with a zero, the content; each padded to 4 bytes.
func cpioEntry(out *bytes.Buffer, name string, mode uint32, data []byte) {
	fmt.Fprintf(out, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s\x00",
		out.Len(), mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name)+1, 0, name)
	pad := func() { out.Write(make([]byte, -out.Len()&3)) }
	pad()
	out.Write(data)
	pad()
}
