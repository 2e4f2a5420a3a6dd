package pid1

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"ashlar/internal/contract/layout"
)

// modulesDir is where programs look for the kernel's modules.
const modulesDir = "/usr/lib/modules"

// bareRoot are devices that are images themselves, as a microVM has them: no
// system partition, no generations.
type bareRoot struct {
	root    string // of layout.ParamRoot; "": the machine has a system partition
	modules string // of layout.ParamModules; "": none, or in the root
}

func (b bareRoot) given() bool { return b.root != "" }

// mountBare mounts a device that is an image, or an image that is a file of the
// initramfs, read-only. By name the kernel
// command line may know its hash tree.
func (s *stage1) mountBare(spec, name, target string, flags uintptr) error {
	if strings.HasPrefix(spec, "/") && !strings.HasPrefix(spec, "/dev/") {
		s.con.Say("image %s in memory", name)
		return s.mountFile(spec, target, flags)
	}
	device, err := s.wait(spec, time.Duration(s.boot.DiskWait)*time.Second)
	if err != nil {
		return fmt.Errorf("find image: %w", err)
	}
	s.con.Say("image %s on %s", name, device.Name)
	f, err := os.Open(device.Node())
	if err != nil {
		return fmt.Errorf("read image: %w", err)
	}
	defer f.Close()
	return s.mountImageOn(f, name, target, flags)
}

// mountBareModules may fail: the machine runs without.
func (s *stage1) mountBareModules() error {
	if s.bare.modules == "" {
		return nil
	}
	target := newRoot + modulesDir
	err := os.MkdirAll(target, 0o755)
	if err == nil {
		err = s.mountBare(s.bare.modules, layout.GenModules, target, unix.MS_NODEV|unix.MS_NOSUID|unix.MS_NOEXEC)
	}
	if err != nil {
		s.problem(fmt.Errorf("mount kernel modules: %w", err))
	}
	return nil
}

// imageTypes is the table of file systems that images may have: where their
// superblocks say so.
var imageTypes = []struct {
	kind  string
	at    int
	magic string
}{
	{"squashfs", 0, "hsqs"},
	{"erofs", 1024, "\xe2\xe1\xf5\xe0"},
	{"ext4", 1024 + 0x38, "\x53\xef"},
}

// imageType looks at the first bytes of a device.
func imageType(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("read image: %w", err)
	}
	defer f.Close()
	head := make([]byte, 2048)
	if _, err := f.ReadAt(head, 0); err != nil {
		return "", fmt.Errorf("read image %s: %w", path, err)
	}
	for _, t := range imageTypes {
		if bytes.HasPrefix(head[t.at:], []byte(t.magic)) {
			return t.kind, nil
		}
	}
	return "", fmt.Errorf("read image %s: it is neither squashfs nor EROFS nor ext4; is %s the right device?", path, layout.ParamRoot)
}
