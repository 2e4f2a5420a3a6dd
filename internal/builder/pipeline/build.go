package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"ashlar/internal/builder/boot"
	"ashlar/internal/builder/definition"
	"ashlar/internal/builder/devicebin"
	"ashlar/internal/builder/distro/deb"
	"ashlar/internal/builder/lock"
	"ashlar/internal/builder/rootfs"
	"ashlar/internal/builder/target"
	"ashlar/internal/contract/imageinfo"
	"ashlar/internal/contract/layout"
	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/progress"
	"ashlar/internal/foundation/tree"
)

// BuildOptions says what to build and where to put it.
type BuildOptions struct {
	Out  string // directory; "" is DIR/out
	Arch string // "" is the definition's first

	Targets []string // names of definition.Targets, or "all"; nil: the definition's
}

// The artefacts' names below the output directory.
const (
	DiskImage    = "disk.img"
	ManifestFile = "manifest.json"
	SumsFile     = "SHA256SUMS"
)

// Artefacts is what Build wrote.
type Artefacts struct {
	Dir      string             `json:"dir"`
	Files    []imageinfo.File   `json:"files"` // sorted by name
	Manifest imageinfo.Manifest `json:"-"`
	Cmdline  string             `json:"cmdline"` // for starting the kernel directly
	Targets  []string           `json:"targets"` // that are there now
	LeftOut  []LeftOut          `json:"left_out,omitempty"`
	Starts   map[string]Start   `json:"start,omitempty"` // by target, of those that a machine starts from
	Steps    []Step             `json:"steps"`           // what was made, and why
}

// build is one run of Build: what the steps hand on to each other.
type build struct {
	env     *Env
	p       *project
	arch    string
	targets []definition.Target
	lock    lock.Arch
	epoch   int64
	in      inputs
	last    *lastBuild  // into the same directory, or nil
	dir     string      // work directory
	closers []io.Closer // files that are read until the end

	mu    sync.Mutex // of steps and closers
	steps []Step

	rootLock sync.Mutex // of the root as a tree
}

// Build makes the artefacts of a locked definition.
func (e *Env) Build(ctx context.Context, dir string, opt BuildOptions) (_ *Artefacts, err error) {
	p, err := e.load(dir)
	if err != nil {
		return nil, err
	}
	if err := p.check(opt); err != nil {
		return nil, err
	}
	b := &build{env: e, p: p, arch: opt.Arch}
	if b.arch == "" {
		b.arch = p.def.Arch[0]
	}
	if b.lock, err = p.arch(b.arch); err != nil {
		return nil, err
	}
	var leftOut []LeftOut
	if b.targets, leftOut, err = p.targets(opt, b.arch); err != nil {
		return nil, err
	}
	if b.epoch, err = e.epoch(ctx, p); err != nil {
		return nil, err
	}
	if err := rootfs.CheckClock(e.Now(), b.epoch); err != nil {
		return nil, err
	}
	if b.in, err = b.inputs(); err != nil {
		return nil, err
	}
	if opt.Out == "" {
		opt.Out = filepath.Join(dir, "out")
	}
	if err := checkOutput(opt.Out); err != nil {
		return nil, err
	}
	leave, err := b.inStore()
	if err != nil {
		return nil, err
	}
	defer leave()
	b.last = e.lastBuild(opt.Out)
	if !e.NoCache && b.last.stands(b.in, opt.Out) {
		a := b.last.artefacts(opt.Out, b.targets)
		a.LeftOut, a.Starts = leftOut, a.starts()
		return a, nil
	}
	work, remove, err := workDir(opt.Out)
	if err != nil {
		return nil, err
	}
	defer func() {
		for _, c := range b.closers {
			err = errors.Join(err, c.Close())
		}
		err = errors.Join(err, remove())
	}()
	b.dir = work
	a, err := b.run(ctx, opt.Out)
	if err != nil {
		return nil, err
	}
	a.Steps, a.LeftOut, a.Starts = explained(b.steps, b.in, b.last), leftOut, a.starts()
	return a, nil
}

// did notes that a step was made, or taken from the store.
func (b *build) did(step string, made bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.steps = append(b.steps, Step{Name: step, Made: made})
}

