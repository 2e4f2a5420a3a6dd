package block

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"ashlar/internal/foundation/digest"
)

// Verity is a device that the kernel checks each block of when it reads it, by
// a hash tree behind the image (dm-verity). A block that is not what it should be
// cannot be read.
type Verity struct {
	name string // of the mapping
	Node string // device node
}

// VerityTable says what a Verity is made of. Blocks have 4096 bytes, of data and
// of hashes; the tree's superblock is the first block behind the data.
type VerityTable struct {
	Device string // of the image and its tree: "MAJOR:MINOR"
	Blocks int64  // of data
	Root   digest.Digest
	Salt   []byte
}

const (
	verityBlock = 4096
	sector      = 512 // the device mapper's unit
	dmControl   = "/dev/" + unix.DM_DIR + "/" + unix.DM_CONTROL_NODE
)

// line is the table as the kernel reads it: Documentation/admin-guide/device-mapper/verity.rst.
func (v VerityTable) line() string {
	salt := "-"
	if len(v.Salt) > 0 {
		salt = hex.EncodeToString(v.Salt)
	}
	return fmt.Sprintf("1 %s %s %d %d %d %d sha256 %s %s", v.Device, v.Device, verityBlock, verityBlock, v.Blocks, v.Blocks+1, v.Root, salt)
}

// MapVerity makes a Verity of a name that no other has.
func MapVerity(name string, table VerityTable) (*Verity, error) {
	v := &Verity{name: name}
	err := v.create(table)
	if err != nil {
		return nil, fmt.Errorf("map %s by its hash tree: %w", name, err)
	}
	return v, nil
}

func (v *Verity) create(table VerityTable) error {
	made, err := v.control(unix.DM_DEV_CREATE, 0, nil)
	if err != nil {
		return fmt.Errorf("create device: %w", err)
	}
	spec := unix.DmTargetSpec{Length: uint64(table.Blocks) * (verityBlock / sector)}
	copy(spec.Target_type[:], "verity")
	line := table.line()
	spec.Next = uint32((unix.SizeofDmTargetSpec + len(line) + 1 + 7) &^ 7)
	payload := make([]byte, spec.Next)
	copy(payload, unsafe.Slice((*byte)(unsafe.Pointer(&spec)), unix.SizeofDmTargetSpec))
	copy(payload[unix.SizeofDmTargetSpec:], line)
	if _, err = v.control(unix.DM_TABLE_LOAD, unix.DM_READONLY_FLAG, payload); err != nil {
		err = fmt.Errorf("load table %q: %w", line, err)
	} else if _, err = v.control(unix.DM_DEV_SUSPEND, 0, nil); err != nil { // without its flag this resumes
		err = fmt.Errorf("resume device: %w", err)
	}
	if err != nil {
		return errors.Join(err, v.remove(0))
	}
	v.Node = fmt.Sprintf("/dev/dm-%d", unix.Minor(made.Dev))
	return nil
}

// Release has the kernel remove the device when its last user, the mount, goes.
func (v *Verity) Release() error { return v.remove(unix.DM_DEFERRED_REMOVE) }

func (v *Verity) remove(flags uint32) error {
	if _, err := v.control(unix.DM_DEV_REMOVE, flags, nil); err != nil {
		return fmt.Errorf("remove device %s: %w", v.name, err)
	}
	return nil
}

// Damaged reports whether the kernel has met a block that is not what it should be.
func (v *Verity) Damaged() bool {
	answer := make([]byte, 1024)
	if _, err := v.control(unix.DM_TABLE_STATUS, 0, answer); err != nil || len(answer) < unix.SizeofDmTargetSpec {
		return false
	}
	return strings.HasPrefix(string(answer[unix.SizeofDmTargetSpec:]), "C") // "V": all that was read is as it should be
}

// control asks the device mapper for something. The payload goes with it, and
// the answer's comes back in it.
func (v *Verity) control(request uint, flags uint32, payload []byte) (unix.DmIoctl, error) {
	f, err := os.OpenFile(dmControl, os.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return unix.DmIoctl{}, err
	}
	defer f.Close()
	// As 64-bit words, for the alignment that the kernel's structures have.
	buffer := make([]uint64, (unix.SizeofDmIoctl+len(payload)+7)/8)
	raw := unsafe.Slice((*byte)(unsafe.Pointer(&buffer[0])), len(buffer)*8)
	head := (*unix.DmIoctl)(unsafe.Pointer(&buffer[0]))
	head.Version = [3]uint32{unix.DM_VERSION_MAJOR, 0, 0} // the oldest minor: all that is asked for is in it
	head.Data_size, head.Data_start = uint32(len(raw)), unix.SizeofDmIoctl
	head.Flags = flags
	copy(head.Name[:unix.DM_NAME_LEN-1], v.name)
	if payload != nil {
		head.Target_count = 1
		copy(raw[unix.SizeofDmIoctl:], payload)
	}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), uintptr(request), uintptr(unsafe.Pointer(head)))
	if errno != 0 {
		return unix.DmIoctl{}, errno
	}
	copy(payload, raw[unix.SizeofDmIoctl:])
	return *head, nil
}

// NumberOf gives "MAJOR:MINOR" of a block device that is open.
func NumberOf(f *os.File) (string, error) {
	var stat unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &stat); err != nil {
		return "", fmt.Errorf("look at %s: %w", filepath.Base(f.Name()), err)
	}
	return fmt.Sprintf("%d:%d", unix.Major(stat.Rdev), unix.Minor(stat.Rdev)), nil
}
