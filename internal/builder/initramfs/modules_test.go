package initramfs

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ashlar/internal/format/kmod"
	"ashlar/internal/foundation/tree"
)

// someModules are three, one of them compressed, and a list of two that are built in.
func someModules(t *testing.T) *tree.Tree {
	return kernelTree(t, moduleDirs[0], map[string][]byte{
		"fs/a.ko": moduleFile(t, "alias=fs-a", "depends="), "b.ko.xz": pack(t, ".xz", moduleFile(t, "softdep=pre: a")), "c-d.ko": moduleFile(t, "weakdep=a b"),
	}, "ext4", "loop")
}

// TestIndex: whatever the number of workers, the files are the same, and have
// what the modules say.
func TestIndex(t *testing.T) {
	k := findKernel(t, someModules(t))
	want, err := k.Index(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	for workers := range 5 {
		got, err := k.Index(t.Context(), workers)
		if err != nil || cmp.Diff(want, got) != "" {
			t.Errorf("%d workers: %v\n%s", workers, err, cmp.Diff(want, got))
		}
	}
	for name, line := range map[string]string{
		"modules.dep": "kernel/b.ko.xz:\nkernel/c-d.ko:\nkernel/fs/a.ko:\n", "modules.alias": "alias fs-a a\n",
		"modules.softdep": "softdep b pre: a\n", "modules.weakdep": "weakdep c_d a b\n",
	} {
		n := slices.IndexFunc(want, func(f kmod.File) bool { return f.Name == name })
		if !strings.HasSuffix(string(want[n].Data), line) {
			t.Errorf("%s is %q", name, want[n].Data)
		}
	}
}

func TestIndexFails(t *testing.T) {
	tr := someModules(t)
	k := findKernel(t, tr)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := k.Index(ctx, 2); err == nil {
		t.Error("it goes on when nobody waits for it")
	}
	if err := tr.Put(tree.NewFile(moduleDirs[0]+release+"/kernel/garbage.ko", 0o644, []byte("MZ"))); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Index(t.Context(), 2); err == nil || !strings.Contains(err.Error(), "index the modules of kernel "+release+": read module kernel/garbage.ko: ") {
		t.Errorf("a file that is no module: %v", err)
	}
}

// TestIndexKey: it changes with what the index has, and with nothing else.
func TestIndexKey(t *testing.T) {
	key := func(change func(*tree.Tree)) string {
		t.Helper()
		tr := someModules(t)
		change(tr)
		got, err := findKernel(t, tr).IndexKey()
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	dir := moduleDirs[0] + release
	put := func(e tree.Entry) func(*tree.Tree) {
		return func(tr *tree.Tree) {
			if err := tr.Put(e); err != nil {
				t.Fatal(err)
			}
		}
	}
	same := key(func(*tree.Tree) {})
	for what, change := range map[string]func(*tree.Tree){
		"mode": func(tr *tree.Tree) { tr.Get(dir + "/kernel/fs/a.ko").Mode = 0o600 },
		"file": put(tree.NewFile(dir+"/other", 0o644, []byte("x"))),
	} {
		if key(change) != same {
			t.Errorf("another %s changes the key", what)
		}
	}
	for what, change := range map[string]func(*tree.Tree){
		"module":  put(tree.NewFile(dir+"/kernel/fs/a.ko", 0o644, moduleFile(t, "alias=other"))),
		"name":    put(tree.NewFile(dir+"/kernel/fs/e.ko", 0o644, moduleFile(t, "alias=fs-a", "depends="))),
		"order":   put(tree.NewFile(dir+"/modules.order", 0o644, []byte("kernel/fs/a.ko\n"))),
		"builtin": put(tree.NewFile(dir+"/modules.builtin", 0o644, []byte("kernel/x.ko\n"))),
		"info":    put(tree.NewFile(dir+"/modules.builtin.modinfo", 0o644, []byte("x.alias=y\x00"))),
	} {
		if key(change) == same {
			t.Errorf("another %s does not change the key", what)
		}
	}
	tr := someModules(t)
	put(tree.Entry{Path: dir + "/kernel/f.ko", Kind: tree.File, Source: tree.HostFile("f.ko")})(tr)
	if _, err := findKernel(t, tr).IndexKey(); err == nil || !strings.Contains(err.Error(), "f.ko has no digest") {
		t.Errorf("a module without a digest: %v", err)
	}
}
