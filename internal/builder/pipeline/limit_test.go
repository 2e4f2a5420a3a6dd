package pipeline

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ashlar/internal/builder/lock"
	"ashlar/internal/builder/store"
)

func TestStoreLimit(t *testing.T) {
	st, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	byDefault, err := st.DefaultLimit()
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]int64{"": byDefault, "none": 0, "20G": 20 << 30, "4096": 4096} {
		e := surroundings(map[string]string{LimitVariable: text})
		e.Store = st
		if got, err := e.StoreLimit(); err != nil || got != want {
			t.Errorf("%q: %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"0", "much", "-1", "20GB"} {
		e := surroundings(map[string]string{LimitVariable: text})
		e.Store = st
		if _, err := e.StoreLimit(); err == nil || !strings.Contains(err.Error(), "read ASHLAR_STORE_LIMIT: ") {
			t.Errorf("%q: %v", text, err)
		}
		if _, err := (&build{env: e}).inStore(); err == nil {
			t.Errorf("%q: a build begins", text)
		}
	}
}

// TestBuildLeavesStore: what goes when a build ends is what it does not need.
func TestBuildLeavesStore(t *testing.T) {
	dir := t.TempDir()
	before, err := store.Open(dir) // other builds', which have ended
	if err != nil {
		t.Fatal(err)
	}
	blob := func(st *store.Store, fill string) lock.Package {
		t.Helper()
		data := bytes.Repeat([]byte(fill), 100<<10)
		d, _, err := st.Put(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		return lock.Package{Name: fill, Digest: d, Size: int64(len(data))}
	}
	ours, tool, stale := blob(before, "a"), blob(before, "b"), blob(before, "c")
	for key, used := range map[string]bool{"used": true, "unused": false} {
		if err := before.SetRecord(blockKind, key, make([]byte, 50<<10)); err != nil {
			t.Fatalf("%s, %v: %v", key, used, err)
		}
	}
	if err := before.Close(); err != nil {
		t.Fatal(err)
	}
	arch := lock.Arch{Packages: []lock.Package{ours}, Tools: []lock.Package{tool}}
	for _, key := range []string{toolsKey(arch.Tools).String(), "other"} {
		if err := os.MkdirAll(filepath.Join(dir, "tools", key, "usr"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	e := surroundings(map[string]string{LimitVariable: "64K"})
	if e.Store, err = store.Open(dir); err != nil {
		t.Fatal(err)
	}
	defer e.Store.Close()
	b := &build{env: e, lock: arch, p: &project{lock: &lock.Lock{Arches: map[string]lock.Arch{"amd64": arch}}}}
	there := func() string {
		t.Helper()
		var list []string
		for _, p := range []lock.Package{ours, tool, stale} {
			if e.Store.Has(p.Digest) {
				list = append(list, p.Name)
			}
		}
		for _, key := range []string{"tools/" + toolsKey(arch.Tools).String(), "tools/other", "records/block/us/used", "records/block/un/unused"} {
			if _, err := os.Stat(filepath.Join(dir, key)); err == nil {
				list = append(list, fmt.Sprintf("%.5s", filepath.Base(key)))
			}
		}
		return strings.Join(list, " ")
	}
	all := there()
	leave, err := b.inStore()
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := (blockCache{e.Store}).Get("used"); !ok {
		t.Fatal("no block")
	}
	leave() // nothing was made: nobody looks at the store
	if got := there(); got != all || len(strings.Fields(all)) != 7 {
		t.Errorf("there are %s", got)
	}
	if leave, err = b.inStore(); err != nil {
		t.Fatal(err)
	}
	b.did("something", true)
	leave()
	if got, want := there(), "a b "+toolsKey(arch.Tools).String()[:5]+" used"; got != want {
		t.Errorf("there are %s, want %s", got, want)
	}
}

// TestMeaning: records of kernels and indexes need images; blocks and notes
// need nothing, and are not read.
func TestMeaning(t *testing.T) {
	m := meaning()
	for kind, want := range map[string]string{blockKind: store.PartBlocks, lastBuildKind: store.PartRecords, archiveKind: store.PartImages, factsKind: store.PartRecords, kernelKind: "", modulesKind: "", "configured": ""} {
		if got := m.Part(kind); got != want {
			t.Errorf("%s belongs to %q, want %q", kind, got, want)
		}
	}
	record := []byte(`{"release":"6","files":[{"name":"initrd","size":1,"sha256":"` + strings.Repeat("ab", 32) + `"}]}`)
	for _, kind := range []string{kernelKind, modulesKind} {
		part, needs := m.Refs(kind, "", record)
		if part != store.PartImages || len(needs) != 1 || needs[0].String() != strings.Repeat("ab", 32) {
			t.Errorf("%s: %s %v", kind, part, needs)
		}
	}
}
