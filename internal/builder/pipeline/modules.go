package pipeline

import (
	"bytes"
	"context"
	"encoding/json"

	"ashlar/internal/builder/initramfs"
	"ashlar/internal/contract/imageinfo"
	"ashlar/internal/foundation/tree"
)

// modulesKind names the store's records of the indexes of kernels' modules.
const modulesKind = "modules"

// moduleIndex gives depmod's files for a kernel's modules. To make them all
// modules are decompressed, so they are kept.
func (b *build) moduleIndex(ctx context.Context, kernel *initramfs.Kernel) ([]tree.Entry, error) {
	key, err := kernel.IndexKey()
	if err != nil {
		return nil, err
	}
	var k kernelSide
	if !b.env.NoCache && b.storedFiles(modulesKind, key, &k) {
		return k.list(b.env.Store), nil
	}
	files, err := kernel.Index(ctx, b.env.Workers)
	if err != nil {
		return nil, err
	}
	k.Release = kernel.Release
	for _, f := range files {
		d, size, err := b.env.Store.Put(bytes.NewReader(f.Data))
		if err != nil {
			return nil, b.env.noStoreRoom(err)
		}
		k.Files = append(k.Files, imageinfo.File{Name: f.Name, Size: size, Digest: d})
	}
	data, err := json.Marshal(k)
	if err != nil {
		return nil, err
	}
	return k.list(b.env.Store), b.env.Store.SetRecord(modulesKind, key, data)
}
