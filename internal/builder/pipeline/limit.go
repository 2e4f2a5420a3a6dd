package pipeline

import (
	"fmt"
	"slices"

	"ashlar/internal/builder/definition"
	"ashlar/internal/builder/distro/deb"
	"ashlar/internal/builder/rootfs"
	"ashlar/internal/builder/store"
	"ashlar/internal/foundation/digest"
)

// LimitVariable says how large the store may be when a build ends: "20G", or
// "none".
const LimitVariable = "ASHLAR_STORE_LIMIT"

// StoreLimit is the store's limit in bytes; 0 is none.
func (e *Env) StoreLimit() (int64, error) {
	switch text := e.Getenv(LimitVariable); text {
	case "":
		return e.Store.DefaultLimit()
	case "none":
		return 0, nil
	default:
		limit, err := definition.ParseSize(text)
		if err == nil && limit == 0 {
			err = fmt.Errorf("%q leaves nothing", text)
		}
		if err != nil {
			return 0, fmt.Errorf("read %s: %w; want a size such as 20G, or none", LimitVariable, err)
		}
		return limit, nil
	}
}

// blockKind names the store's records of compressed blocks.
const blockKind = "block"

// meaning is what the pipeline's rooms know of the store's records.
func meaning() store.Meaning {
	return store.Meaning{
		Part: func(kind string) string {
			switch kind {
			case blockKind:
				return store.PartBlocks
			case lastBuildKind, factsKind: // they need no blobs
				return store.PartRecords
			case archiveKind:
				return store.PartImages
			}
			return ""
		},
		Refs: func(kind, key string, data []byte) (string, []digest.Digest) {
			if images := kernelRefs(kind, data); len(images) > 0 {
				return store.PartImages, images
			}
			return store.PartContents, slices.Concat(deb.Refs(kind, key, data), rootfs.Refs(kind, key, data))
		},
	}
}

// StoreUsage measures the store.
func (e *Env) StoreUsage() (store.Usage, error) { return e.Store.Usage(meaning()) }

// inStore tells the store that a build uses it. When the build leaves, the
// store is brought below its limit, if the build has added to it. What the lock
// names stays, with what is unpacked of it.
func (b *build) inStore() (leave func(), err error) {
	limit, err := b.env.StoreLimit()
	if err != nil {
		return nil, err
	}
	done := b.env.Store.Work()
	return func() {
		done()
		if limit == 0 || len(b.steps) == 0 {
			return
		}
		needed := map[digest.Digest]bool{toolsKey(b.lock.Tools): true}
		for _, list := range allPackages(b.p.lock) {
			for _, p := range list {
				needed[p.Digest] = true
			}
		}
		// The build has what it needs. What fails fails again for the next, and
		// is told by `ashlar store gc`.
		_, _ = b.env.Store.Trim(limit, func(d digest.Digest) bool { return needed[d] }, meaning())
	}, nil
}
