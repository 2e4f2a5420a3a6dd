package main

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"ashlar/internal/builder/definition"
	"ashlar/internal/builder/store"
	"ashlar/internal/ui"
)

func (a *app) storeCommand() *cobra.Command {
	c := &cobra.Command{Use: "store", Short: "Look after the cache of inputs and results", Args: onlyVerbs,
		RunE: func(*cobra.Command, []string) error { return a.showStore() }}
	du := &cobra.Command{Use: "du", Short: "Say what the store takes", Args: exactArgs(0, "no arguments"),
		RunE: func(*cobra.Command, []string) error { return a.showStore() }}
	c.AddCommand(du, a.storeGC())
	return c
}

// storeReport is the answer of `ashlar store`.
type storeReport struct {
	Dir   string      `json:"dir"`
	Bytes int64       `json:"bytes"`
	Limit int64       `json:"limit"` // bytes, after a build; 0: none
	Parts store.Usage `json:"parts"`
}

func (a *app) showStore() error {
	e, err := a.env()
	if err != nil {
		return err
	}
	limit, err := e.StoreLimit()
	if err != nil {
		return err
	}
	usage, err := e.StoreUsage()
	if err != nil {
		return err
	}
	report := storeReport{e.Store.Dir(), usage.Bytes(), limit, usage}
	return a.answer(report, func(w io.Writer) error {
		if err := printUsage(w, report.Dir, usage); err != nil {
			return err
		}
		text := "none"
		if limit > 0 {
			text = ui.Bytes(limit)
		}
		_, err := fmt.Fprintf(w, "limit: %s\n", text)
		return err
	})
}

func printUsage(w io.Writer, head string, u store.Usage) error {
	fmt.Fprintln(w, head)
	var rows [][]string
	for _, p := range u {
		rows = append(rows, []string{p.Name, strconv.Itoa(p.Number), ui.Bytes(p.Bytes)})
	}
	return ui.Table(w, []string{"what", "number", "size"}, append(rows, []string{"all", "", ui.Bytes(u.Bytes())}))
}

func (a *app) storeGC() *cobra.Command {
	var age time.Duration
	var keep []string
	var size string
	c := &cobra.Command{Use: "gc", Short: "Remove what has not been used for a while", Args: exactArgs(0, "no arguments")}
	c.Flags().DurationVar(&age, "older", 30*24*time.Hour, "remove what was not used for so long")
	c.Flags().StringVar(&size, "max-size", "", "remove what was used least recently until no more is left, as 20G; by age only with --older")
	c.Flags().StringSliceVar(&keep, "keep", nil, "definitions whose locked inputs stay")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if age < 0 {
			return &usageError{fmt.Errorf("--older %s: want a time that is not negative, as 720h", age)}
		}
		limit := int64(0)
		if size != "" {
			var err error
			if limit, err = definition.ParseSize(size); err != nil || limit == 0 {
				return &usageError{fmt.Errorf("--max-size %s: want a size such as 20G", size)}
			}
			if !c.Flags().Changed("older") {
				age = 0
			}
		}
		e, err := a.env()
		if err != nil {
			return err
		}
		removed, err := e.CollectGarbage(keep, age, limit)
		if err != nil {
			return err
		}
		report := storeReport{Dir: e.Store.Dir(), Bytes: removed.Bytes(), Limit: limit, Parts: removed}
		return a.answer(report, func(w io.Writer) error { return printUsage(w, "removed from "+report.Dir, removed) })
	}
	return c
}
