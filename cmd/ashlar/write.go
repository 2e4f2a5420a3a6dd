package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"ashlar/internal/builder/flash"
	"ashlar/internal/ui"
)

func (a *app) writeCommand() *cobra.Command {
	var yes, file bool
	c := &cobra.Command{
		Use: "write IMAGE DEVICE", Short: "Write a disk image onto a medium and read it back", Args: exactArgs(2, "an image and a device"),
		Long: "Write a disk image (raw, ISO, qcow2, or compressed by zstd) onto a disk, a USB stick or an SD card, and read it back.\n" +
			"What is mounted, swap or part of another device is refused, and what is smaller than the image. Zeros are made by the\n" +
			"device itself where it can; with a block map beside the image (IMAGE.bmap), what holds nothing is left alone.",
	}
	c.Flags().BoolVar(&yes, "yes", false, "do not ask for the device's name again")
	c.Flags().BoolVar(&file, "force-file", false, "DEVICE may be a file; it is replaced when all is written")
	c.RunE = func(c *cobra.Command, args []string) error { return a.write(c.Context(), args[0], args[1], yes, file) }
	return c
}

func (a *app) write(ctx context.Context, name, path string, yes, file bool) (err error) {
	device, err := flash.FindDevice(path, file)
	if err != nil {
		return err
	}
	image, err := flash.OpenImage(ctx, name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, image.Close()) }()
	if err := flash.Fits(image, device); err != nil {
		return err
	}
	if !yes && !device.File {
		if err := a.confirm(image, device); err != nil {
			return err
		}
	}
	a.sink = ui.NewProgress(a.err, ui.ProgressOptions{JSON: a.json, Quiet: a.quiet})
	done, err := flash.Write(ctx, image, device, a.sink)
	if err != nil {
		return err
	}
	return a.answer(done, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%s holds %s: %s written, %s made zero, %s left alone; all read back\n",
			path, name, ui.Bytes(done.Data), ui.Bytes(done.Zero), ui.Bytes(done.Skipped))
		return err
	})
}

// confirm asks for the device's name, so that nobody says yes to another one.
func (a *app) confirm(image *flash.Image, device *flash.Device) error {
	fmt.Fprintf(a.err, "All that is on %s (%s) will be lost: a disk of %s comes there.\nType the device's name again to go on: ",
		device.Path, ui.Bytes(device.Size), ui.Bytes(image.Size))
	line, err := bufio.NewReader(a.in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the device's name: %w", err)
	}
	if strings.TrimSpace(line) != device.Path {
		return &usageError{fmt.Errorf("%s was not typed again: nothing is written (--yes goes on without asking)", device.Path)}
	}
	return nil
}
