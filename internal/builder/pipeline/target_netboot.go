package pipeline

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"

	"ashlar/internal/builder/devicebin"
	"ashlar/internal/builder/initramfs"
	"ashlar/internal/contract/layout"
	"ashlar/internal/contract/machine"
	"ashlar/internal/foundation/tree"
)

const seldom = initramfs.Seldom

// NetbootInitrd is the initramfs of the target netboot.
const NetbootInitrd = "netboot.img"

// netbootURL stands in snippets where the address of the server is to be.
const netbootURL = "http://SERVER/DIRECTORY/"

// makeNetboot makes an initramfs that fetches the images, and what loaders of
// the network want to be told.
func makeNetboot(_ context.Context, b *build, gen *generation, dir string) error {
	fetch, err := devicebin.Fetch(b.arch)
	if err != nil {
		return err
	}
	fetch.Path, fetch.Mode = layout.InitramfsFetch, 0o755
	var list []machine.NetFile
	for _, name := range []string{layout.GenRoot, layout.GenModules} {
		e := gen.files[name]
		list = append(list, machine.NetFile{Name: name, Size: e.Size, Digest: e.Digest})
	}
	text, err := json.Marshal(list)
	if err != nil {
		return err
	}
	initrd, err := b.initrdWith(gen, []tree.Entry{fetch, tree.NewFile(layout.InitramfsNet, 0o444, append(text, '\n'))}, true)
	if err != nil {
		return err
	}
	line := netbootLine(gen.manifest.Cmdline + trusted(gen.manifest.Verity))
	files := map[string]string{
		NetbootInitrd:      string(initrd),
		"netboot.ipxe":     "#!ipxe\nkernel " + layout.GenKernel + " initrd=" + NetbootInitrd + " " + line("${cwuri}") + "\ninitrd " + NetbootInitrd + "\nboot\n",
		"netboot.pxelinux": "DEFAULT " + b.p.def.Name + "\nLABEL " + b.p.def.Name + "\n  KERNEL " + layout.GenKernel + "\n  INITRD " + NetbootInitrd + "\n  APPEND " + line(netbootURL) + "\n",
		"netboot.grub.cfg": "linux /" + layout.GenKernel + " " + line(netbootURL) + "\ninitrd /" + NetbootInitrd + "\nboot\n",
		"netboot.cmdline":  line(netbootURL) + "\n",
	}
	for _, name := range sortedKeys(files) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(files[name]), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// netbootLine gives the command line for a server's address. The definition's
// own ip= stays the only one.
func netbootLine(cmdline string) func(base string) string {
	if !strings.Contains(" "+cmdline, " ip=") {
		cmdline += " ip=dhcp"
	}
	return func(base string) string {
		return strings.Join([]string{cmdline, layout.ParamNetRoot + "=" + base, layout.ParamState + "=none"}, " ")
	}
}
