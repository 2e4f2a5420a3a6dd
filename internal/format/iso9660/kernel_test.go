package iso9660

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"ashlar/internal/format/cpio"
	"ashlar/internal/format/imagetest"
	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/tree"
	"ashlar/internal/machine/qemu"
	"ashlar/internal/machine/qemu/testguest"
	"ashlar/internal/testenv"
)

// seen is what the guest says of a path.
type seen struct {
	Path, Target, Sum                   string
	Mode, UID, GID, Major, Minor, Links uint32
	MTime, Size                         int64
}

// TestKernelSeesTheSame has Debian's kernel mount an image in a machine, and
// compares it path by path: hosts rarely have the file system.
func TestKernelSeesTheSame(t *testing.T) {
	tr := plain(t, imagetest.Sample(t))
	imagetest.Put(t, tr, tree.NewSymlink("long", "/"+strings.Repeat("component/", 300)+"end"), tree.NewDir(strings.Repeat("n", maxName), 0o750),
		tree.NewSymlink("odd", "//a/./../b//"), tree.Entry{Path: "dev/vda1", Kind: tree.BlockDevice, Mode: 0o600, Major: 259, Minor: 300})
	deep := "deep"
	for range 12 {
		imagetest.Put(t, tr, tree.NewDir(deep, 0o711))
		deep += "/deep"
	}
	_, data := writeImage(t, tr, Options{VolumeID: "KERNEL", Epoch: epoch})
	got := inGuest(t, imagetest.File(t, data))
	links := map[string]uint32{}
	for _, p := range tr.Paths() {
		if e := tr.Get(p); e.Kind == tree.HardLink {
			links[e.Target]++
		}
	}
	for _, p := range tr.Paths() {
		e, owner := tr.Get(p), p
		if e.Kind == tree.HardLink {
			owner = e.Target
			e = tr.Get(owner)
		}
		want := seen{
			Path: p, Mode: e.Kind.TypeBits() | e.Mode, UID: e.UID, GID: e.GID, Links: 1 + links[owner], MTime: min(e.MTime, epoch),
			Major: e.Major, Minor: e.Minor, Target: e.Target, Size: e.Size,
		}
		if e.Kind == tree.File {
			content, err := e.ReadAll(1 << 30)
			if err != nil {
				t.Fatal(err)
			}
			want.Sum = digest.Of(content).String()
		}
		if e.Kind == tree.Dir {
			want.Links = got[p].Links // of which file systems have their own idea
		}
		if got[p] != want {
			t.Errorf("the kernel sees\n%+v, want\n%+v", got[p], want)
		}
		delete(got, p)
	}
	if len(got) > 0 {
		t.Errorf("the kernel sees also %+v", got)
	}
}

// inGuest boots the guest with the image as its disk.
func inGuest(t *testing.T, image string) map[string]seen {
	t.Helper()
	archive := testenv.Debian(t, "trixie")
	emulator, _ := testguest.Emulator(t, archive)
	root := archive.CloudKernel(t)
	kernels, err := filepath.Glob(root + "/boot/vmlinuz-*")
	if err != nil || len(kernels) != 1 {
		t.Fatalf("kernels %q, %v", kernels, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	vm, err := emulator.Start(ctx, qemu.Config{
		Disk: image, Snapshot: true, Kernel: kernels[0], Initrd: initrd(t, root), NoReboot: true,
		Cmdline: "console=ttyS0 quiet loglevel=0 panic=-1 no_timer_check",
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := vm.Close(); err != nil {
			t.Error(err)
		}
	}()
	if _, err := vm.WaitSerialMatch(ctx, regexp.MustCompile(`guest: done`)); err != nil {
		t.Fatal(err)
	}
	all := map[string]seen{}
	for _, line := range strings.Split(string(vm.SerialLog()), "\n") {
		if _, problem, bad := strings.Cut(line, "guest: error:"); bad {
			t.Error(problem)
		}
		_, text, ok := strings.Cut(strings.TrimSpace(line), "entry: ")
		if !ok {
			continue
		}
		var s seen
		if err := json.Unmarshal([]byte(text), &s); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		all[s.Path] = s
	}
	return all
}

func initrd(t *testing.T, kernel string) string {
	t.Helper()
	dir, tr := t.TempDir(), &tree.Tree{}
	program := filepath.Join(dir, "init")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", program, "ashlar/internal/format/iso9660/testguest")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the guest: %v: %s", err, out)
	}
	files := map[string]string{"init": program}
	for _, name := range []string{"virtio_blk", "cdrom", "isofs"} {
		found, err := filepath.Glob(fmt.Sprintf("%s/usr/lib/modules/*/kernel/*/*/%s.ko.xz", kernel, name))
		if err != nil || len(found) != 1 {
			t.Fatalf("module %s: %q, %v", name, found, err)
		}
		files[name+".ko.xz"] = found[0]
	}
	imagetest.Put(t, tr, tree.NewDir(".", 0o755))
	for name, from := range files {
		data, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		imagetest.Put(t, tr, tree.NewFile(name, 0o755, data))
	}
	out, err := os.Create(filepath.Join(dir, "initrd"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if err := cpio.Write(out, tr, cpio.Options{}); err != nil {
		t.Fatal(err)
	}
	return out.Name()
}
