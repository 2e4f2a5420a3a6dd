package pid1

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"ashlar/internal/contract/layout"
	"ashlar/internal/contract/machine"
	"ashlar/internal/device/mount"
)

// fetchImages brings the images of a machine that starts from the network into
// memory, if the command line says where they are. From then on they are files
// like those of an initramfs that holds them.
func (s *stage1) fetchImages() error {
	base := s.cmdline.Or(layout.ParamNetRoot, "")
	if base == "" {
		return nil
	}
	config, _, err := askedNetwork(machine.Network{}, s.cmdline)
	if err != nil {
		return err
	}
	err = mount.One(mount.Point{Source: "tmpfs", Target: layout.NetDir, Type: "tmpfs", Flags: unix.MS_NOSUID | unix.MS_NODEV, Data: "mode=0700,size=100%"})
	if err != nil {
		return err
	}
	up, err := startNetwork(context.Background(), config, s.con.Say)
	s.problem(err) // whether it will do shows when the server is asked
	err = errors.Join(linkResolver(), runFetch(base))
	s.problem(closeNetwork(up)) // the second stage configures it as the image says
	if err != nil {
		return fmt.Errorf("fetch the root from %s: %w", base, err)
	}
	s.bare = bareRoot{root: layout.NetDir + "/" + layout.GenRoot}
	if modules := layout.NetDir + "/" + layout.GenModules; exists(modules) {
		s.bare.modules = modules
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// linkResolver lets the fetching program find name servers.
func linkResolver() error {
	if err := os.MkdirAll("/etc", 0o755); err != nil {
		return err
	}
	if err := os.Symlink(resolvConf, "/etc/resolv.conf"); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return nil
}

// runFetch runs the fetching program, which says on the console what it does.
func runFetch(base string) error {
	const program = "/" + layout.InitramfsFetch
	pid, err := syscall.ForkExec(program, []string{program, base, "/" + layout.InitramfsNet, layout.NetDir}, &syscall.ProcAttr{
		Env: []string{"HOME=/"}, Files: []uintptr{0, 1, 2},
	})
	if err != nil {
		return fmt.Errorf("start %s: %w", program, err)
	}
	var status syscall.WaitStatus
	for {
		_, err = syscall.Wait4(pid, &status, 0, nil)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err == nil && status != 0 {
		err = errors.New("the console says why")
	}
	return err
}
