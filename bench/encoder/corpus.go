package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// corpus is the blocks to compress.
type corpus struct {
	blocks [][]byte
	block  int // bytes of a whole block
	size   int // of all
}

// readCorpus cuts the regular files of the directories.
func readCorpus(dirs []string, block, every int) (*corpus, error) {
	if len(dirs) == 0 || block < 1 || every < 1 {
		return nil, errors.New("want directories, and positive numbers")
	}
	var all [][]byte
	var tail []byte
	seen := map[[sha256.Size]byte]bool{}
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.Type().IsRegular() {
				return err
			}
			data, err := os.ReadFile(path)
			sum := sha256.Sum256(data)
			if err != nil || seen[sum] {
				return err
			}
			seen[sum] = true
			for ; len(data) >= block; data = data[block:] {
				all = append(all, data[:block:block])
			}
			if len(tail)+len(data) > block {
				all = append(all, tail)
				tail = nil
			}
			tail = append(tail, data...)
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", dir, err)
		}
	}
	all = append(all, tail)
	c := &corpus{block: block}
	for i := 0; i < len(all); i += every {
		c.blocks = append(c.blocks, all[i])
		c.size += len(all[i])
	}
	return c, nil
}

// line is what "zstd -b" says at last: level, bytes, ratio, speeds.
var line = regexp.MustCompile(`-\d+#? +.*?(\d+) \(`)

// runZstd lets the zstd program compress each block once.
func runZstd(c *corpus, level string) (result, error) {
	dir, err := os.MkdirTemp("", "encoder-*")
	if err != nil {
		return result{}, err
	}
	defer os.RemoveAll(dir)
	// The program cuts a file into blocks itself. So that it cuts where we do,
	// whole blocks are one file and each short one is another.
	var whole bytes.Buffer
	var files []string
	for i, b := range c.blocks {
		if len(b) == c.block {
			whole.Write(b)
			continue
		}
		name := filepath.Join(dir, strconv.Itoa(i))
		if err := os.WriteFile(name, b, 0o600); err != nil {
			return result{}, err
		}
		files = append(files, name)
	}
	name := filepath.Join(dir, "whole")
	if err := os.WriteFile(name, whole.Bytes(), 0o600); err != nil {
		return result{}, err
	}
	args := append([]string{"-q", "-b" + level, "-B" + strconv.Itoa(c.block), "-i0", name}, files...)
	cmd := exec.Command("zstd", args...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return result{}, fmt.Errorf("%w: %s", err, out)
	}
	said := line.FindAllSubmatch(out, -1)
	if said == nil {
		return result{}, fmt.Errorf("zstd says %q", out)
	}
	size, err := strconv.Atoi(string(said[len(said)-1][1]))
	return result{size: size, seconds: cmd.ProcessState.UserTime().Seconds()}, err
}

// threadSeconds gives the processor time of this thread.
func threadSeconds() float64 {
	var used syscall.Rusage
	if err := syscall.Getrusage(unix.RUSAGE_THREAD, &used); err != nil {
		return 0
	}
	return float64(used.Utime.Nano()) / 1e9
}
