package pid1

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"ashlar/internal/contract/layout"
	"ashlar/internal/contract/machine"
)

// servicesGroup is the control group below which each service has its own.
const servicesGroup = "/sys/fs/cgroup/ashlar"

// prepareSystem does what a machine needs before its first service.
func prepareSystem(m machine.Machine) error {
	return errors.Join(
		setHostname(m),
		setSysctls("/proc/sys", m.Sysctl),
		makeRunDirs(),
		linkDescriptors(),
	)
}

func setHostname(m machine.Machine) error {
	name := m.Hostname
	if name == "" {
		name = m.Name
	}
	if name == "" {
		return nil
	}
	if err := unix.Sethostname([]byte(name)); err != nil {
		return fmt.Errorf("set host name %q: %w", name, err)
	}
	return nil
}

// setSysctls writes the settings. Names are written as sysctl(8) takes them:
// dots between elements, or slashes where an element has dots.
func setSysctls(proc string, settings []machine.Setting) error {
	var failed []error
	for _, set := range settings {
		name := set.Name
		if !strings.Contains(name, "/") {
			name = strings.ReplaceAll(name, ".", "/")
		}
		if !filepath.IsLocal(name) {
			failed = append(failed, fmt.Errorf("set sysctl %q: no such name", set.Name))
			continue
		}
		if err := writeExisting(filepath.Join(proc, name), set.Value+"\n"); err != nil {
			failed = append(failed, fmt.Errorf("set sysctl %s: %w", set.Name, err))
		}
	}
	return errors.Join(failed...)
}

func writeExisting(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

func makeRunDirs() error {
	var failed []error
	for _, d := range []struct {
		path string
		mode uint32
	}{
		{"/run/lock", 0o1777},
		{"/run/user", 0o755},
		{layout.RunDir, 0o755},
		{layout.LogDir, 0o755},
	} {
		err := os.MkdirAll(d.path, 0o755)
		if err == nil {
			err = unix.Chmod(d.path, d.mode)
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("make %s: %w", d.path, err))
		}
	}
	return errors.Join(failed...)
}

// linkDescriptors makes the links in /dev that udev makes elsewhere.
func linkDescriptors() error {
	var failed []error
	for _, l := range [][2]string{
		{"/proc/self/fd", "/dev/fd"},
		{"fd/0", "/dev/stdin"},
		{"fd/1", "/dev/stdout"},
		{"fd/2", "/dev/stderr"},
	} {
		if err := os.Symlink(l[0], l[1]); err != nil && !errors.Is(err, os.ErrExist) {
			failed = append(failed, fmt.Errorf("link %s: %w", l[1], err))
		}
	}
	return errors.Join(failed...)
}

// makeServicesGroup gives the directory for the services' control groups, or
// "" where the kernel has none.
func makeServicesGroup() string {
	if err := os.MkdirAll(servicesGroup, 0o755); err != nil {
		return ""
	}
	if _, err := os.Stat(servicesGroup + "/cgroup.procs"); err != nil {
		return ""
	}
	return servicesGroup
}

// baseEnvironment is what every service starts with; the language is the
// image's.
func baseEnvironment() []string {
	lang := "C.UTF-8"
	for _, path := range []string{"/etc/default/locale", "/etc/locale.conf"} {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		if value := shellValue(string(text), "LANG"); value != "" {
			lang = value
			break
		}
	}
	return []string{"PATH=" + defaultPath, "LANG=" + lang}
}

// shellValue gives the value of an assignment in a file of such lines.
func shellValue(text, key string) string {
	for _, line := range strings.Split(text, "\n") {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), key+"="); ok {
			return strings.Trim(value, `"'`)
		}
	}
	return ""
}
