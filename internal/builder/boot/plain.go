package boot

import (
	"fmt"
	"strings"

	"ashlar/internal/contract/layout"
	"ashlar/internal/foundation/tree"
)

// The configurations of a partition whose loader somebody else installs, by
// what reads them there.
const (
	extlinuxConfig = "extlinux/extlinux.conf" // U-Boot ("distro boot") and EXTLINUX
	syslinuxConfig = "syslinux.cfg"           // SYSLINUX, on FAT
)

// Plain makes the files by which a loader that lies on the system partition,
// or knows it already, finds the generation there. Of the input the loader's
// files and the partition's names are not looked at.
func Plain(in Input) (*tree.Tree, error) {
	if err := in.checkEntry(); err != nil {
		return nil, fmt.Errorf("make boot files: %w", err)
	}
	t := &tree.Tree{}
	for _, f := range []struct{ name, text string }{
		{layout.GrubConfig, in.menu()},
		{extlinuxConfig, in.syslinuxMenu()},
		{syslinuxConfig, "SERIAL 0 115200\n" + in.syslinuxMenu()}, // which must come first
	} {
		if err := in.put(t, f.name, []byte(f.text)); err != nil {
			return nil, fmt.Errorf("make boot files: %w", err)
		}
	}
	return t, nil
}

// syslinuxMenu is in the language of SYSLINUX, of which U-Boot reads a part
// (doc/README.pxe of U-Boot). Everything up to the end of a line is a value;
// times are tenths of a second.
func (in Input) syslinuxMenu() string {
	dir := "/" + layout.GenerationsDir + "/" + in.Generation + "/"
	return strings.Join([]string{
		"DEFAULT " + in.Generation,
		"PROMPT 0",
		fmt.Sprintf("TIMEOUT %d", 10*in.Timeout),
		"LABEL " + in.Generation,
		"  MENU LABEL " + in.Title,
		"  LINUX " + dir + layout.GenKernel,
		"  INITRD " + dir + layout.GenInitrd,
		"  APPEND " + strings.Join(strings.Fields(in.Cmdline), " "),
	}, "\n") + "\n"
}
