package pid1

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"ashlar/internal/contract/layout"
	"ashlar/internal/device/block"
	"ashlar/internal/device/mount"
	"ashlar/internal/device/state"
	"ashlar/internal/format/gpt"
)

// keepState mounts the state partition, grown to its disk, and shows what is
// declared in the new root. A machine whose state is missing or broken says so
// and boots with volatile state.
func (s *stage1) keepState() error {
	if s.boot.State != "" && s.boot.State != "none" {
		s.hand.State = stateKept
		if err := s.mountState(); err != nil {
			s.hand.State = stateLost
			s.problem(fmt.Errorf("mount state: %w", err))
			s.con.Say("state is VOLATILE in this run: what is written is lost at power-off")
		}
	} else {
		s.con.Say("there is no state partition: what is written is lost at power-off")
	}
	if s.hand.State != stateKept {
		err := mount.One(mount.Point{Source: "tmpfs", Target: layout.StateMount, Type: "tmpfs",
			Flags: unix.MS_NOSUID | unix.MS_NODEV, Data: "mode=0755"})
		if err != nil {
			return err
		}
	}
	s.problem(state.LoadSeed(layout.StateMount))
	id, err := state.MachineID(layout.StateMount)
	s.problem(err)
	if id != "" {
		s.problem(state.WriteMachineID(newRoot, id))
	}
	s.problem(state.Bind(layout.StateMount, newRoot, s.machine.State, mount.Bind))
	return nil
}

func (s *stage1) mountState() error {
	// It lies on the system partition's disk as a rule, which is there.
	const most = 10 * time.Second
	device, err := s.wait(s.boot.State, min(most, time.Duration(s.boot.DiskWait)*time.Second))
	if err != nil {
		return err
	}
	length := device.Size
	if device.Partition != 0 {
		grown, err := growPartition(device)
		if err != nil {
			s.problem(err) // serves with the size that it has
		} else {
			length = grown
		}
	}
	err = mount.One(mount.Point{Source: device.Node(), Target: layout.StateMount, Type: "ext4",
		Flags: unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOATIME})
	if err != nil {
		return err
	}
	if err := unix.Chmod(layout.StateMount, 0o755); err != nil {
		s.problem(fmt.Errorf("set mode of state: %w", err))
	}
	s.problem(s.growFileSystem(device, length))
	return nil
}

// growPartition makes the partition fill its disk and gives its length, in bytes.
func growPartition(device block.Device) (int64, error) {
	disk, err := block.Disk(device)
	if err != nil {
		return 0, err
	}
	f, err := os.OpenFile(disk.Node(), os.O_RDWR, 0)
	if err != nil {
		return 0, fmt.Errorf("grow partition: %w", err)
	}
	defer f.Close()
	table, changed, err := gpt.Grow(f, disk.Size, device.PartName)
	if err != nil {
		return 0, fmt.Errorf("grow partition of %s: %w", disk.Name, err)
	}
	p := table.Find(device.PartName)
	if p == nil {
		return 0, fmt.Errorf("grow partition of %s: %q is gone", disk.Name, device.PartName)
	}
	// The kernel may have an older size than the table, when the power went
	// between the two.
	if !changed && p.Size() == device.Size {
		return device.Size, nil
	}
	if err := f.Sync(); err != nil {
		return 0, fmt.Errorf("grow partition of %s: %w", disk.Name, err)
	}
	return p.Size(), block.ResizePartition(f, device.Partition, p.Offset(), p.Size())
}

// growFileSystem grows the mounted file system to the partition's length.
func (s *stage1) growFileSystem(device block.Device, length int64) error {
	super := device.Super
	if super.BlockSize == 0 {
		return errors.New("grow state: no superblock")
	}
	blocks := length / super.BlockSize
	// Less than one block group (8 times the block size, in blocks) may be too
	// little to add, and is no gain.
	if blocks-super.Blocks < 256 {
		return nil
	}
	if err := block.GrowExt4(layout.StateMount, blocks); err != nil {
		return err
	}
	s.con.Say("state grown from %d MiB to %d MiB", super.Blocks*super.BlockSize>>20, length>>20)
	return nil
}
