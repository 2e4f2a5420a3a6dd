package state

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ashlar/internal/contract/machine"
	"ashlar/internal/testenv"
)

func TestPlaceAndOwn(t *testing.T) {
	testenv.RequireRoot(t) // owners
	root := t.TempDir()
	write(t, filepath.Join(root, "srv/there/file"), "x", 0o600)
	check := func(name string, mode os.FileMode) {
		t.Helper()
		if info, err := os.Stat(filepath.Join(root, name)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v, want mode %v", name, info, err, mode)
		}
	}
	for _, s := range []machine.State{
		{Path: "/srv/there", Kind: "dir", Mode: 0o711}, {Path: "/srv/new/dir", Kind: "dir", Mode: 0o2750, UID: 5, GID: 6}, {Path: "/srv/new/file", Kind: "file", Mode: 0o640},
	} {
		if err := Place(root, s); err != nil {
			t.Error(err)
		}
	}
	check("srv/there", 0o755)
	check("srv/new/dir", 0o750)
	check("srv/new/file", 0o640)

	if err := Own(root, machine.State{Path: "/srv/there", Kind: "dir", Mode: 0o700}); err != nil {
		t.Error(err)
	}
	check("srv/there", 0o755) // it holds something
	if err := Own(root, machine.State{Path: "/srv/new/dir", Kind: "dir", Mode: 0o701}); err != nil {
		t.Error(err)
	}
	check("srv/new/dir", 0o701)
	if err := Own(root, machine.State{Path: "/srv/new/file", Kind: "dir"}); err == nil || !strings.Contains(err.Error(), "is no dir") {
		t.Errorf("a file for a directory: %v", err)
	}
	if err := Place(root, machine.State{Path: "/srv/there/file/below", Kind: "dir"}); err == nil {
		t.Error("a directory below a file is made")
	}
}
