package deb

import (
	"encoding/json"
	"fmt"

	"ashlar/internal/builder/store"
	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/tree"
)

// recordKind names the store's records of unpacked packages; the key is the
// digest of the .deb. A change of the form changes the name.
const recordKind = "deb-unpacked-1"

// record is an Unpacked as JSON. Keys are short: there are ten thousands of entries.
type record struct {
	Members map[string][]byte `json:"members"`
	Entries []recordEntry     `json:"entries"`
}

type recordEntry struct {
	Path   string         `json:"p"`
	Kind   tree.Kind      `json:"k"`
	Mode   uint32         `json:"m"`
	UID    uint32         `json:"u,omitempty"`
	GID    uint32         `json:"g,omitempty"`
	User   string         `json:"un,omitempty"`
	Group  string         `json:"gn,omitempty"`
	MTime  int64          `json:"t"`
	Size   int64          `json:"s,omitempty"`
	Digest *digest.Digest `json:"d,omitempty"`
	Target string         `json:"l,omitempty"`
	Major  uint32         `json:"ma,omitempty"`
	Minor  uint32         `json:"mi,omitempty"`
}

func encodeRecord(u *Unpacked) ([]byte, error) {
	r := record{Members: u.Members, Entries: make([]recordEntry, 0, len(u.Entries))}
	for i := range u.Entries {
		e := &u.Entries[i]
		out := recordEntry{
			Path: e.Path, Kind: e.Kind, Mode: e.Mode, UID: e.UID, GID: e.GID, User: e.User, Group: e.Group,
			MTime: e.MTime, Size: e.Size, Target: e.Target, Major: e.Major, Minor: e.Minor,
		}
		if e.Kind == tree.File {
			out.Digest = &e.Digest
		}
		r.Entries = append(r.Entries, out)
	}
	data, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode record: %w", err)
	}
	return data, nil
}

// decodeRecord fails when a blob that the record names is not in the store.
func decodeRecord(data []byte, st *store.Store) (*Unpacked, error) {
	var r record
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("decode record: %w", err)
	}
	u := &Unpacked{Members: r.Members, Entries: make([]Entry, len(r.Entries))}
	for i, in := range r.Entries {
		e := &u.Entries[i]
		e.User, e.Group = in.User, in.Group
		e.Entry = tree.Entry{
			Path: in.Path, Kind: in.Kind, Mode: in.Mode, UID: in.UID, GID: in.GID,
			MTime: in.MTime, Size: in.Size, Target: in.Target, Major: in.Major, Minor: in.Minor,
		}
		if in.Digest != nil {
			e.Digest = *in.Digest
		}
		if in.Size == 0 {
			continue
		}
		if !st.HasSize(e.Digest, e.Size) {
			return nil, fmt.Errorf("decode record: the content of %s is gone", e.Path)
		}
		e.Source = st.Blob(e.Digest)
	}
	return u, u.parseControl()
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
		if e.Digest != nil && e.Size > 0 {
			refs = append(refs, *e.Digest)
		}
	}
	return refs
}
