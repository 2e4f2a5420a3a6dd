package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"ashlar/internal/builder/pipeline"
	"ashlar/internal/builder/sizes"
	"ashlar/internal/ui"
)

func (a *app) sizeCommand() *cobra.Command {
	var out, page string
	var top int
	c := &cobra.Command{
		Use: "size DIR|IMAGE", Short: "Say where the bytes of an image go", Args: exactArgs(1, "a definition's directory, a build's output, or an image"),
		Long: "Say where the bytes of a built image go, by package and by directory: as they are\nstored in the image, and unpacked. Packages are known from the lock of DIR; in an\nimage alone from dpkg's lists, if they were not left out.",
	}
	c.Flags().StringVarP(&out, "out", "o", "", "output directory of the build (default DIR/out)")
	c.Flags().StringVar(&page, "html", "", "write a page with a treemap to this file instead")
	c.Flags().IntVar(&top, "top", 25, "rows of packages and of directories; 0: all")
	c.RunE = func(c *cobra.Command, args []string) error {
		if top < 0 {
			return &usageError{fmt.Errorf("--top %d: want 0 or more", top)}
		}
		e, err := a.env()
		if err != nil {
			return err
		}
		r, err := e.Sizes(c.Context(), args[0], out)
		if err != nil {
			return err
		}
		if page != "" {
			return a.writePage(r, page)
		}
		return a.answer(r, func(w io.Writer) error { return printSizes(w, r, top) })
	}
	return c
}

func (a *app) writePage(r *sizes.Report, name string) error {
	if err := pipeline.WritePage(r, name); err != nil {
		return err
	}
	answer := struct {
		Page string `json:"page"`
	}{filepath.Clean(name)}
	return a.answer(answer, func(w io.Writer) error {
		_, err := fmt.Fprintln(w, answer.Page)
		return err
	})
}

func printSizes(w io.Writer, r *sizes.Report, top int) error {
	fmt.Fprintf(w, "%s: %s in the image, %s unpacked, %d files\n\n", r.Name, ui.Bytes(r.Stored), ui.Bytes(r.Size), r.Files)
	if err := printRows(w, "part", r.Parts, r.Stored, 0); err != nil {
		return err
	}
	if r.Owners == "" {
		fmt.Fprint(w, "\nNo packages are known: the image has no lists of dpkg, and there is no lock beside it.\n")
	} else {
		fmt.Fprintln(w)
		if err := printRows(w, "package", r.Packages, r.Stored, top); err != nil {
			return err
		}
	}
	fmt.Fprintln(w)
	return printRows(w, "directory", sizes.Largest(r.Directories, top), r.Stored, 0)
}

// printRows prints the first rows and adds up the others; top 0 prints all.
func printRows(w io.Writer, what string, list []sizes.Row, whole int64, top int) error {
	rows := [][]string{}
	var rest sizes.Sum
	for n, row := range list {
		if top > 0 && n >= top {
			rest.Files += row.Files
			rest.Stored += row.Stored
			rest.Size += row.Size
			continue
		}
		rows = append(rows, sizeRow(row.Name, row.Sum, whole))
	}
	if top > 0 && len(list) > top {
		rows = append(rows, sizeRow(strconv.Itoa(len(list)-top)+" more", rest, whole))
	}
	return ui.Table(w, []string{what, "in image", "share", "unpacked", "files"}, rows)
}

func sizeRow(name string, s sizes.Sum, whole int64) []string {
	share := 0.0
	if whole > 0 {
		share = 100 * float64(s.Stored) / float64(whole)
	}
	return []string{name, ui.Bytes(s.Stored), fmt.Sprintf("%.1f%%", share), ui.Bytes(s.Size), strconv.Itoa(s.Files)}
}
