package grub

import (
	"bytes"
	"fmt"
)

// CDBootSize is the size of cdboot.img: the one block that the BIOS loads.
const CDBootSize = 2048

// InstallCD binds a core image to a CD image, where it lies from byte at on
// behind cdboot.img. It returns the boot code for the first BootCodeSize bytes
// and the boot image, whose boot info table is still to be filled in: by that
// cdboot.img finds the rest. It skips the core image's first sector; the boot
// code, which runs when the CD's image is on a disk, begins with it.
func InstallCD(boot, cdboot, core []byte, at int64) (mbr, image []byte, err error) {
	if len(cdboot) != CDBootSize {
		return nil, nil, fmt.Errorf("install GRUB: cdboot.img: %d bytes, want %d", len(cdboot), CDBootSize)
	}
	if at < 0 || at%CDBootSize != 0 {
		return nil, nil, fmt.Errorf("install GRUB: byte %d does not begin a block of a CD", at)
	}
	mbr, installed, err := Install(boot, core, uint64(at+CDBootSize)/SectorSize)
	if err != nil {
		return nil, nil, err
	}
	return mbr, bytes.Join([][]byte{cdboot, installed}, nil), nil
}
