package initramfs

import (
	"bytes"
	"io"
	"os/exec"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"ashlar/internal/contract/layout"
	"ashlar/internal/format/cpio"
	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/tree"
	"ashlar/internal/testenv"
)

func appTree(t *testing.T) *tree.Tree {
	t.Helper()
	tr := &tree.Tree{}
	for _, e := range []tree.Entry{tree.NewDir(".", 0o755), tree.NewDir("usr", 0o755), tree.NewFile("usr/app", 0o755, []byte("program")), tree.NewSymlink("bin", "usr")} {
		e.MTime = 99
		if err := tr.Put(e); err != nil {
			t.Fatal(err)
		}
	}
	return tr
}

func appInput(t *testing.T) App {
	modules := map[string][]byte{"virtio_net.ko": needing(t, "net_failover"), "net_failover.ko": needing(t), "own.ko": needing(t)}
	return App{Root: appTree(t), Program: "/bin/app", Kernel: findKernel(t, kernelTree(t, moduleDirs[0], modules, "virtio_pci")), Epoch: 7}
}

func buildApp(t *testing.T, in App) []byte {
	t.Helper()
	data, err := BuildApp(in)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// archives reads the compressed archives one after the other.
func archives(t *testing.T, data []byte) []*tree.Tree {
	t.Helper()
	d, err := zstd.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	plain, err := io.ReadAll(d)
	if err != nil {
		t.Fatal(err)
	}
	var trees []*tree.Tree
	for rest := plain; len(rest) > 0; {
		tr, err := cpio.Read(bytes.NewReader(rest), cpio.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		trees = append(trees, tr)
		end := bytes.Index(rest, []byte("TRAILER!!!"))
		rest = bytes.TrimLeft(rest[end+10:], "\x00")
	}
	return trees
}

// TestBuildApp: the program alone, as /init.
func TestBuildApp(t *testing.T) {
	data := buildApp(t, appInput(t))
	parts := archives(t, data)
	if len(parts) != 2 {
		t.Fatalf("%d archives", len(parts))
	}
	if link := parts[0].Get(layout.InitramfsInit); link == nil || link.Target != "/bin/app" || parts[0].Get(layout.InitramfsOrder) != nil || parts[0].Len() != 7 {
		t.Errorf("/init is %+v, of %q", link, parts[0].Paths())
	}
	if console := parts[0].Get("dev/console"); console.Kind != tree.CharDevice || console.Major != 5 || console.Minor != 1 {
		t.Errorf("the console is %+v", console)
	}
	if app := parts[1].Get("usr/app"); app == nil || app.MTime != 7 || app.Size != 7 || parts[1].Len() != 4 {
		t.Errorf("the program is %+v, of %q", app, parts[1].Paths())
	}
	const want = "591dd20076ee932f4c7573589c925eb734cd098d16910415471fed764e52cc63"
	if got := digest.Of(data).String(); got != want || !bytes.Equal(data, buildApp(t, appInput(t))) {
		t.Errorf("the digest is %s, was %s", got, want)
	}
}

// TestBuildAppWithReaper: the reaper is /init, and modules come along.
func TestBuildAppWithReaper(t *testing.T) {
	in := appInput(t)
	reaper := tree.NewFile("reaper", 0o555, []byte("reaper"))
	in.Reaper, in.Modules = &reaper, []string{"own"}
	var levels []Level
	in.Compress = func(archive []byte, level Level) ([]byte, error) {
		levels = append(levels, level)
		return Pack(archive, level)
	}
	system := archives(t, buildApp(t, in))[0]
	if init := system.Get(layout.InitramfsInit); init == nil || init.Size != 6 || init.Mode != 0o755 || system.Get(layout.InitramfsApp).Target != "/bin/app" {
		t.Errorf("/init is %+v", init)
	}
	order, err := system.Get(layout.InitramfsOrder).ReadAll(1000)
	dir := "lib/modules/" + release + "/kernel/"
	if want := dir + "net_failover.ko\n" + dir + "virtio_net.ko\n" + dir + "own.ko\n"; err != nil || string(order) != want {
		t.Errorf("modules are loaded in the order\n%s, %v", order, err)
	}
	if len(levels) != 2 || levels[0] != Seldom || levels[1] != Often {
		t.Errorf("levels %v", levels)
	}
	for want, spoil := range map[string]func(*App){
		"no such program": func(in *App) { in.Program = "/usr/bin/none" },
		"no module none":  func(in *App) { in.Modules = []string{"none"} },
		"extended attribute": func(in *App) {
			in.Root.Get("usr/app").Xattrs = []tree.Xattr{{Name: "security.capability", Value: []byte("x")}}
		},
	} {
		in := in
		in.Root = in.Root.Clone()
		spoil(&in)
		if _, err := BuildApp(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}

// TestForeignReadersOfApp: zstd and GNU cpio read it.
func TestForeignReadersOfApp(t *testing.T) {
	cmd := exec.Command(testenv.RequireTool(t, "zstd"), "-dc")
	cmd.Stdin = bytes.NewReader(buildApp(t, appInput(t)))
	plain, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	cmd = exec.Command(testenv.RequireTool(t, "cpio"), "-it", "--quiet")
	cmd.Stdin = bytes.NewReader(plain)
	if names, err := cmd.Output(); err != nil || !strings.HasPrefix(string(names), ".\ndev\ndev/console\ninit\n") {
		t.Errorf("cpio lists %q, %v", names, err)
	}
}