// run is the product as a list of verbs.
func (b *build) run(ctx context.Context, out string) (*Artefacts, error) {
	if err := b.fetch(ctx); err != nil {
		return nil, err
	}
	root, kernel, err := b.sides(ctx, out)
	if err != nil {
		return nil, err
	}
	gen := generation{root: root, kernel: kernel, files: kernel.entries(b.env.Store)}
	gen.papers = b.papers(ctx, &gen)
	gen.files[layout.GenRoot] = root.image
	if err := b.describe(&gen, root, kernel); err != nil {
		return nil, err
	}
	if err := b.makeTargets(ctx, &gen, out); err != nil {
		return nil, err
	}
	return b.publish(&gen, out)
}

// sides makes what a generation has of the root and of the kernel, at once:
// maintainer scripts run one after the other and leave processors idle.
func (b *build) sides(ctx context.Context, out string) (root rootSide, kernel kernelSide, err error) {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		root, err = b.root(ctx, out)
		return err
	})
	group.Go(func() (err error) {
		kernel, err = b.kernel(ctx)
		return err
	})
	return root, kernel, group.Wait()
}

// fetch brings what the lock names into the store.
func (b *build) fetch(ctx context.Context) error {
	return b.env.fetchPackages(ctx, b.p.lock, b.lock.Packages, b.lock.Kernel, loadersOf(b.lock, b.targets))
}

func (b *build) unpack(ctx context.Context, packages []lock.Package, sink progress.Sink) ([]*deb.Unpacked, error) {
	return deb.UnpackAll(ctx, b.env.Store, packages, b.env.Workers, sink)
}

// rootSide is what a generation has of the root.
type rootSide struct {
	image    tree.Entry
	verity   []imageinfo.Verity // of the image, if it has a hash tree
	packages []imageinfo.Package
	tree     *tree.Tree // nil when the image is that of the last build; see rootTree
}

// root gives the root image: that of the last build if nothing that reaches it
// has changed since.
func (b *build) root(ctx context.Context, out string) (rootSide, error) {
	if image, ok := b.reuse(stepRoot, out, layout.GenRoot); ok {
		b.did(stepConfigure, false)
		b.did(stepRoot, false)
		return rootSide{image: image, verity: verityOf(b.last.Manifest.Verity, layout.GenRoot), packages: b.last.Manifest.Packages}, nil
	}
	root, err := b.assemble(ctx)
	if err != nil {
		return rootSide{}, err
	}
	b.did(stepConfigure, root.Configured)
	image, verity, err := b.writeImage(ctx, layout.GenRoot, root.Tree, b.env.Progress)
	b.did(stepRoot, true)
	return rootSide{image, verity, root.Packages, root.Tree}, err
}

func (b *build) assemble(ctx context.Context) (*rootfs.Root, error) {
	ahead := b.newAhead(ctx)
	defer ahead.stop()
	unpacked, err := b.unpack(ctx, b.lock.Packages, b.env.Progress)
	if err != nil {
		return nil, err
	}
	device, err := devicebin.Entry(b.arch)
	if err != nil {
		return nil, err
	}
	digests := make([]digest.Digest, len(b.lock.Packages))
	for n, p := range b.lock.Packages {
		digests[n] = p.Digest
	}
	return rootfs.Assemble(ctx, rootfs.Input{
		Definition: b.p.def, Dir: b.p.dir, Getenv: b.env.Getenv, Arch: b.arch, Packages: unpacked, Digests: digests, Device: device, Epoch: b.epoch,
		Store: b.env.Store, Log: b.env.Log, Progress: b.env.Progress, NoCache: b.env.NoCache, Program: b.in["program"],
		Foresee: ahead.start,
	})
}

// mergeFiles puts the files of packages that share none into one tree.
func mergeFiles(unpacked []*deb.Unpacked) (*tree.Tree, error) {
	t := &tree.Tree{}
	for _, u := range unpacked {
		for _, e := range u.Entries {
			if err := errors.Join(t.AddParents(e.Path, 0o755, 0), t.Put(e.Entry)); err != nil {
				return nil, fmt.Errorf("unpack %s: %w", u.Control.Get("Package"), err)
			}
		}
	}
	return t, nil
}

// generation is what a disk holds one or more of.
type generation struct {
	files    map[string]tree.Entry // by name: kernel, initrd, images, manifest
	manifest imageinfo.Manifest
	id       string // directory name: the first digits of the manifest's digest
	made     []artefact
	root     rootSide
	kernel   kernelSide
	papers   papers // what is written beside the files; nil: nothing
}

