package pid1

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"ashlar/internal/contract/layout"
	"ashlar/internal/contract/machine"
	"ashlar/internal/device/block"
	"ashlar/internal/device/mount"
	"ashlar/internal/format/verity"
)

// errDamaged says that an image is not what the kernel command line says.
var errDamaged = errors.New("the image is damaged: it is not what its hash tree says")

// mountFile mounts an image of whatever format by way of a loop device.
func (s *stage1) mountFile(image, target string, flags uintptr) error {
	loop, err := block.AttachLoop(image)
	if err != nil {
		return err
	}
	defer loop.Close()
	return s.mountImageOn(loop, filepath.Base(image), target, flags)
}

// mountImageOn mounts the image that a device holds. If the kernel command line
// has root hashes of images, the kernel checks each block that is read, and an image
// that is not named is refused.
func (s *stage1) mountImageOn(device *os.File, name, target string, flags uintptr) error {
	trees, err := machine.ParseVerity(s.cmdline.Or(layout.ParamVerity, ""))
	if err != nil {
		return fmt.Errorf("read %s: %w", layout.ParamVerity, err)
	}
	if len(trees) == 0 {
		return mountDevice(device.Name(), target, flags)
	}
	n := slices.IndexFunc(trees, func(v machine.Verity) bool { return v.Name == name })
	if n < 0 {
		return fmt.Errorf("mount %s: %s does not name it", name, layout.ParamVerity)
	}
	if err := s.mountVerified(device, trees[n], target, flags); err != nil {
		return fmt.Errorf("mount %s: %w", name, err)
	}
	s.con.Say("%s is checked by its hash tree", name)
	return nil
}

// mountVerified mounts what is on a device with a hash tree in between.
func (s *stage1) mountVerified(device *os.File, tree machine.Verity, target string, flags uintptr) error {
	size := tree.Blocks * verity.BlockSize
	info, err := verity.ReadInfo(device, size)
	if err == nil && info.DataSize != size {
		err = fmt.Errorf("its hash tree is for %d bytes, not %d", info.DataSize, size)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errDamaged, err)
	}
	table := block.VerityTable{Blocks: tree.Blocks, Root: tree.Root, Salt: info.Salt}
	if table.Device, err = block.NumberOf(device); err != nil {
		return err
	}
	mapped, err := block.MapVerity("ashlar-"+strings.TrimSuffix(tree.Name, ".img"), table)
	if err != nil {
		return err
	}
	err = mountDevice(mapped.Node, target, flags)
	if err != nil && mapped.Damaged() {
		err = fmt.Errorf("%w: %w", errDamaged, err)
	}
	s.problem(mapped.Release())
	return err
}

func mountDevice(node, target string, flags uintptr) error {
	kind, err := imageType(node)
	if err != nil {
		return err
	}
	return mount.One(mount.Point{Source: node, Target: target, Type: kind, Flags: unix.MS_RDONLY | flags})
}
