package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"ashlar/internal/builder/pipeline"
	"ashlar/internal/builder/store"
	"ashlar/internal/ui"
)

// version is what `ashlar version` says and what images name as their tool.
const version = "0.1.0"

// streams are the standard streams of a run.
type streams struct {
	in  io.Reader
	out io.Writer // the answer
	err io.Writer // the story
}

// app is what all commands share: the flags that stand before every verb.
type app struct {
	streams
	json, quiet, offline bool
	buildLog             string
	log                  *os.File
	sink                 *ui.Progress
}

// run is the whole program; it gives the exit code.
func run(ctx context.Context, args []string, s streams) int {
	answer := &checkedWriter{Writer: s.out}
	s.out = answer
	a := &app{streams: s}
	root := a.command()
	root.SetArgs(args)
	begun := false
	noteBegin(root, &begun)
	err := root.ExecuteContext(ctx)
	a.close()
	switch {
	case err != nil && !begun:
		err = &usageError{err}
	case ctx.Err() != nil:
		err = errInterrupted // whatever fails after a signal fails by it
	case answer.err != nil && (err == nil || errors.Is(err, errDifferent)):
		err = fmt.Errorf("write the answer: %w", answer.err)
	}
	return report(err, s.err, a.json)
}

// checkedWriter remembers that an answer did not get through, whoever wrote it.
type checkedWriter struct {
	io.Writer
	err error
}

func (w *checkedWriter) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	if err != nil && w.err == nil {
		w.err = err
	}
	return n, err
}

// noteBegin has every verb say that it begins: what fails before is the
// command line.
func noteBegin(c *cobra.Command, begun *bool) {
	if run := c.RunE; run != nil {
		c.RunE = func(c *cobra.Command, args []string) error {
			*begun = true
			return run(c, args)
		}
	}
	for _, sub := range c.Commands() {
		noteBegin(sub, begun)
	}
}

func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use:           "ashlar",
		Short:         "Turn a directory of text into a server",
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       version,
		Args:          onlyVerbs,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.SetFlagErrorFunc(wrongFlag)
	root.SetVersionTemplate("ashlar {{.Version}}\n")
	flags := root.PersistentFlags()
	flags.BoolVar(&a.json, "json", false, "answer in JSON, progress and errors as JSON lines on stderr")
	flags.BoolVarP(&a.quiet, "quiet", "q", false, "no progress and no notes: nothing but errors")
	flags.BoolVar(&a.offline, "offline", false, "never open the network")
	flags.StringVar(&a.buildLog, "log", "", "file that gets what maintainer scripts print")
	root.AddCommand(
		a.initCommand(), a.lockCommand(), a.fetchCommand(), a.buildCommand(), a.runCommand(), a.testCommand(), a.verifyCommand(),
		a.diffCommand(), a.vendorCommand(), a.pushCommand(), a.pullCommand(), a.inspectCommand(), a.sizeCommand(), a.writeCommand(), a.storeCommand(),
		a.toolsCommand(), a.schemaCommand(), a.versionCommand(),
	)
	addStandardVerbs(root)
	return root
}

// env opens what the pipeline needs.
func (a *app) env() (*pipeline.Env, error) {
	dir, err := store.DefaultDir()
	if err != nil {
		return nil, err
	}
	st, err := store.Open(dir)
	if err != nil {
		return nil, err
	}
	a.sink = ui.NewProgress(a.err, ui.ProgressOptions{JSON: a.json, Quiet: a.quiet})
	e := &pipeline.Env{
		Store: st, Client: httpClient(), Getenv: os.Getenv, Now: time.Now, Progress: a.sink, Version: version, Offline: a.offline,
	}
	if a.buildLog != "" {
		if a.log, err = os.Create(a.buildLog); err != nil {
			return nil, fmt.Errorf("open log: %w", err)
		}
		e.Log = a.log
	}
	return e, nil
}

func (a *app) close() {
	if a.sink != nil {
		a.sink.Close()
	}
	if a.log != nil {
		if err := a.log.Close(); err != nil {
			fmt.Fprintf(a.err, "ashlar: write log: %v\n", err)
		}
	}
}

// httpClient bounds how long a server may stay silent, not how long a download
// takes.
func httpClient() *http.Client {
	return &http.Client{Transport: &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout:   15 * time.Second,
		ResponseHeaderTimeout: 60 * time.Second,
		MaxIdleConnsPerHost:   8,
	}}
}

// note tells what was done, where the answer does not.
func (a *app) note(format string, args ...any) {
	if !a.quiet && !a.json {
		fmt.Fprintf(a.err, format, args...)
	}
}

// answer prints v as JSON if asked to, else what text writes.
func (a *app) answer(v any, text func(io.Writer) error) error {
	if a.sink != nil {
		a.sink.Close()
	}
	if !a.json {
		return text(a.out)
	}
	enc := json.NewEncoder(a.out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Say the version", Args: exactArgs(0, "no arguments"),
		RunE: func(*cobra.Command, []string) error {
			v := struct {
				Version string `json:"version"`
			}{version}
			return a.answer(v, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "ashlar %s\n", v.Version)
				return err
			})
		},
	}
}
