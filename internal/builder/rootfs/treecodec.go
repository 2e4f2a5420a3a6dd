package rootfs

import (
	"encoding/json"
	"errors"
	"fmt"

	"ashlar/internal/builder/store"
	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/tree"
)

// recordKind names the store's records of configured trees.
const recordKind = "configured"

// record is the form in which a configured tree is kept in the store: entries
// whose contents are blobs of the store.
type record struct {
	Entries  []recordEntry `json:"entries"`
	Triggers triggerNames  `json:"triggers"` // of a tree whose triggers have not been processed
}

type recordEntry struct {
	Path   string        `json:"p"`
	Kind   tree.Kind     `json:"k"`
	Mode   uint32        `json:"m"`
	UID    uint32        `json:"u,omitempty"`
	GID    uint32        `json:"g,omitempty"`
	MTime  int64         `json:"t"`
	Size   int64         `json:"s,omitempty"`
	Digest digest.Digest `json:"d"`
	Target string        `json:"l,omitempty"`
	Major  uint32        `json:"ma,omitempty"`
	Minor  uint32        `json:"mi,omitempty"`
	Xattrs []tree.Xattr  `json:"x,omitempty"`
}

// encodeTree puts into the store what it does not have yet: content that was
// made here, as the package manager's data.
func encodeTree(t *tree.Tree, st *store.Store) ([]byte, error) {
	r, err := treeRecord(t, st)
	if err != nil {
		return nil, err
	}
	return json.Marshal(r)
}

func treeRecord(t *tree.Tree, st *store.Store) (r record, err error) {
	err = t.Walk(func(e *tree.Entry) error {
		if e.Kind == tree.File && e.Size > 0 && !st.Has(e.Digest) {
			if err := keepContent(e, st); err != nil {
				return err
			}
		}
		r.Entries = append(r.Entries, recordEntry{e.Path, e.Kind, e.Mode, e.UID, e.GID, e.MTime, e.Size, e.Digest, e.Target, e.Major, e.Minor, e.Xattrs})
		return nil
	})
	return r, err
}

func keepContent(e *tree.Entry, st *store.Store) error {
	r, err := e.Open()
	if err != nil {
		return err
	}
	_, _, err = st.Put(r)
	return errors.Join(err, r.Close())
}

// decodeTree gives the tree, or nil when the store has lost a content of it.
func decodeTree(data []byte, st *store.Store) (*tree.Tree, error) {
	_, t, err := decodeRecord(data, st)
	return t, err
}

func decodeRecord(data []byte, st *store.Store) (r record, t *tree.Tree, err error) {
	if err := json.Unmarshal(data, &r); err != nil {
		return r, nil, fmt.Errorf("read cached root: %w", err)
	}
	t = &tree.Tree{}
	for _, e := range r.Entries {
		entry := tree.Entry{Path: e.Path, Kind: e.Kind, Mode: e.Mode, UID: e.UID, GID: e.GID, MTime: e.MTime, Size: e.Size,
			Digest: e.Digest, Target: e.Target, Major: e.Major, Minor: e.Minor, Xattrs: e.Xattrs}
		if e.Kind == tree.File && e.Size > 0 {
			if !st.Has(e.Digest) {
				return r, nil, nil
			}
			entry.Source = st.Blob(e.Digest)
		}
		if err := t.Put(entry); err != nil {
			return r, nil, fmt.Errorf("read cached root: %w", err)
		}
	}
	return r, t, nil
}

// Refs gives the blobs that a record of this package needs; it is made for
// store.GCOptions. Records of other kinds give nil.
func Refs(kind, _ string, data []byte) []digest.Digest {
	if kind != recordKind {
		return nil
	}
	var r record
	if json.Unmarshal(data, &r) != nil {
		return nil
	}
	var refs []digest.Digest
	for _, e := range r.Entries {
		if e.Kind == tree.File && e.Size > 0 {
			refs = append(refs, e.Digest)
		}
	}
	return refs
}
