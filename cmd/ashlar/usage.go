package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// exactArgs is cobra.ExactArgs with an error that says what is wanted.
func exactArgs(n int, what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != n {
			return fmt.Errorf("%s takes %s; see `%s --help`", c.CommandPath(), what, c.CommandPath())
		}
		return nil
	}
}

// onlyVerbs is the Args of a command that stands before others: what is left
// over is the name of none, perhaps misspelt.
func onlyVerbs(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	const near = 2 // letters to change
	c.SuggestionsMinimumDistance = near
	hint := ""
	if names := c.SuggestionsFor(args[0]); len(names) > 0 {
		hint = "did you mean " + strings.Join(names, " or ") + "? "
	}
	return fmt.Errorf("%s has no command %q; %ssee `%s --help`", c.CommandPath(), args[0], hint, c.CommandPath())
}

func wrongFlag(c *cobra.Command, err error) error {
	return fmt.Errorf("%w; see `%s --help`", err, c.CommandPath())
}

// addStandardVerbs adds cobra's help and completion, which take any word for
// a good one, with arguments that are looked at.
func addStandardVerbs(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		switch c.Name() {
		case "help":
			c.Args = func(_ *cobra.Command, args []string) error {
				found, rest, err := root.Find(args)
				if err == nil {
					err = onlyVerbs(found, rest)
				}
				return err
			}
		case "completion":
			c.Args, c.RunE = onlyVerbs, func(c *cobra.Command, _ []string) error { return c.Help() }
		}
	}
}
