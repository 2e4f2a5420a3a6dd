package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"ashlar/internal/builder/definition"
	"ashlar/internal/builder/pipeline"
	"ashlar/internal/machine/qemu"
	"ashlar/internal/ui"
)

func (a *app) initCommand() *cobra.Command {
	return &cobra.Command{
		Use: "init DIR", Short: "Write a commented starter definition", Args: exactArgs(1, "a directory"),
		RunE: func(_ *cobra.Command, args []string) error {
			made, err := pipeline.WriteStarter(args[0])
			if err != nil {
				return err
			}
			for _, name := range made.Kept {
				a.note("kept %s, which was there already\n", name)
			}
			a.note("wrote %s; next: ashlar lock %s && ashlar run %s\n", made.Definition, made.Dir, made.Dir)
			if !a.json {
				return nil
			}
			return a.answer(made, nil)
		},
	}
}

func (a *app) lockCommand() *cobra.Command {
	var update []string
	c := &cobra.Command{
		Use: "lock DIR", Short: "Choose every input and write it down", Args: exactArgs(1, "a definition's directory"),
		Long: "Choose every input of a definition and write it to ashlar.lock. What is locked\nstays as it is; --update moves everything to the newest, --update=PKG one package.",
	}
	c.Flags().StringSliceVar(&update, "update", nil, "take the newest versions, of all packages or of those named")
	c.Flags().Lookup("update").NoOptDefVal = "*"
	c.RunE = func(c *cobra.Command, args []string) error {
		e, err := a.env()
		if err != nil {
			return err
		}
		need := qemu.Packages()
		opt := pipeline.LockOptions{Tools: pipeline.ToolSet{Packages: need.Packages, Without: need.Without}}
		for _, name := range update {
			if name == "*" {
				opt.Update = true
			} else {
				opt.Only = append(opt.Only, name)
			}
		}
		r, err := e.Lock(c.Context(), args[0], opt)
		if err != nil {
			return err
		}
		return a.answer(r.Diff, func(w io.Writer) error {
			if !r.Changed {
				a.note("nothing changed\n")
			}
			for _, line := range r.Diff.Lines() {
				fmt.Fprintln(w, line)
			}
			return nil
		})
	}
	return c
}

func (a *app) fetchCommand() *cobra.Command {
	return &cobra.Command{
		Use: "fetch DIR...", Short: "Bring all locked inputs into the store", Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return fmt.Errorf("%s takes directories of definitions; see `%s --help`", c.CommandPath(), c.CommandPath())
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			e, err := a.env()
			if err != nil {
				return err
			}
			for _, dir := range args {
				if err := e.Fetch(c.Context(), dir); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func (a *app) buildCommand() *cobra.Command {
	var opt pipeline.BuildOptions
	var targets []string
	var dryRun, noCache, explain bool
	c := &cobra.Command{Use: "build DIR", Short: "Build the artefacts", Args: exactArgs(1, "a definition's directory")}
	c.Flags().StringVarP(&opt.Out, "out", "o", "", "output directory (default DIR/out)")
	c.Flags().StringVar(&opt.Arch, "arch", "", "architecture (default: the definition's first)")
	c.Flags().StringSliceVar(&targets, "target", nil, "what to make, or all (default: the definition's targets)")
	c.Flags().BoolVar(&dryRun, "dry-run", false, "print the plan and do nothing")
	c.Flags().BoolVar(&noCache, "no-cache", false, "make everything anew from the packages")
	c.Flags().BoolVar(&explain, "explain", false, "say which step was made anew, and which of its inputs changed")
	c.RunE = func(c *cobra.Command, args []string) error {
		e, err := a.env()
		if err != nil {
			return err
		}
		e.NoCache = noCache
		opt.Targets = targets
		if dryRun {
			plan, err := e.Plan(c.Context(), args[0], opt)
			if err != nil {
				return err
			}
			return a.answer(plan, func(w io.Writer) error { return printPlan(w, plan) })
		}
		made, err := e.Build(c.Context(), args[0], opt)
		if err != nil {
			return err
		}
		for _, l := range made.LeftOut {
			a.note("left out %s: %s\n", l.Target, l.Reason)
		}
		return a.answer(made, func(w io.Writer) error {
			rows := [][]string{}
			for _, f := range made.Files {
				rows = append(rows, []string{filepath.Join(made.Dir, f.Name), ui.Bytes(f.Size), f.Digest.String()})
			}
			if explain {
				if err := printSteps(w, made.Steps); err != nil {
					return err
				}
			}
			return ui.Table(w, []string{"file", "size", "sha256"}, rows)
		})
	}
	return c
}

func printSteps(w io.Writer, steps []pipeline.Step) error {
	rows := [][]string{}
	for _, s := range steps {
		result, changed := "kept", strings.Join(s.Changed, ", ")
		if s.Made {
			result = "made"
		}
		switch {
		case s.Changed == nil:
			changed = "the first build into this directory"
		case len(s.Changed) == 0:
			changed = "nothing"
		}
		rows = append(rows, []string{s.Name, result, changed})
	}
	return ui.Table(w, []string{"step", "result", "changed"}, rows)
}

func printPlan(w io.Writer, p *pipeline.Plan) error {
	rows := [][]string{}
	for _, s := range p.Steps {
		rows = append(rows, []string{s.Verb, s.What})
	}
	return ui.Table(w, []string{"step", "what"}, rows)
}

func (a *app) vendorCommand() *cobra.Command {
	return &cobra.Command{
		Use: "vendor DIR TO", Short: "Export all locked inputs, to rebuild when the mirrors are gone", Args: exactArgs(2, "a definition's directory and one to export to"),
		Long: "Export every input that a lock names to a directory laid out as a mirror.\nSet ASHLAR_VENDOR to that directory to build from it.",
		RunE: func(c *cobra.Command, args []string) error {
			e, err := a.env()
			if err != nil {
				return err
			}
			n, bytes, err := e.Vendor(c.Context(), args[0], args[1])
			if err != nil {
				return err
			}
			answer := struct {
				Dir   string `json:"dir"`
				Files int    `json:"files"`
				Bytes int64  `json:"bytes"`
			}{args[1], n, bytes}
			return a.answer(answer, func(io.Writer) error {
				a.note("%d files, %s in %s\n", n, ui.Bytes(bytes), args[1])
				return nil
			})
		},
	}
}

func (a *app) schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use: "schema", Short: "Print the JSON Schema of ashlar.toml", Args: exactArgs(0, "no arguments"),
		RunE: func(*cobra.Command, []string) error {
			_, err := a.out.Write(definition.Schema())
			return err
		},
	}
}
