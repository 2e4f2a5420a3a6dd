package boot

import (
	"errors"
	"fmt"
	"strings"

	"ashlar/internal/format/pe"
	"ashlar/internal/foundation/tree"
)

// UKI is a unified kernel image: systemd's stub, which UEFI starts, with all
// that it starts as sections.
type UKI struct {
	Loader  func(path string) ([]byte, error) // a file of UKIPackages
	Arch    string                            // Debian's name
	Name    string                            // of the image
	Version string                            // that tells its builds apart
	Release string                            // of the kernel
	Cmdline string
	Kernel  tree.Entry
	Initrd  tree.Entry
}

// stubs are the stub's paths by Debian architecture.
var stubs = map[string]string{
	"amd64": "usr/lib/systemd/boot/efi/linuxx64.efi.stub",
	"arm64": "usr/lib/systemd/boot/efi/linuxaa64.efi.stub",
}

// UKIPackages names the package with the stub.
func UKIPackages(arch string) []string {
	if stubs[arch] == "" {
		return nil
	}
	return []string{"systemd-boot-efi"}
}

// Program plans the image's file. The kernel is its last section. The sections
// are those of the Unified Kernel Image specification (uapi-group.org).
func (u UKI) Program() (*pe.Program, error) {
	p, err := u.program()
	if err != nil {
		return nil, fmt.Errorf("make unified kernel image: %w", err)
	}
	return p, nil
}

func (u UKI) program() (*pe.Program, error) {
	if stubs[u.Arch] == "" {
		return nil, fmt.Errorf("there is no stub for %s", u.Arch)
	}
	stub, err := u.Loader(stubs[u.Arch])
	if err != nil {
		return nil, err
	}
	for _, text := range []string{u.Name, u.Version, u.Release, u.Cmdline} {
		if text == "" || strings.ContainsAny(text, "\x00\n") {
			return nil, fmt.Errorf("%q is no line of text", text)
		}
	}
	if u.Kernel.Size == 0 || u.Initrd.Size == 0 {
		return nil, errors.New("kernel or initramfs is empty")
	}
	osRelease := fmt.Sprintf("ID=ashlar\nIMAGE_ID=%s\nVERSION_ID=%s\nPRETTY_NAME=%q\n", u.Name, u.Version, u.Name)
	section := func(name, text string) pe.NewSection {
		return pe.NewSection{Name: name, Content: tree.NewFile("section", 0o444, []byte(text))}
	}
	return pe.Add(stub, []pe.NewSection{
		section(".osrel", osRelease), section(".cmdline", u.Cmdline), section(".uname", u.Release),
		{Name: ".initrd", Content: u.Initrd}, {Name: ".linux", Content: u.Kernel},
	})
}
