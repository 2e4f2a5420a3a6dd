// Testguest is the whole user space of a test machine: it has the kernel mount
// the first disk as ISO 9660 and says on the console what it sees there, a JSON
// object a line behind "entry: ".
package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Entry is a line.
type Entry struct {
	Path, Target, Sum   string
	Mode, UID, GID      uint32
	Major, Minor, Links uint32
	MTime, Size         int64
}

func main() {
	if err := run(); err != nil {
		fmt.Println("guest: error:", err)
	}
	fmt.Println("guest: done")
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF); err != nil {
		fmt.Println("guest: power off:", err)
	}
	select {}
}

func run() error {
	for _, dir := range []string{"/dev", "/cd"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := unix.Mount("devtmpfs", "/dev", "devtmpfs", 0, ""); err != nil {
		return fmt.Errorf("mount /dev: %w", err)
	}
	const compressed = 4 // MODULE_INIT_COMPRESSED_FILE
	for _, name := range []string{"virtio_blk", "cdrom", "isofs"} {
		file, err := os.Open("/" + name + ".ko.xz")
		if err != nil {
			return err
		}
		if err := unix.FinitModule(int(file.Fd()), "", compressed); err != nil {
			return fmt.Errorf("load %s: %w", name, err)
		}
		file.Close()
	}
	if err := unix.Mount("/dev/vda", "/cd", "iso9660", unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("mount the CD: %w", err)
	}
	return filepath.WalkDir("/cd", func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return say(path)
	})
}

func say(path string) error {
	rel, err := filepath.Rel("/cd", path)
	if err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return err
	}
	e := Entry{
		Path: rel, Mode: st.Mode, UID: st.Uid, GID: st.Gid, Links: uint32(st.Nlink), MTime: st.Mtim.Sec,
		Major: unix.Major(st.Rdev), Minor: unix.Minor(st.Rdev),
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		e.Target, err = os.Readlink(path)
	case unix.S_IFREG:
		e.Size = st.Size
		e.Sum, err = sum(path)
	}
	if err != nil {
		return err
	}
	line, err := json.Marshal(e)
	fmt.Printf("entry: %s\n", line)
	return err
}

func sum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)), err
}
