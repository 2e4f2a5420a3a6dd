package container

import (
	"encoding/json"
	"fmt"
	"strings"

	"ashlar/internal/foundation/tree"
)

// lxcArches are the names of LXC's lxc.arch, and uname's.
var lxcArches = map[string]string{
	"amd64": "x86_64", "arm64": "aarch64", "armhf": "armv7l", "i386": "i686", "ppc64el": "ppc64le", "s390x": "s390x", "riscv64": "riscv64",
}

// MachineName is uname's name of a Debian architecture.
func MachineName(arch string) (string, error) {
	name, ok := lxcArches[arch]
	if !ok {
		return "", fmt.Errorf("container template: architecture %q is not known", arch)
	}
	return name, nil
}

// LXCMeta gives the metadata of an LXC template, as lxc-create's templates
// "local" and "download" read them, with the metadata.yaml of Incus and LXD.
// LXC_TEMPLATE_CONFIG and LXC_NAME are replaced when a container is created.
func LXCMeta(in Input) (*tree.Tree, error) {
	arch, err := MachineName(in.Arch)
	if err != nil {
		return nil, err
	}
	def := in.Definition
	start := "lxc.init.cmd = " + strings.Join(Command(def.Init), " ") + "\n"
	signals := "lxc.signal.halt = SIGPWR\nlxc.signal.reboot = SIGINT\n"
	if def.Init == "systemd" {
		signals = "lxc.signal.halt = SIGRTMIN+3\nlxc.signal.reboot = SIGINT\n"
	}
	config := func(common string) string {
		return "# " + def.Name + ", " + in.Generation + "\nlxc.include = LXC_TEMPLATE_CONFIG/" + common + "\nlxc.arch = " + arch + "\n" + start + signals
	}
	yaml, err := metadataYAML(in, arch)
	if err != nil {
		return nil, err
	}
	t := &tree.Tree{}
	for name, text := range map[string]string{
		"config":         config("common.conf"),
		"config-user":    config("common.conf") + "lxc.include = LXC_TEMPLATE_CONFIG/userns.conf\n",
		"create-message": createMessage(in),
		"excludes-user":  "dev/*\n", // a user may make no devices
		"templates":      "",
		"metadata.yaml":  yaml,
	} {
		e := tree.NewFile(name, 0o644, []byte(text))
		e.MTime = in.Epoch
		if err := t.Put(e); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// metadataYAML is written as JSON, which YAML takes in.
func metadataYAML(in Input, arch string) (string, error) {
	def := in.Definition
	data, err := json.MarshalIndent(map[string]any{
		"architecture":  arch,
		"creation_date": in.Epoch,
		"properties": map[string]string{
			"architecture": arch, "os": def.Base.Distro, "release": def.Base.Suite, "name": def.Name, "serial": in.Generation,
			"description": def.Name + " (" + in.Generation + ")",
		},
	}, "", "  ")
	if err != nil {
		return "", fmt.Errorf("write metadata.yaml: %w", err)
	}
	return string(data) + "\n", nil
}

func createMessage(in Input) string {
	text := "You have made a container of " + in.Definition.Name + ", generation " + in.Generation + ".\n"
	if in.Definition.Init == "" || in.Definition.Init == "ashlar" {
		text += "Inside it, `ashlar ps` shows the services and `ashlar logs SERVICE` what they print.\n"
	}
	var paths []string
	for _, s := range in.Definition.State {
		paths = append(paths, s.Path)
	}
	if len(paths) > 0 {
		text += "Its state is in " + strings.Join(paths, ", ") + ".\n"
	}
	return text
}

// OpenVZName is the name of an OpenVZ template. vzctl takes what stands before a
// dash for the distribution, of which it knows how to set addresses.
func OpenVZName(in Input) (string, error) {
	arch, err := MachineName(in.Arch)
	if err != nil {
		return "", err
	}
	distro, suite := in.Definition.Base.Distro, in.Definition.Base.Suite
	if suite == "" {
		distro, suite = "ashlar", "scratch"
	}
	return strings.Join([]string{distro, suite, arch, in.Definition.Name}, "-") + ".tar.gz", nil
}
