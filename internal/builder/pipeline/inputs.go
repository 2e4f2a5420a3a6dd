package pipeline

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"ashlar/internal/builder/container"
	"ashlar/internal/builder/definition"
	"ashlar/internal/builder/devicebin"
	"ashlar/internal/builder/lock"
	"ashlar/internal/builder/rootfs"
	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/tree"
)

// inputs are the digests of all that can reach a build's bytes, by name.
type inputs map[string]digest.Digest

// step is a part of a build: the inputs that can reach it and the steps that it
// takes the results of.
type step struct {
	name  string
	names []string
	after []string
}

// definitionFile is the input that reaches no image, only the record beside them.
const definitionFile = "definition file"

// allSteps is the table of steps: those of every build, and one a target that
// makes files.
func allSteps() []step {
	steps := []step{
		{stepConfigure, []string{"program", "packages", "locale"}, nil},
		{stepRoot, []string{"program", "packages", "definition", "files", "device program", "epoch", "compression"}, []string{stepConfigure}},
		{stepKernel, []string{"program", "kernel packages", "kernel", "identity", "device program", "epoch", "compression"}, nil},
	}
	for _, m := range makers() {
		if m.write != nil {
			steps = append(steps, m.step())
		}
	}
	return steps
}

// The steps of every build, as --explain names them.
const (
	stepConfigure = "configure"
	stepRoot      = "root"
	stepKernel    = "kernel"
)

// inputs looks at everything; for the files that is reading each.
func (b *build) inputs() (inputs, error) {
	def := *b.p.def
	in := inputs{
		"packages":        packageDigest(b.lock.Packages),
		"kernel packages": packageDigest(b.lock.Kernel),
		"boot packages":   packageDigest(b.lock.Boot),
		"locale":          digestOf(def.Locale),
		"epoch":           digestOf(strconv.FormatInt(b.epoch, 10)),
		"compression":     digestOf(def.Image),
		"disk":            digestOf(def.Disk),
		"command line":    digestOf(b.cmdline()),
		"kernel":          digestOf([]any{def.Kernel.Modules, def.Root.Mode, def.Init}),
		"container":       digestOf([]any{def.Container, container.Ports(&def)}),
		"app":             digestOf([]any{def.Init, def.InitReaper, def.Kernel.Modules}),
		"targets":         digestOf(targetNames(b.targets)),
		"identity":        digestOf([]any{def.Name, b.p.sum, b.arch, b.env.Version}),
	}
	// What the root is made by is the rest of the definition.
	def.Image, def.Disk, def.Kernel = definition.Image{}, definition.Disk{}, definition.Kernel{}
	def.Tests, def.Targets, def.InitReaper, def.Container = nil, nil, false, definition.Container{}
	in["definition"] = digestOf(def)
	in[definitionFile] = b.p.text
	device, err := devicebin.Entry(b.arch)
	if err != nil {
		return nil, err
	}
	in["device program"] = device.Digest
	if in["program"], err = b.env.program(); err != nil {
		return nil, err
	}
	in["files"], err = filesDigest(filepath.Join(b.p.dir, b.p.def.Files.Dir))
	if err != nil || def.Files.List == "" {
		return in, err
	}
	list, err := b.fileListDigest(def.Files.List)
	in["files"] = digestOf([]any{in["files"], list})
	return in, err
}

// fileListDigest is the digest of what a file list comes to, contents included.
func (b *build) fileListDigest(name string) (digest.Digest, error) {
	items, err := rootfs.ReadFileList(b.p.dir, name, b.env.Getenv, func(path string) (e tree.Entry, err error) {
		e.Digest, e.Size, err = fileDigest(path)
		return e, err
	})
	return digestOf(items), err
}

// key names the inputs of a step, those of the steps before it not included.
func (in inputs) key(step string) string {
	h := sha256.New()
	for _, s := range allSteps() {
		if s.name == step {
			for _, name := range s.names {
				fmt.Fprintln(h, name, in[name])
			}
		}
	}
	return digest.Digest(h.Sum(nil)).String()
}

// changed names the inputs of a step that are not as they were.
func (in inputs) changed(before inputs, step string) []string {
	changed := []string{}
	for _, s := range allSteps() {
		if s.name != step {
			continue
		}
		for _, name := range s.names {
			if in[name] != before[name] {
				changed = append(changed, name)
			}
		}
		for _, other := range s.after {
			if len(in.changed(before, other)) > 0 {
				changed = append(changed, other)
			}
		}
	}
	return changed
}

// digestOf is the digest of a value's JSON, which has map keys in order.
func digestOf(v any) digest.Digest {
	data, err := json.Marshal(v)
	if err != nil {
		panic("a definition that is not JSON: " + err.Error()) // strings, numbers, lists and maps of them
	}
	return digest.Of(data)
}

func packageDigest(packages []lock.Package) digest.Digest {
	list := make([]digest.Digest, len(packages))
	for n, p := range packages {
		list[n] = p.Digest
	}
	return digestOf(list)
}

// program gives the digest of ashlar itself: another one may make other bytes,
// whatever version it says it is.
func (e *Env) program() (digest.Digest, error) {
	name, err := os.Executable()
	if err != nil {
		return digest.Digest{}, fmt.Errorf("find this program: %w", err)
	}
	d, _, err := fileDigest(name)
	return d, err
}

// filesDigest is the digest of a directory's names, types and contents, and of
// its files' execute bit: what an overlay gives to an image. It is zero when
// there is none.
func filesDigest(dir string) (digest.Digest, error) {
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		return digest.Digest{}, nil
	}
	h := sha256.New()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		content, mode := "", info.Mode().Type()
		switch {
		case entry.Type() == fs.ModeSymlink:
			content, err = os.Readlink(path)
		case entry.Type().IsRegular():
			var d digest.Digest
			d, _, err = fileDigest(path)
			content, mode = d.String(), info.Mode().Perm()&0o100
		}
		name, relErr := filepath.Rel(dir, path)
		fmt.Fprintf(h, "%q %v %q\n", name, mode, content)
		return errors.Join(err, relErr)
	})
	return digest.Digest(h.Sum(nil)), err
}
