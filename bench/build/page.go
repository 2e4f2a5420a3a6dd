package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
)

// page writes the results with what they were measured on.
func page(w io.Writer, s *setup, rows []row, rounds int) error {
	fmt.Fprintf(w, `# Benchmarks

This page is written by the command that measures (`+"`make bench`"+`); nothing in it is typed. Each row is the median of %d
rounds in one run, each of all rows, the two ways in turn; the ratio is the median of the rounds' ratios. What rows have in
common, as mksquashfs of the round's tree, is measured once a round. Memory is the largest process, its children included.
Read the ratios: seconds belong to the machine.

Of the other tools, mkosi 14 needs a system bus for its containers and debos a virtual machine or the same containers: they
do not run where this was measured. Both begin with debootstrap, whose work mmdebstrap does in less time.

The server has %d packages, documentation and package manager included, and a kernel: `+"`bench/build/server`"+`.

| measured on | |
|---|---|
`, rounds, s.count)
	for _, fact := range facts() {
		fmt.Fprintf(w, "| %s | %s |\n", fact[0], fact[1])
	}
	fmt.Fprintln(w, "\n| what | ours | theirs | seconds | their seconds | ratio | MiB of memory | theirs | image bytes | theirs | promised |\n|---|---|---|---|---|---|---|---|---|---|---|")
	for _, r := range rows {
		fmt.Fprintf(w, "| %s | %s | %s | %.2f | %s | %s | %d | %s | %s | %s | %s |\n", r.name, r.ours, r.theirs, r.our.seconds,
			unless(r.their.seconds == 0, "%.2f", r.their.seconds), unless(r.ratio == 0, "%.3f", r.ratio), r.our.memory>>20,
			unless(r.their.memory == 0, "%d", r.their.memory>>20), unless(r.our.bytes == 0, "%d", r.our.bytes),
			unless(r.their.bytes == 0, "%d", r.their.bytes), r.limit)
	}
	_, err := fmt.Fprintln(w)
	return err
}

// unless formats a value, or nothing where there is none.
func unless(none bool, format string, v any) string {
	if none {
		return ""
	}
	return fmt.Sprintf(format, v)
}

var model = regexp.MustCompile(`(?m)^model name\s*: (.*)$`)

// facts describes the machine and the tools.
func facts() [][2]string {
	first := func(data []byte) string { return strings.TrimSpace(strings.SplitN(string(data), "\n", 2)[0]) }
	version := func(args ...string) string {
		out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
		if err != nil && len(out) == 0 {
			return err.Error()
		}
		return first(out)
	}
	file := func(name string) []byte {
		data, err := os.ReadFile(name)
		if err != nil {
			return []byte(err.Error())
		}
		return data
	}
	processor := "unknown"
	if m := model.FindSubmatch(file("/proc/cpuinfo")); m != nil {
		processor = string(m[1])
	}
	return [][2]string{
		{"processors", fmt.Sprintf("%d × %s", runtime.NumCPU(), processor)},
		{"memory", first(file("/proc/meminfo"))},
		{"kernel", first(file("/proc/sys/kernel/osrelease"))},
		{"load at the end", first(file("/proc/loadavg"))},
		{"Go", runtime.Version()},
		{"mmdebstrap", version("mmdebstrap", "--version")},
		{"mksquashfs", version("mksquashfs", "-version")},
		{"mkfs.erofs", version("dpkg-query", "-W", "erofs-utils")},
	}
}
