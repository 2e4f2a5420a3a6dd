// Command onefile measures how soon a machine answers that holds one program:
// the initramfs of the target of that name against one made by hand of the same
// kernel, program and modules, with busybox, GNU cpio and zstd. The machines are
// started in turn; what counts is the kernel's clock at the first answer. It goes
// by the instructions that the processor has done, 16 ns each, so that what else
// the host does is not measured; -wall takes the host's clock.
//
// It needs busybox (a static one), cpio, zstd, xz and unsquashfs, and `make
// build`; the locked inputs are fetched.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"ashlar/internal/machine/qemu"
)

func main() {
	ashlar := flag.String("ashlar", "bin/ashlar", "program to measure")
	rounds := flag.Int("rounds", 5, "rounds of each")
	wall := flag.Bool("wall", false, "let the machine's clock be the host's")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := bench(ctx, *ashlar, *rounds, *wall); err != nil {
		fmt.Fprintln(os.Stderr, "onefile:", err)
		os.Exit(1)
	}
}

// cmdline is the same for both.
const cmdline = "console=ttyS0 quiet panic=-1 no_timer_check ip=10.0.2.15::10.0.2.2:255.255.255.0::eth0:off APP_LISTEN=:80"

func bench(ctx context.Context, ashlar string, rounds int, wall bool) (err error) {
	work, err := os.MkdirTemp("", "ashlar-onefile-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	ashlar, err = filepath.Abs(ashlar)
	if err != nil {
		return err
	}
	dir := filepath.Join(work, "server")
	if err := os.CopyFS(dir, os.DirFS("bench/onefile/server")); err != nil {
		return err
	}
	program := []string{"env", "CGO_ENABLED=0", "go", "build", "-trimpath", "-ldflags=-s -w -buildid=", "-o", filepath.Join(dir, "app"), "./bench/onefile/app"}
	for _, command := range [][]string{program, {ashlar, "-q", "lock", dir}, {ashlar, "-q", "build", dir}} {
		if _, err := run(ctx, "", command...); err != nil {
			return err
		}
	}
	if err := changeProgram(filepath.Join(dir, "app")); err != nil {
		return err
	}
	began, used := time.Now(), childrensTime()
	if _, err := run(ctx, "", ashlar, "-q", "build", dir); err != nil {
		return err
	}
	warm, worked := time.Since(began), childrensTime()-used
	tools, err := run(ctx, "", ashlar, "-q", "tools", dir)
	if err != nil {
		return err
	}
	emulator, err := qemu.FromRoot(strings.TrimSpace(tools))
	if err != nil {
		return err
	}
	hand, err := makeByHand(ctx, dir, filepath.Join(work, "hand"))
	if err != nil {
		return err
	}
	ours := filepath.Join(dir, "out", "initramfs.img")
	times := map[string][]float64{}
	for round := range rounds {
		for _, image := range []string{ours, hand} {
			t, err := answer(ctx, emulator, filepath.Join(dir, "out", "vmlinuz"), image, wall)
			if err != nil {
				return err
			}
			times[image] = append(times[image], t)
			fmt.Fprintf(os.Stderr, "round %d: %s: %.3f s\n", round+1, filepath.Base(image), t)
		}
	}
	fmt.Printf("| initramfs | bytes | kernel's clock at the first answer, s, median of %d |\n|---|---|---|\n", rounds)
	for _, row := range []struct{ name, path string }{{"ashlar's, with the reaper", ours}, {"by hand: busybox, GNU cpio, zstd -19", hand}} {
		info, err := os.Stat(row.path)
		if err != nil {
			return err
		}
		fmt.Printf("| %s | %d | %.3f |\n", row.name, info.Size(), median(times[row.path]))
	}
	fmt.Printf("\nratio %.3f; build with another program from a warm store %.2f s, of processors %.2f s\n", median(times[ours])/median(times[hand]), warm.Seconds(), worked.Seconds())
	return nil
}

// childrensTime is what ended children have used of processors.
func childrensTime() time.Duration {
	var usage unix.Rusage
	if unix.Getrusage(unix.RUSAGE_CHILDREN, &usage) != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// changeProgram makes another program of one that does the same.
func changeProgram(path string) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString("changed")
	return errors.Join(err, f.Close())
}

func median(list []float64) float64 {
	sorted := slices.Sorted(slices.Values(list))
	return sorted[len(sorted)/2]
}

// run runs a command and gives what it prints.
func run(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = dir
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("%w: %s", err, exit.Stderr)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", strings.Join(args, " "), err)
	}
	return string(out), nil
}
