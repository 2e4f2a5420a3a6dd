// Package container makes of a root what containers start: the tree with what a
// runtime expects in it, its division into layers, and what the formats of container
// managers say beside it.
//
// Vocabulary: an owner is a package and the paths it brought; a group is the
// paths of one layer.
//
// It writes no archive and starts nothing: the bytes are format/oci's and
// format/tarball's, the services in a container are device/pid1's.
package container

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"ashlar/internal/builder/definition"
	"ashlar/internal/contract/layout"
	"ashlar/internal/format/oci"
	"ashlar/internal/foundation/tree"
)

// initPath is what container managers start when nobody says what.
const initPath = "usr/sbin/init"

// systemdPath is where Debian has systemd.
const systemdPath = "/usr/lib/systemd/systemd"

// Tree gives the root as containers have it: a resolv.conf of its own, which
// runtimes write or mount over, an init under the usual name, and no sockets.
func Tree(root *tree.Tree, def *definition.Definition) (*tree.Tree, error) {
	t := root.Clone()
	for _, p := range slices.Clone(t.Paths()) {
		if e := t.Get(p); e != nil && e.Kind == tree.Socket {
			t.Remove(p)
		}
	}
	t.Remove("etc/resolv.conf")
	resolver := tree.NewFile("etc/resolv.conf", 0o644, nil)
	err := errors.Join(t.AddParents(resolver.Path, 0o755, 0), t.Put(resolver))
	if target := initTarget(def.Init); target != "" && t.Lookup(initPath) == nil {
		t.Remove(initPath)
		err = errors.Join(err, t.AddParents(initPath, 0o755, 0), t.Put(tree.NewSymlink(initPath, target)))
	}
	// With a /sbin of its own, as in a root without packages, both names are wanted.
	if t.Get("sbin") == nil {
		err = errors.Join(err, t.Put(tree.NewSymlink("sbin", "usr/sbin")))
	}
	if err != nil {
		return nil, fmt.Errorf("make root of containers: %w", err)
	}
	return t, nil
}

// initTarget is where the init's usual name points.
func initTarget(init string) string {
	switch init {
	case "", "ashlar":
		return "/" + layout.InitBinary
	case "systemd":
		return systemdPath
	}
	return init
}

// Command is what starts in a container.
func Command(init string) []string {
	if init == "" || init == "ashlar" {
		return []string{"/" + layout.InitBinary, layout.ContainerCommand}
	}
	return []string{initTarget(init)}
}

// Input is what a config says besides the definition.
type Input struct {
	Definition *definition.Definition
	Arch       string // Debian's name
	Epoch      int64
	Generation string
}

// Labels are what registries and runtimes show; keys of image-spec, annotations.md.
func (in Input) Labels() map[string]string {
	const spec = "org.opencontainers.image."
	labels := map[string]string{
		spec + "title":   in.Definition.Name,
		spec + "created": oci.Created(in.Epoch),
		spec + "version": in.Generation,
	}
	if in.Definition.Base.Suite != "" {
		labels[spec+"base.name"] = in.Definition.Base.Distro + ":" + in.Definition.Base.Suite
	}
	return labels
}

// Config makes the config of an OCI image.
func (in Input) Config() (oci.Config, error) {
	platform, err := PlatformOf(in.Arch)
	if err != nil {
		return oci.Config{}, err
	}
	def := in.Definition
	run := oci.Run{
		Entrypoint: Command(def.Init), WorkingDir: "/", Labels: in.Labels(),
		Env:          []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "container=oci"},
		ExposedPorts: map[string]struct{}{}, Volumes: map[string]struct{}{},
	}
	switch def.Init {
	case "", "ashlar":
		run.StopSignal = "SIGTERM"
	case "systemd":
		run.StopSignal = "SIGRTMIN+3"
	}
	for _, port := range Ports(def) {
		run.ExposedPorts[port] = struct{}{}
	}
	for _, s := range def.State {
		if s.Kind != "file" { // a volume is a directory
			run.Volumes[s.Path] = struct{}{}
		}
	}
	return oci.Config{Created: oci.Created(in.Epoch), Platform: platform, Config: run}, nil
}

// Ports are those that the definition declares for containers, or that its
// checks ask, as "80/tcp", sorted.
func Ports(def *definition.Definition) []string {
	set := map[string]bool{}
	for _, port := range def.Container.Ports {
		if !strings.Contains(port, "/") {
			port += "/tcp"
		}
		set[port] = true
	}
	if len(set) == 0 {
		for _, t := range def.Tests {
			if port := testPort(t); port != "" {
				set[port+"/tcp"] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// testPort gives the port that a check asks, or "".
func testPort(t definition.Test) string {
	address := t.TCP
	if t.HTTP != "" {
		_, rest, _ := strings.Cut(t.HTTP, "://")
		address, _, _ = strings.Cut(rest, "/")
		if !strings.Contains(address[strings.LastIndex(address, "]")+1:], ":") {
			return "80"
		}
	}
	if i := strings.LastIndex(address, ":"); i >= 0 {
		return address[i+1:]
	}
	return ""
}

// PlatformOf gives the platform of a Debian architecture.
func PlatformOf(arch string) (oci.Platform, error) {
	p := oci.Platform{OS: "linux", Architecture: arch}
	switch arch {
	case "amd64", "arm64", "riscv64", "s390x":
	case "armhf":
		p.Architecture, p.Variant = "arm", "v7"
	case "i386":
		p.Architecture = "386"
	case "ppc64el":
		p.Architecture = "ppc64le"
	default:
		return p, fmt.Errorf("container image: architecture %q has no platform", arch)
	}
	return p, nil
}
