// Package initramfs makes the initial RAM disk: the device binary, the kernel
// modules it needs to reach its root, and their loading order, as a zstd
// compressed newc archive.
package initramfs

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/mikelolasagasti/xz"

	"ashlar/internal/foundation/tree"
)

// Kernel is an unpacked kernel package.
type Kernel struct {
	Release string     // as uname -r says: "6.12.48+deb13-cloud-amd64"
	Image   tree.Entry // boot/vmlinuz-RELEASE
	files   *tree.Tree
	byName  map[string]string // normalised module name → path
	builtin map[string]bool   // normalised names
}

// moduleDirs are where Debian's kernel packages keep modules: below /usr since trixie.
var moduleDirs = []string{"usr/lib/modules/", "lib/modules/"}

// FindKernel finds the one kernel of a tree.
func FindKernel(t *tree.Tree) (*Kernel, error) {
	k := &Kernel{files: t, byName: map[string]string{}, builtin: map[string]bool{}}
	for _, name := range t.Paths() {
		if release, ok := strings.CutPrefix(name, "boot/vmlinuz-"); ok {
			if k.Release != "" {
				return nil, fmt.Errorf("find kernel: there are two, %s and %s: a machine boots one", k.Release, release)
			}
			k.Release, k.Image = release, *t.Get(name)
		}
	}
	if k.Release == "" {
		return nil, fmt.Errorf("find kernel: no boot/vmlinuz-* in the kernel packages")
	}
	for _, name := range t.Paths() {
		if module, ok := moduleName(name); ok && k.owns(name) {
			k.byName[module] = name
		}
	}
	return k, k.readBuiltin()
}

func (k *Kernel) owns(name string) bool {
	for _, dir := range moduleDirs {
		if strings.HasPrefix(name, dir+k.Release+"/") {
			return true
		}
	}
	return false
}

// moduleName gives the name by which the kernel knows the module in a file.
func moduleName(file string) (string, bool) {
	base := path.Base(file)
	for _, ext := range []string{".ko", ".ko.xz", ".ko.zst", ".ko.gz"} {
		if stem, ok := strings.CutSuffix(base, ext); ok {
			return normalise(stem), true
		}
	}
	return "", false
}

// normalise maps the two spellings of module names to one.
func normalise(name string) string { return strings.ReplaceAll(name, "-", "_") }

func (k *Kernel) readBuiltin() error {
	for _, dir := range moduleDirs {
		e := k.files.Get(dir + k.Release + "/modules.builtin")
		if e == nil {
			continue
		}
		const limit = 4 << 20
		data, err := e.ReadAll(limit)
		if err != nil {
			return err
		}
		for _, line := range strings.Fields(string(data)) {
			if name, ok := moduleName(line); ok {
				k.builtin[name] = true
			}
		}
	}
	return nil
}

// Module is a kernel module, uncompressed.
type Module struct {
	Name    string
	Path    string // in the kernel package, without the compression's ending
	Data    []byte
	Depends []string // that must be loaded before
	Soft    []string // likewise, if they are there
}

// maxModule bounds the size of an uncompressed module, in bytes.
const maxModule = 64 << 20

// Module reads a module. It gives nil for one that is built into the kernel or
// that this kernel does not have.
func (k *Kernel) Module(name string) (*Module, error) {
	file, ok := k.byName[normalise(name)]
	if !ok || k.builtin[normalise(name)] {
		return nil, nil
	}
	packed, err := k.files.Get(file).ReadAll(maxModule)
	if err != nil {
		return nil, fmt.Errorf("read module %s: %w", name, err)
	}
	data, err := decompress(file, packed)
	if err != nil {
		return nil, fmt.Errorf("decompress module %s: %w", name, err)
	}
	m := &Module{Name: normalise(name), Path: file[:strings.LastIndex(file, ".ko")+3], Data: data}
	if err := m.readInfo(); err != nil {
		return nil, fmt.Errorf("read module %s: %w", name, err)
	}
	return m, nil
}

// Known reports whether the kernel has the module, built in or not.
func (k *Kernel) Known(name string) bool {
	return k.builtin[normalise(name)] || k.byName[normalise(name)] != ""
}

func decompress(file string, data []byte) ([]byte, error) {
	var r io.Reader
	var err error
	switch path.Ext(file) {
	case ".xz":
		r, err = xz.NewReader(bytes.NewReader(data), maxModule)
	case ".zst":
		var d *zstd.Decoder
		d, err = zstd.NewReader(bytes.NewReader(data), zstd.WithDecoderMaxMemory(maxModule), zstd.WithDecoderConcurrency(1))
		if err == nil {
			defer d.Close()
			r = d
		}
	case ".gz":
		r, err = gzip.NewReader(bytes.NewReader(data))
	default:
		return data, nil
	}
	if err != nil {
		return nil, err
	}
	out, err := io.ReadAll(io.LimitReader(r, maxModule+1))
	if err == nil && len(out) > maxModule {
		err = fmt.Errorf("more than %d bytes", maxModule)
	}
	return out, err
}

// readInfo reads the .modinfo section: NUL-terminated KEY=VALUE strings.
func (m *Module) readInfo() error {
	f, err := elf.NewFile(bytes.NewReader(m.Data))
	if err != nil {
		return err
	}
	section := f.Section(".modinfo")
	if section == nil {
		return fmt.Errorf("no .modinfo section")
	}
	if section.Size > uint64(len(m.Data)) { // of a compressed one it is the size after
		return fmt.Errorf("section .modinfo has %d bytes, the module %d", section.Size, len(m.Data))
	}
	info, err := section.Data()
	if err != nil {
		return err
	}
	for _, field := range bytes.Split(info, []byte{0}) {
		key, value, _ := strings.Cut(string(field), "=")
		switch key {
		case "depends":
			m.Depends = slices.DeleteFunc(strings.Split(value, ","), func(s string) bool { return s == "" })
		case "softdep":
			if pre, ok := strings.CutPrefix(value, "pre: "); ok {
				pre, _, _ = strings.Cut(pre, "post:")
				m.Soft = append(m.Soft, strings.Fields(pre)...)
			}
		}
	}
	return nil
}

// ModulesTree gives the modules directory as the tree of an image of its own,
// mounted at /usr/lib/modules: RELEASE/kernel/… and the lists beside it.
func (k *Kernel) ModulesTree(epoch int64) (*tree.Tree, error) {
	t := &tree.Tree{}
	if err := t.Put(tree.Entry{Path: ".", Kind: tree.Dir, Mode: 0o755, MTime: epoch}); err != nil {
		return nil, err
	}
	for _, name := range k.files.Paths() {
		for _, dir := range moduleDirs {
			rel, ok := strings.CutPrefix(name, dir)
			if !ok || !k.owns(name) {
				continue
			}
			e := *k.files.Get(name)
			e.Path, e.MTime = rel, min(e.MTime, epoch)
			if err := t.AddParents(rel, 0o755, epoch); err != nil {
				return nil, err
			}
			if err := t.Put(e); err != nil {
				return nil, err
			}
		}
	}
	return t, nil
}
