// Command build measures how long ashlar takes to a finished image, side by side
// with mmdebstrap and mksquashfs on the same packages: in turn, several rounds,
// medians and ratios of one run. It writes doc/benchmarks.md.
//
// It needs root, mmdebstrap, apt-ftparchive, squashfs-tools and a filled store:
// `make bench`.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
)

func main() {
	if len(os.Args) > 1 {
		if role, ok := roles[os.Args[1]]; ok {
			exit(role(os.Args[2:]))
		}
	}
	var o options
	flag.StringVar(&o.ashlar, "ashlar", "bin/ashlar", "program to measure")
	flag.StringVar(&o.server, "server", "bench/build/server", "definition to build")
	flag.StringVar(&o.out, "o", "doc/benchmarks.md", "page to write")
	flag.IntVar(&o.rounds, "rounds", 5, "rounds of each measurement")
	flag.StringVar(&o.work, "work", "", "directory to work in (default: a new one in TMPDIR)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	exit(bench(ctx, o))
}

// roles are parts that are measured as processes of their own.
var roles = map[string]func(args []string) error{"image": writeImage, "initramfs": writeInitramfs}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

type options struct {
	ashlar, server, out, work string
	rounds                    int
}

func bench(ctx context.Context, o options) (err error) {
	if o.work == "" {
		if o.work, err = os.MkdirTemp("", "ashlar-bench-"); err != nil {
			return err
		}
		defer os.RemoveAll(o.work)
		// Users of the tree that is made below have to reach it.
		if err := os.Chmod(o.work, 0o755); err != nil {
			return err
		}
	}
	for _, path := range []*string{&o.ashlar, &o.server, &o.work} {
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
	}
	s, err := prepare(ctx, o)
	if err != nil {
		return err
	}
	defer s.close()
	all := s.measurements()
	found := make([]results, len(all))
	for round := range o.rounds {
		for n, m := range all {
			fmt.Fprintf(os.Stderr, "bench: round %d: %s\n", round+1, m.name)
			if err := m.measure(ctx, round, &found[n]); err != nil {
				return fmt.Errorf("%s: %w", m.name, err)
			}
		}
	}
	var rows []row
	for n, m := range all {
		rows = append(rows, m.row(found[n]))
	}
	f, err := os.Create(o.out)
	if err != nil {
		return err
	}
	if err := page(io.MultiWriter(f, os.Stdout), s, rows, o.rounds); err != nil {
		return err
	}
	return f.Close()
}
