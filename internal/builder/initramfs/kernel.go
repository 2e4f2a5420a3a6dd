// Package initramfs makes the initial RAM disk: the device binary, the kernel
// modules it needs to reach its root, and their loading order, as a zstd
// compressed newc archive.
package initramfs

import (
	"fmt"
	"strings"

	"ashlar/internal/format/kmod"
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
		if module, ok := kmod.Name(name); ok && k.owns(name) {
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
			if name, ok := kmod.Name(line); ok {
				k.builtin[name] = true
			}
		}
	}
	return nil
}

// Module is a kernel module, uncompressed.
type Module struct {
	*kmod.Module
	Path string // in the kernel package, without the compression's ending
	Data []byte
}

// Module reads a module. It gives nil for one that is built into the kernel or
// that this kernel does not have.
func (k *Kernel) Module(name string) (*Module, error) {
	file, ok := k.byName[kmod.Normalise(name)]
	if !ok || k.builtin[kmod.Normalise(name)] {
		return nil, nil
	}
	m, data, err := readModule(k.files.Get(file), file)
	if err != nil {
		return nil, err
	}
	return &Module{m, kmod.Uncompressed(file), data}, nil
}

// readModule reads and decompresses a module; name is what it is called then.
func readModule(e *tree.Entry, name string) (*kmod.Module, []byte, error) {
	packed, err := e.ReadAll(kmod.MaxSize)
	if err != nil {
		return nil, nil, fmt.Errorf("read module %s: %w", name, err)
	}
	data, err := kmod.Decompress(name, packed)
	if err != nil {
		return nil, nil, err
	}
	m, err := kmod.Read(name, data)
	return m, data, err
}

// Known reports whether the kernel has the module, built in or not.
func (k *Kernel) Known(name string) bool {
	return k.builtin[kmod.Normalise(name)] || k.byName[kmod.Normalise(name)] != ""
}
