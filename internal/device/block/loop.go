package block

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// AttachLoop makes a read-only loop device over the file. The device frees
// itself when its last user (the mount) goes; the caller closes the file that
// is returned after mounting, and Name() of it is the device node.
//
// Direct I/O is asked for, so that the image is not cached twice, and given up
// where the file system below cannot do it.
func AttachLoop(image string) (*os.File, error) {
	backing, err := os.Open(image)
	if err != nil {
		return nil, fmt.Errorf("attach loop device: %w", err)
	}
	defer backing.Close()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("attach loop device to %s: %w", image, err)
	}
	defer control.Close()
	const attempts = 16 // another user may take the free device first
	for range attempts {
		number, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, fmt.Errorf("find free loop device: %w", err)
		}
		loop, err := os.OpenFile(fmt.Sprintf("/dev/loop%d", number), os.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, fmt.Errorf("attach loop device to %s: %w", image, err)
		}
		err = configureLoop(loop, backing, image)
		if err == nil {
			return loop, nil
		}
		loop.Close()
		if !errors.Is(err, unix.EBUSY) {
			return nil, fmt.Errorf("attach %s to %s: %w", loop.Name(), image, err)
		}
	}
	return nil, fmt.Errorf("attach loop device to %s: all are taken", image)
}

func configureLoop(loop, backing *os.File, name string) error {
	config := unix.LoopConfig{Fd: uint32(backing.Fd())}
	copy(config.Info.File_name[:len(config.Info.File_name)-1], name)
	config.Info.Flags = unix.LO_FLAGS_READ_ONLY | unix.LO_FLAGS_AUTOCLEAR | unix.LO_FLAGS_DIRECT_IO
	err := unix.IoctlLoopConfigure(int(loop.Fd()), &config)
	if errors.Is(err, unix.EINVAL) {
		config.Info.Flags &^= unix.LO_FLAGS_DIRECT_IO
		err = unix.IoctlLoopConfigure(int(loop.Fd()), &config)
	}
	return err
}
