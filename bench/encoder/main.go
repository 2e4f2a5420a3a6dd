// Command encoder compares compressors of single blocks on the files of real
// directories: our encoder, the library's, and libzstd through the zstd program.
//
//	go run ./bench/encoder [-every N] [-block BYTES] [-rounds N] [-zstd 9,15] DIRECTORY...
//
// Files are cut as squashfs cuts them: whole blocks, and the tails of files
// packed together; equal files count once. Everything runs on one thread, in
// turn, round after round; a row holds the sum of the sizes and the median of
// the processor times of its rounds, which other load disturbs less than the
// clock.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"

	"ashlar/internal/format/zstdblock"
)

// contestant compresses all blocks of a corpus.
type contestant struct {
	name string
	run  func(c *corpus) (result, error)
}

// result is one round of a contestant.
type result struct {
	size    int     // bytes of all frames
	seconds float64 // of the processor
}

func main() {
	every := flag.Int("every", 1, "take every so manieth block")
	block := flag.Int("block", 128<<10, "bytes of a block")
	rounds := flag.Int("rounds", 3, "rounds")
	levels := flag.String("zstd", "3,9,15,19", "levels of libzstd")
	library := flag.Bool("library", true, "run klauspost/compress too")
	flag.Parse()
	c, err := readCorpus(flag.Args(), *block, *every)
	if err == nil {
		err = compare(c, contestants(*levels, *library), *rounds)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "encoder:", err)
		os.Exit(1)
	}
}

// contestants lists who takes part.
func contestants(levels string, library bool) []contestant {
	var list []contestant
	for _, level := range zstdblock.Levels() {
		e := zstdblock.New(level)
		list = append(list, ours(zstdblock.Name+" "+zstdblock.Version+" "+level.String(), e.Encode))
	}
	if library {
		for _, level := range []zstd.EncoderLevel{zstd.SpeedDefault, zstd.SpeedBetterCompression, zstd.SpeedBestCompression} {
			e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(level), zstd.WithEncoderCRC(false))
			if err != nil {
				panic(err) // the options are constants
			}
			list = append(list, ours("klauspost "+level.String(), func(dst, src []byte) []byte { return e.EncodeAll(src, dst) }))
		}
	}
	for _, level := range strings.FieldsFunc(levels, func(r rune) bool { return r == ',' }) {
		list = append(list, contestant{"libzstd " + level, func(c *corpus) (result, error) { return runZstd(c, level) }})
	}
	return list
}

// ours runs an encoder written in Go.
func ours(name string, encode func(dst, src []byte) []byte) contestant {
	return contestant{name, func(c *corpus) (result, error) {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		runtime.GC()
		defer debug.SetGCPercent(debug.SetGCPercent(-1))
		var r result
		var out []byte
		start := threadSeconds()
		for _, b := range c.blocks {
			out = encode(out[:0], b)
			r.size += len(out)
		}
		r.seconds = threadSeconds() - start
		return r, nil
	}}
}

// compare runs all in turn and prints the table.
func compare(c *corpus, list []contestant, rounds int) error {
	results := make([][]result, len(list))
	for range rounds {
		for i, who := range list {
			r, err := who.run(c)
			if err != nil {
				return fmt.Errorf("run %s: %w", who.name, err)
			}
			results[i] = append(results[i], r)
		}
	}
	const reference = "libzstd 15"
	var base result
	for i, who := range list {
		if who.name == reference {
			base = median(results[i])
		}
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "%d blocks of %d bytes, %d bytes, %d rounds, %s/%s\n\n", len(c.blocks), c.block, c.size, rounds, runtime.GOOS, runtime.GOARCH)
	fmt.Fprintf(&out, "| encoder | bytes | ratio | MB/s | size to %s | time to %s |\n|---|---|---|---|---|---|\n", reference, reference)
	for i, who := range list {
		r := median(results[i])
		fmt.Fprintf(&out, "| %s | %d | %.4f | %.2f |", who.name, r.size, float64(r.size)/float64(c.size), float64(c.size)/1e6/r.seconds)
		if base.size == 0 {
			fmt.Fprintln(&out, " – | – |")
			continue
		}
		fmt.Fprintf(&out, " %+.2f %% | %.2f |\n", 100*float64(r.size)/float64(base.size)-100, r.seconds/base.seconds)
	}
	_, err := os.Stdout.Write(out.Bytes())
	return err
}

func median(list []result) result {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b result) int {
		switch {
		case a.seconds < b.seconds:
			return -1
		case a.seconds > b.seconds:
			return 1
		}
		return 0
	})
	return list[len(list)/2]
}
