package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"ashlar/internal/builder/pipeline"
	"ashlar/internal/builder/registry"
)

// errOfflineRegistry tells that --offline and a registry do not go together.
var errOfflineRegistry = errors.New("--offline: a registry is reached by the network")

// carried is what push and pull answer.
type carried struct {
	Image string `json:"image"` // HOST/NAME@DIGEST
	File  string `json:"file"`
}

func (a *app) registryOptions(plain bool) (registry.Options, error) {
	if a.offline {
		return registry.Options{}, &usageError{errOfflineRegistry}
	}
	return registry.Options{Client: httpClient(), PlainHTTP: plain, Version: version}, nil
}

func (a *app) carriedAnswer(c carried) error {
	return a.answer(c, func(w io.Writer) error {
		_, err := fmt.Fprintln(w, c.Image)
		return err
	})
}

// wrongReference makes a wrong name an error of the command line.
func wrongReference(err error) error {
	if errors.Is(err, registry.ErrReference) {
		return &usageError{err}
	}
	return err
}

func (a *app) pushCommand() *cobra.Command {
	plain := false
	c := &cobra.Command{
		Use: "push DIR|IMAGE REF", Short: "Push a container image to a registry", Args: exactArgs(2, "a definition's directory or an image, and HOST/NAME[:TAG]"),
		Long: "Build a definition's container image, or take an archive or layout as it is, and\npush it. Credentials are those of `docker login` (config.json in $DOCKER_CONFIG or\n~/.docker). The answer is the image's name by digest.",
	}
	c.Flags().BoolVar(&plain, "plain-http", false, "speak HTTP, as always to this machine")
	c.RunE = func(c *cobra.Command, args []string) error {
		opt, err := a.registryOptions(plain)
		if err != nil {
			return err
		}
		path := args[0]
		if _, err := os.Stat(filepath.Join(path, pipeline.DefinitionName)); err == nil {
			e, err := a.env()
			if err != nil {
				return err
			}
			made, err := e.Build(c.Context(), path, pipeline.BuildOptions{Targets: []string{"oci"}})
			if err != nil {
				return err
			}
			path = filepath.Join(made.Dir, pipeline.OCIArchive)
		}
		image, err := registry.Push(c.Context(), path, args[1], opt)
		if err != nil {
			return wrongReference(err)
		}
		return a.carriedAnswer(carried{image, path})
	}
	return c
}

func (a *app) pullCommand() *cobra.Command {
	plain, arch := false, ""
	c := &cobra.Command{
		Use: "pull REF FILE", Short: "Pull a container image from a registry into an archive", Args: exactArgs(2, "HOST/NAME[:TAG] or HOST/NAME@DIGEST, and a file to write"),
		Long: "Pull an image and write it as an archive of an OCI image layout. The file gets\nits name when all has come and has its digests.",
	}
	c.Flags().BoolVar(&plain, "plain-http", false, "speak HTTP, as always to this machine")
	c.Flags().StringVar(&arch, "arch", "", "which of an image for several architectures, by Go's name (default: this machine's)")
	c.RunE = func(c *cobra.Command, args []string) error {
		opt, err := a.registryOptions(plain)
		if err != nil {
			return err
		}
		opt.Arch = arch
		image, err := registry.Pull(c.Context(), args[0], args[1], opt)
		if err != nil {
			return wrongReference(err)
		}
		return a.carriedAnswer(carried{image, args[1]})
	}
	return c
}