// uuid derives an identity from the name, the label and the lock.
func (b *build) uuid(label string) string {
	return b.identity(label).String()
}

// startLine is the kernel command line of one generation: the machine mounts
// the images beside the kernel that runs, however many generations there are.
func (b *build) startLine(gen *generation) string {
	return b.cmdline() + trusted(gen.manifest.Verity) + " " + layout.ParamGeneration + "=" + gen.id
}

// cmdline is the kernel command line but for the generation, which is named by
// a digest that covers it.
func (b *build) cmdline() string {
	line := "console=tty0 console=ttyS0,115200 panic=10 no_timer_check"
	if extra := strings.TrimSpace(b.p.def.Kernel.Cmdline); extra != "" {
		line += " " + extra
	}
	return line
}

// describe writes the manifest and names the generation by it.
func (b *build) describe(gen *generation, root rootSide, kernel kernelSide) error {
	m := imageinfo.Manifest{
		Version: imageinfo.Version, Name: b.p.def.Name, Arch: b.arch, Lock: b.p.sum.String(), Epoch: b.epoch,
		Cmdline: b.cmdline(), Init: b.p.def.Init, Tool: b.env.Version, Encoder: b.p.lock.Encoder, Packages: root.packages,
		Kernel: kernel.Release, Format: b.p.def.Image.Format, Verity: slices.Concat(root.verity, kernel.Verity),
	}
	for _, name := range sortedKeys(gen.files) {
		e := gen.files[name]
		if e.Digest.IsZero() {
			r, err := e.Open()
			if err != nil {
				return err
			}
			if e.Digest, _, err = digest.Reader(r); err != nil {
				return err
			}
			if err := r.Close(); err != nil {
				return err
			}
			gen.files[name] = e
		}
		m.Files = append(m.Files, imageinfo.File{Name: name, Size: e.Size, Digest: e.Digest})
	}
	data, err := json.MarshalIndent(m, "", "\t")
	if err != nil {
		return err
	}
	manifest := tree.NewFile(layout.GenManifest, 0o444, append(data, '\n'))
	gen.files[layout.GenManifest] = manifest
	gen.manifest, gen.id = m, manifest.Digest.String()[:16]
	return nil
}

// menuSeconds is how long the boot menu waits for a key.
const menuSeconds = 1

// makeDisk makes the disk image.
func makeDisk(ctx context.Context, b *build, gen *generation, dir string) error {
	unpacked, err := b.unpack(ctx, b.lock.Boot, b.env.Progress)
	if err != nil {
		return err
	}
	loaders, err := mergeFiles(unpacked)
	if err != nil {
		return err
	}
	files, err := boot.Make(boot.Input{
		Loader: boot.FromTree(loaders), Timeout: menuSeconds, SystemUUID: b.uuid(layout.PartSystem), Generation: gen.id,
		Title: b.p.def.Name, Cmdline: b.startLine(gen), Epoch: b.epoch,
	})
	if err != nil {
		return fmt.Errorf("prepare boot loader: %w", err)
	}
	if err := b.putGeneration(files.System, gen); err != nil {
		return err
	}
	sizes, err := diskSizes(b.p.def.Disk)
	if err != nil {
		return err
	}
	plan, err := target.PlanDisk(target.DiskInput{
		Name: b.p.def.Name, Lock: b.p.sum.String(), Epoch: b.epoch, ESP: files.ESP, System: files.System,
		BootCode: files.BootCode, SystemSize: sizes.system, StateSize: sizes.state,
	})
	if err != nil {
		return fmt.Errorf("plan disk: %w", err)
	}
	f, err := os.Create(filepath.Join(dir, DiskImage))
	if err != nil {
		return err
	}
	if err := errors.Join(plan.Write(ctx, f), f.Close()); err != nil {
		return fmt.Errorf("write disk image: %w", err)
	}
	return nil
}

// putGeneration adds the generation's files to what else the system partition has.
func (b *build) putGeneration(system *tree.Tree, gen *generation) error {
	for _, name := range sortedKeys(gen.files) {
		e := gen.files[name]
		e.Path, e.MTime, e.UID, e.GID, e.Mode = layout.GenerationsDir+"/"+gen.id+"/"+name, b.epoch, 0, 0, 0o444
		if err := errors.Join(system.AddParents(e.Path, 0o755, b.epoch), system.Put(e)); err != nil {
			return err
		}
	}
	return nil
}
