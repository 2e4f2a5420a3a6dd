package ext4

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"ashlar/internal/foundation/tree"
)

// blocks is an image by block number; what is not there is zero.
type blocks map[int64][]byte

func (b blocks) WriteAt(p []byte, off int64) (int, error) {
	for done := int64(0); done < int64(len(p)); {
		at := off + done
		if b[at/blockSize] == nil {
			b[at/blockSize] = make([]byte, blockSize)
		}
		done += int64(copy(b[at/blockSize][at%blockSize:], p[done:]))
	}
	return len(p), nil
}

func (b blocks) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	for done := int64(0); done < int64(len(p)); {
		at := off + done
		if data := b[at/blockSize]; at%blockSize < int64(len(data)) {
			copy(p[done:min(int64(len(p)), done+blockSize-at%blockSize)], data[at%blockSize:])
		}
		done += blockSize - at%blockSize
	}
	return len(p), nil
}

// relax takes the flag away that asks for checksums, so that fuzzing gets past them.
func (b blocks) relax() {
	if super := bytes.Clone(b[0]); len(super) > superOffset+0x68 {
		super[superOffset+0x65] &^= roMetadataCsum >> 8
		b[0] = super
	}
}

// pack and unpack are the form of fuzzing inputs: blocks, each behind its number.
func (b blocks) pack() []byte {
	var numbers []int64
	for number := range b {
		numbers = append(numbers, number)
	}
	slices.Sort(numbers)
	var out []byte
	for _, number := range numbers {
		out = append(binary.LittleEndian.AppendUint32(out, uint32(number)), b[number]...)
	}
	return out
}

func unpack(data []byte) blocks {
	b := blocks{}
	for len(data) > 4 {
		end := min(len(data), 4+blockSize)
		b[int64(binary.LittleEndian.Uint32(data))] = data[4:end]
		data = data[end:]
	}
	return b
}

// small is an image of few blocks that holds what the reader distinguishes.
func small(t testing.TB) (blocks, int64) {
	t.Helper()
	tr := &tree.Tree{}
	file, dir := tree.NewFile("file", 0o644, []byte("content")), tree.NewDir("d", 0o755)
	file.Xattrs = []tree.Xattr{{Name: "user.a", Value: []byte("value")}}
	dir.Xattrs = []tree.Xattr{{Name: "user.b", Value: bytes.Repeat([]byte("v"), 200)}}
	const hole = 700 << 20
	for _, e := range []tree.Entry{
		tree.NewDir(".", 0o755), dir, file, tree.NewSymlink("s", strings.Repeat("s", 70)),
		{Path: "d/null", Kind: tree.CharDevice, Mode: 0o600, Major: 1, Minor: 3},
		{Path: "d/hole", Kind: tree.File, Size: hole, Source: zeros(hole)},
	} {
		if err := tr.Put(e); err != nil {
			t.Fatal(err)
		}
	}
	opt := options(800 << 20)
	opt.GrowTo = opt.Size
	b := blocks{}
	if err := Write(context.Background(), b, tr, opt); err != nil {
		t.Fatal(err)
	}
	return b, opt.Size
}

func FuzzOpen(f *testing.F) {
	image, size := small(f)
	f.Add(image.pack())
	f.Fuzz(func(t *testing.T, data []byte) {
		image := unpack(data)
		image.relax()
		fs, err := Open(image, size)
		if err != nil {
			return
		}
		got, err := fs.Tree()
		if err != nil {
			return
		}
		for _, p := range got.Paths()[:min(50, got.Len())] {
			if e := got.Get(p); e.Kind == tree.File {
				readSome(e)
			}
		}
	})
}

// Thousands of damaged images end in an error or in a tree, and quickly.
func TestMutations(t *testing.T) {
	image, size := small(t)
	seed := image.pack()
	random := rand.New(rand.NewPCG(1, 2))
	listed := 0
	for range 3000 {
		data := bytes.Clone(seed)
		for range 1 + random.IntN(20) {
			// Mostly where something is: zeros are most of a block.
			at := random.IntN(len(data))
			for range 2000 {
				if data[at] != 0 && data[at] != 0xff {
					break
				}
				at = random.IntN(len(data))
			}
			data[at] = byte(random.Uint32())
		}
		broken := unpack(data)
		broken.relax()
		fs, err := Open(broken, size)
		if err != nil {
			continue
		}
		got, err := fs.Tree()
		if err != nil {
			continue
		}
		listed++
		for _, p := range got.Paths() {
			if e := got.Get(p); e.Kind == tree.File {
				readSome(e)
			}
		}
	}
	if listed == 0 || listed == 3000 {
		t.Errorf("%d of 3000 damaged images are listed: the damage does not vary", listed)
	}
}

// readSome reads the start of a file; damage may make it fail.
func readSome(e *tree.Entry) {
	r, err := e.Open()
	if err != nil {
		return
	}
	defer r.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(r, 1<<16))
}

// What the fuzzer starts from is an image that is read, behind its packing.
func TestFuzzSeedIsRead(t *testing.T) {
	image, size := small(t)
	image = unpack(image.pack())
	for _, relaxed := range []bool{false, true} {
		if relaxed {
			image.relax()
		}
		fs, err := Open(image, size)
		if err != nil {
			t.Fatal(err)
		}
		got, err := fs.Tree()
		if err != nil || got.Len() != 7 || got.Get("d").Xattrs == nil {
			t.Errorf("%d entries, %v", got.Len(), err)
		}
	}
}
