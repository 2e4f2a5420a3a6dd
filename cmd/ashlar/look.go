package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"ashlar/internal/builder/lock"
	"ashlar/internal/builder/pipeline"
	"ashlar/internal/ui"
)

func (a *app) diffCommand() *cobra.Command {
	return &cobra.Command{
		Use: "diff A B", Short: "Compare two locks or two images", Args: exactArgs(2, "two locks or two images"),
		RunE: func(_ *cobra.Command, args []string) error {
			lines, err := pipeline.CompareImages(args[0], args[1])
			if err != nil {
				return err
			}
			err = a.answer(append([]string{}, lines...), func(w io.Writer) error {
				for _, line := range lines {
					fmt.Fprintln(w, line)
				}
				return nil
			})
			if len(lines) > 0 {
				err = errors.Join(err, errDifferent)
			}
			return err
		},
	}
}

func (a *app) inspectCommand() *cobra.Command {
	var files bool
	c := &cobra.Command{Use: "inspect IMAGE", Short: "Say what is in an image", Args: exactArgs(1, "an image")}
	c.Flags().BoolVar(&files, "files", false, "list every file")
	c.RunE = func(_ *cobra.Command, args []string) (err error) {
		image, err := pipeline.OpenImage(args[0])
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, image.Close()) }()
		if image.Kind == pipeline.KindOther {
			return fmt.Errorf("read image %s: it is no disk, no squashfs or EROFS image, no initrd and no lock", args[0])
		}
		return a.answer(image, func(w io.Writer) error { return printImage(w, image, files) })
	}
	return c
}

func printImage(w io.Writer, image *pipeline.Image, files bool) error {
	fmt.Fprintf(w, "%s, %s, sha256 %s\n", image.Kind, ui.Bytes(image.Size), image.Digest)
	rows := [][]string{}
	for _, p := range image.Parts {
		rows = append(rows, []string{p.Name, p.Format, strconv.FormatInt(p.Offset, 10), ui.Bytes(p.Size), strconv.Itoa(p.Entries), ui.Bytes(p.Bytes)})
	}
	if len(rows) > 0 {
		if err := ui.Table(w, []string{"part", "format", "offset", "size", "entries", "content"}, rows); err != nil {
			return err
		}
	}
	for _, m := range image.Manifest {
		fmt.Fprintf(w, "%s %s, kernel %s, init %s, %d packages, encoder %s\n", m.Name, m.Arch, m.Kernel, m.Init, len(m.Packages), m.Encoder)
	}
	if image.Lock != nil {
		return printLock(w, image.Lock)
	}
	if files {
		printFiles(w, image)
	}
	return nil
}

func printLock(w io.Writer, l *lock.Lock) error {
	rows := [][]string{}
	for _, r := range l.Releases {
		rows = append(rows, []string{r.Archive, r.Suite, r.Date})
	}
	if err := ui.Table(w, []string{"archive", "suite", "date"}, rows); err != nil {
		return err
	}
	rows = [][]string{}
	for _, arch := range slices.Sorted(maps.Keys(l.Arches)) {
		a := l.Arches[arch]
		rows = append(rows, []string{arch, strconv.Itoa(len(a.Packages)), strconv.Itoa(len(a.Kernel)), strconv.Itoa(len(a.Boot)), strconv.Itoa(len(a.Tools))})
	}
	return ui.Table(w, []string{"arch", "packages", "kernel", "boot", "tools"}, rows)
}

// printFiles lists the entries of all parts.
func printFiles(w io.Writer, image *pipeline.Image) {
	for _, p := range image.Parts {
		if p.Tree == nil {
			continue
		}
		for _, name := range p.Tree.Paths() {
			e := p.Tree.Get(name)
			target := ""
			if e.Target != "" {
				target = " -> " + e.Target
			}
			fmt.Fprintf(w, "%s %-8s %04o %5d:%-5d %10d %s/%s%s\n", time.Unix(e.MTime, 0).UTC().Format(time.DateTime), e.Kind, e.Mode, e.UID, e.GID, e.Size, p.Name, name, target)
		}
	}
}
