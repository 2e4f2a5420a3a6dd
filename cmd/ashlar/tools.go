package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"ashlar/internal/machine/qemu"
)

// toolsCommand is for scripts and tests that start the locked emulator.
func (a *app) toolsCommand() *cobra.Command {
	return &cobra.Command{
		Use: "tools DIR", Short: "Unpack the locked emulator and say where it is", Args: exactArgs(1, "a definition's directory"),
		RunE: func(c *cobra.Command, args []string) error {
			e, err := a.env()
			if err != nil {
				return err
			}
			dir, err := e.Tools(c.Context(), args[0], qemu.Wanted)
			if err != nil {
				return err
			}
			return a.answer(dir, func(w io.Writer) error {
				_, err := fmt.Fprintln(w, dir)
				return err
			})
		},
	}
}
