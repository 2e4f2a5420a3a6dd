package block

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Disk gives the disk that a partition lies on.
func Disk(partition Device) (Device, error) {
	if partition.Partition == 0 {
		return Device{}, fmt.Errorf("find disk of %s: it is no partition", partition.Name)
	}
	// /sys/class/block/vda3 links to …/block/vda/vda3.
	target, err := filepath.EvalSymlinks("/sys/class/block/" + partition.Name)
	if err != nil {
		return Device{}, fmt.Errorf("find disk of %s: %w", partition.Name, err)
	}
	dir := filepath.Dir(target)
	return describe(dir, filepath.Base(dir)), nil
}

// ResizePartition tells the kernel the extent of a partition, in bytes. It
// works on partitions in use.
func ResizePartition(disk *os.File, number int, start, length int64) error {
	part := unix.BlkpgPartition{Start: start, Length: length, Pno: int32(number)}
	arg := unix.BlkpgIoctlArg{
		Op:      unix.BLKPG_RESIZE_PARTITION,
		Datalen: int32(unsafe.Sizeof(part)),
		Data:    (*byte)(unsafe.Pointer(&part)),
	}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, disk.Fd(), unix.BLKPG, uintptr(unsafe.Pointer(&arg)))
	runtime.KeepAlive(&part)
	if errno != 0 {
		return fmt.Errorf("resize partition %d of %s in the kernel: %w", number, disk.Name(), errno)
	}
	return nil
}

// ext4Resize is EXT4_IOC_RESIZE_FS: _IOW('f', 16, __u64), fs/ext4/ext4.h.
const ext4Resize = 0x40086610

// GrowExt4 grows the mounted file system to the number of its blocks.
func GrowExt4(mountpoint string, blocks int64) error {
	dir, err := os.Open(mountpoint)
	if err != nil {
		return fmt.Errorf("grow file system: %w", err)
	}
	defer dir.Close()
	count := uint64(blocks)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, dir.Fd(), ext4Resize, uintptr(unsafe.Pointer(&count)))
	if errno != 0 {
		return fmt.Errorf("grow file system at %s to %d blocks: %w", mountpoint, blocks, errno)
	}
	return nil
}
