package verity

import (
	"bytes"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ashlar/internal/testenv"
)

// files writes contents into files of a fresh directory.
func files(t *testing.T, contents ...[]byte) []string {
	t.Helper()
	dir := t.TempDir()
	var names []string
	for i, data := range contents {
		name := filepath.Join(dir, string(rune('a'+i)))
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	return names
}

// TestVeritysetup has cryptsetup's tool make the same tree and check ours.
func TestVeritysetup(t *testing.T) {
	tool := testenv.RequireTool(t, "veritysetup")
	for _, c := range []struct{ blocks, salt int }{{1, 32}, {2, 0}, {127, 1}, {128, 32}, {129, 256}, {128 * 128, 32}, {128*128 + 1, 20}} {
		data, opt := noise(uint64(c.blocks), c.blocks*BlockSize), options(c.salt)
		tree, root := writeTree(t, data, opt)
		names := files(t, data, tree, nil)
		salt := "-"
		if c.salt > 0 {
			salt = hex.EncodeToString(opt.Salt)
		}
		out, err := exec.Command(tool, "format", names[0], names[2], "--salt="+salt, "--uuid="+opt.UUID.String()).CombinedOutput()
		if err != nil {
			t.Fatalf("veritysetup format: %v: %s", err, out)
		}
		if _, hash, _ := strings.Cut(string(out), "Root hash:"); !strings.HasPrefix(strings.TrimSpace(hash), root.String()) {
			t.Errorf("%d blocks: root hash %s, veritysetup says %s", c.blocks, root, out)
		}
		foreign, err := os.ReadFile(names[2])
		if err != nil {
			t.Fatal(err)
		}
		// Its file ends behind the superblock when there is no level.
		if padded := append(foreign, make([]byte, max(0, len(tree)-len(foreign)))...); !bytes.Equal(tree, padded) {
			t.Errorf("%d blocks, salt of %d: the hash areas differ", c.blocks, c.salt)
		}
		if out, err := exec.Command(tool, "verify", names[0], names[1], root.String()).CombinedOutput(); err != nil {
			t.Errorf("%d blocks: veritysetup verify: %v: %s", c.blocks, err, out)
		}
		data[len(data)/2] ^= 1
		if err := os.WriteFile(names[0], data, 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(tool, "verify", names[0], names[1], root.String()).CombinedOutput(); err == nil {
			t.Errorf("%d blocks: veritysetup takes wrong data: %s", c.blocks, out)
		}
	}
}

// TestVeritysetupAppended has the tree behind the data in one file, as images carry it.
func TestVeritysetupAppended(t *testing.T) {
	tool := testenv.RequireTool(t, "veritysetup")
	data := noise(5, 777*BlockSize)
	tree, root := writeTree(t, data, options(32))
	name := files(t, append(bytes.Clone(data), tree...))[0]
	args := []string{"verify", name, name, root.String(), "--hash-offset=3182592"} // 777 blocks
	if out, err := exec.Command(tool, args...).CombinedOutput(); err != nil {
		t.Errorf("veritysetup verify: %v: %s", err, out)
	}
	if out, err := exec.Command(tool, "dump", name, args[4]).CombinedOutput(); err != nil || !strings.Contains(string(out), options(32).UUID.String()) {
		t.Errorf("veritysetup dump: %v: %s", err, out)
	}
}
