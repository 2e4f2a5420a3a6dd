package pipeline

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"ashlar/internal/contract/imageinfo"
	"ashlar/internal/contract/layout"
)

// kernelCmdline is the file that has the command line for a direct start.
const kernelCmdline = "kernel.cmdline"

// makeKernelTarget says how the kernel is started from the files of every
// build: the root image and the modules' are disks as they are.
func makeKernelTarget(_ context.Context, _ *build, gen *generation, dir string) error {
	return os.WriteFile(filepath.Join(dir, kernelCmdline), []byte(directLine(gen.manifest)+"\n"), 0o644)
}

// directLine is a command line for a machine whose first disk is the root
// image and whose second has the kernel's modules.
func directLine(m imageinfo.Manifest) string {
	return strings.Join([]string{
		m.Cmdline + trusted(m.Verity), layout.ParamRoot + "=/dev/vda", layout.ParamModules + "=/dev/vdb", layout.ParamState + "=none",
	}, " ")
}

func startKernel(a *Artefacts) Start {
	return Start{
		Kernel: layout.GenKernel, Initrd: layout.GenInitrd, Cmdline: directLine(a.Manifest),
		Disk: layout.GenRoot, Disks: []string{layout.GenModules},
	}
}
