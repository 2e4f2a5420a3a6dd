package pipeline

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"ashlar/internal/builder/definition"
	"ashlar/internal/builder/store"
	"ashlar/internal/format/imagetest"
	"ashlar/internal/foundation/progress"
	"ashlar/internal/foundation/tree"
)

// fillEnv tells a process of this test's own where the store is that it fills.
const fillEnv = "ASHLAR_TEST_FILL_STORE"

// crashImages are the formats whose blocks the test keeps.
var crashImages = []definition.Image{
	{Format: "squashfs", Compressor: "zstd", BlockSize: "16K"},
	{Format: "erofs", Compressor: "lz4", BlockSize: "16K"},
}

// crashTree is the same in every process.
func crashTree(t *testing.T) *tree.Tree {
	tr := imagetest.Random(t, rand.New(rand.NewPCG(11, 12)), 200)
	for i := range 40 {
		imagetest.Put(t, tr, tree.NewFile(fmt.Sprintf("large-%d", i), 0o644, imagetest.Words(uint64(i), 200_000)))
	}
	return tr
}

// writeCached writes the tree with the blocks that the store keeps, or none.
func writeCached(t *testing.T, i definition.Image, st *store.Store) []byte {
	t.Helper()
	w, err := imageWriterOf(i)
	if err != nil {
		t.Fatal(err)
	}
	opt := imageOptions{workers: 2, progress: progress.Discard{}}
	if st != nil {
		opt.cache = blockCache{st}
	}
	var m imagetest.Memory
	if err := w.write(context.Background(), &m, crashTree(t), opt); err != nil {
		t.Fatal(err)
	}
	return m.Data
}

// TestFillStore is the process that TestKilledWhileFilling kills; by itself it
// has no store to fill and nothing to do.
func TestFillStore(t *testing.T) {
	dir := os.Getenv(fillEnv)
	if dir == "" {
		return
	}
	st, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	os.Stdout.WriteString("filling\n")
	for _, i := range crashImages {
		writeCached(t, i, st)
	}
}

// TestKilledWhileFilling kills processes that fill the cache of blocks, at any
// moment of it, and then turns bits and cuts ends of what they left: images come out
// as they do without a cache, and what was damaged is found out and replaced.
func TestKilledWhileFilling(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	want := make([][]byte, len(crashImages))
	for n, i := range crashImages {
		want[n] = writeCached(t, i, nil)
	}
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(uint64(os.Getpid()), 1)) // moments that differ from run to run
	for range 6 {
		killFilling(t, self, dir, time.Duration(rng.IntN(120))*time.Millisecond)
	}
	st, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	check := func(when string) {
		t.Helper()
		for n, i := range crashImages {
			if got := writeCached(t, i, st); !bytes.Equal(got, want[n]) {
				t.Fatalf("%s: the image of %s is another than without a cache", when, i.Format)
			}
		}
	}
	check("after six killed processes")
	kept := blockFiles(t, dir)
	for n, name := range kept {
		damage(t, name, n%3)
	}
	check("with all blocks damaged")
	healed := 0
	for n, name := range kept {
		if data, err := os.ReadFile(name); err == nil && !isDamaged(data, n%3) {
			healed++
		}
	}
	t.Logf("%d blocks were kept, damaged and found out", len(kept))
	if len(kept) < 100 || healed != len(kept) {
		t.Errorf("%d of %d damaged blocks were replaced", healed, len(kept))
	}
	check("with what replaced them")
}

// killFilling starts a process that fills the store and kills it after a while.
func killFilling(t *testing.T, self, dir string, after time.Duration) {
	t.Helper()
	cmd := exec.Command(self, "-test.run=^TestFillStore$")
	cmd.Env = append(os.Environ(), fillEnv+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "filling" {
		t.Errorf("the process says %q, %v", lines.Text(), lines.Err())
	}
	time.Sleep(after)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed, or done before
}

// blockFiles gives the files in which the store keeps blocks.
func blockFiles(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(filepath.Join(dir, "records", "block"), func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// damageMark is put over the first bytes of a block in two of three ways.
const damageMark = "damaged!"

func damage(t *testing.T, name string, how int) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	switch how {
	case 0:
		copy(data, damageMark)
	case 1:
		data = append([]byte(damageMark), data[:len(data)/2]...)
	case 2:
		data = nil
	}
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func isDamaged(data []byte, how int) bool {
	return how == 2 && len(data) == 0 || bytes.HasPrefix(data, []byte(damageMark))
}
