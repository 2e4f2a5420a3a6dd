package pipeline

import (
	"context"
	"encoding/json"
	"errors"

	"ashlar/internal/builder/devicebin"
	"ashlar/internal/builder/initramfs"
	"ashlar/internal/builder/store"
	"ashlar/internal/contract/imageinfo"
	"ashlar/internal/contract/layout"
	"ashlar/internal/contract/machine"
	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/tree"
)

// kernelSide is what a generation has of a kernel: the kernel itself, the image
// of its modules and the initramfs, as blobs of the store. Zero: there is none.
type kernelSide struct {
	Release string             `json:"release"`
	Files   []imageinfo.File   `json:"files"`
	Verity  []imageinfo.Verity `json:"verity,omitempty"` // of the modules' image, if it has a hash tree
}

func (k kernelSide) entries(st *store.Store) map[string]tree.Entry {
	entries := map[string]tree.Entry{}
	for _, e := range k.list(st) {
		entries[e.Path] = e
	}
	return entries
}

func (k kernelSide) list(st *store.Store) []tree.Entry {
	var list []tree.Entry
	for _, f := range k.Files {
		list = append(list, tree.Entry{Path: f.Name, Kind: tree.File, Mode: 0o444, Size: f.Size, Digest: f.Digest, Source: st.Blob(f.Digest)})
	}
	return list
}

// kernelKind names the store's records of kernel sides.
const kernelKind = "kernel"

// kernelRefs gives the blobs of such a record, and of one of modulesKind.
func kernelRefs(kind string, data []byte) []digest.Digest {
	var k kernelSide
	if kind != kernelKind && kind != modulesKind || json.Unmarshal(data, &k) != nil {
		return nil
	}
	var refs []digest.Digest
	for _, f := range k.Files {
		refs = append(refs, f.Digest)
	}
	return refs
}

// kernel gives the kernel side, from the store if it is there.
func (b *build) kernel(ctx context.Context) (k kernelSide, err error) {
	if len(b.lock.Kernel) == 0 {
		return k, nil
	}
	key := b.in.key(stepKernel)
	if !b.env.NoCache && b.storedFiles(kernelKind, key, &k) {
		b.did(stepKernel, false)
		return k, nil
	}
	if k, err = b.makeKernel(ctx); err != nil {
		return k, err
	}
	b.did(stepKernel, true)
	data, err := json.Marshal(k)
	if err != nil {
		return k, err
	}
	return k, b.env.Store.SetRecord(kernelKind, key, data)
}

// storedFiles reads a record whose blobs must all be there.
func (b *build) storedFiles(kind, key string, k *kernelSide) bool {
	data, ok, err := b.env.Store.Record(kind, key)
	if err != nil || !ok || json.Unmarshal(data, k) != nil {
		return false
	}
	for _, f := range k.Files {
		if !b.env.Store.HasSize(f.Digest, f.Size) {
			return false
		}
	}
	return true
}

func (b *build) makeKernel(ctx context.Context) (kernelSide, error) {
	sink := aside{b.env.Progress, "kernel"}
	unpacked, err := b.unpack(ctx, b.lock.Kernel, sink)
	if err != nil {
		return kernelSide{}, err
	}
	files, err := mergeFiles(unpacked)
	if err != nil {
		return kernelSide{}, err
	}
	kernel, err := initramfs.FindKernel(files)
	if err != nil {
		return kernelSide{}, err
	}
	index, err := b.moduleIndex(ctx, kernel)
	if err != nil {
		return kernelSide{}, err
	}
	moduleTree, err := kernel.ModulesTree(b.epoch, index)
	if err != nil {
		return kernelSide{}, err
	}
	writer, err := b.imageWriter(kernel.Release)
	if err != nil {
		return kernelSide{}, err
	}
	modules, verity, err := b.writeImage(ctx, layout.GenModules, moduleTree, sink)
	if err != nil {
		return kernelSide{}, err
	}
	initrd, err := b.initrd(kernel, writer.modules(b.p.def.Image))
	if err != nil {
		return kernelSide{}, err
	}
	image := kernel.Image
	image.Path = layout.GenKernel
	return b.keepKernel(kernelSide{Release: kernel.Release, Verity: verity}, initrd, image, modules)
}

func (b *build) initrd(kernel *initramfs.Kernel, images []string) (e tree.Entry, err error) {
	device, err := devicebin.Entry(b.arch)
	if err != nil {
		return e, err
	}
	data, err := initramfs.Build(initramfs.Input{
		Kernel: kernel, Image: images, Modules: b.p.def.Kernel.Modules, Device: device, Epoch: b.epoch,
		Boot: machine.Boot{
			Version: machine.Version, Name: b.p.def.Name, RootMode: b.p.def.Root.Mode, Init: b.p.def.Init, DiskWait: 30,
			System: "UUID=" + b.uuid(layout.PartSystem), State: "UUID=" + b.uuid(layout.PartState),
		},
	})
	return tree.NewFile(layout.GenInitrd, 0o444, data), err
}

// keepKernel puts files into the store.
func (b *build) keepKernel(k kernelSide, files ...tree.Entry) (kernelSide, error) {
	for _, e := range files {
		r, err := e.Open()
		if err != nil {
			return k, err
		}
		d, size, err := b.env.Store.Put(r)
		if err := errors.Join(err, r.Close()); err != nil {
			return k, b.env.noStoreRoom(err)
		}
		k.Files = append(k.Files, imageinfo.File{Name: e.Path, Size: size, Digest: d})
	}
	return k, nil
}
