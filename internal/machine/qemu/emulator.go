// Package qemu runs a machine in QEMU: an emulator as a value, a machine's
// hardware as data, and a running machine with its serial line, its agent
// channel and its forwarded ports.
//
// An Emulator is either Debian packages unpacked into one directory, run from
// there with their own C library and nothing installed, or the QEMU on PATH.
// Software emulation is the default; see Accel.
//
// A VM owns one process and one private directory, both gone after Close. It
// waits for events of the emulator and the guest and never by the clock.
// Not done: graphics, snapshots of memory, migration, other architectures.
package qemu

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Emulator is a QEMU that can be started.
type Emulator struct {
	command  []string // program and the arguments before all others
	env      []string // besides TMPDIR
	firmware []string // directories with OVMF's files
}

const programName = "qemu-system-x86_64"

// Need names the packages of an unpacked emulator.
type Need struct {
	Packages []string // with all they depend on
	Without  []string // dependencies that are not followed: maintainer scripts and other machines' hardware ask for them
}

// Packages says what FromRoot needs, in Debian's names: of 91 packages and
// 44 MB in trixie it leaves 50 and 33 MB.
func Packages() Need {
	return Need{
		Packages: []string{"ovmf", "qemu-system-data", "qemu-system-x86", "seabios"},
		Without: []string{
			"adduser", "debconf", "gcc-14-base", "ipxe-qemu", "libcap-ng0", "libexecs1", "libsasl2-modules-db",
			"openssl-provider-legacy", "passwd", "qemu-system-common",
		},
	}
}

// Wanted reports whether the emulator uses a file of its packages: of 153 MB
// unpacked it leaves 98.
func Wanted(path string) bool {
	if strings.HasPrefix(path, "usr/bin/") {
		return path == "usr/bin/"+programName
	}
	for _, prefix := range []string{"lib", "usr/lib", "usr/share/qemu/", "usr/share/seabios/", "usr/share/OVMF/"} {
		if strings.HasPrefix(path, prefix) {
			return true
		}
	}
	return false
}

// FromRoot is the emulator of packages unpacked into dir.
func FromRoot(dir string) (*Emulator, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("use emulator in %s: %w", dir, err)
	}
	in := func(path string) string { return filepath.Join(dir, path) }
	loader, err := firstFile(
		in("usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"), // merged /usr
		in("lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"),
	)
	if err != nil {
		return nil, fmt.Errorf("use emulator in %s: its C library: %w", dir, err)
	}
	program, err := firstFile(in("usr/bin/" + programName))
	if err != nil {
		return nil, fmt.Errorf("use emulator in %s: %w", dir, err)
	}
	libraries := in("usr/lib/x86_64-linux-gnu") + ":" + in("lib/x86_64-linux-gnu")
	return &Emulator{
		command: []string{
			loader, "--inhibit-cache", "--library-path", libraries, program,
			"-L", in("usr/share/qemu"), "-L", in("usr/share/seabios"), "-L", in("usr/lib/ipxe/qemu"),
		},
		env:      []string{"LC_ALL=C", "QEMU_MODULE_DIR=" + in("usr/lib/x86_64-linux-gnu/qemu")},
		firmware: []string{in("usr/share/OVMF")},
	}, nil
}

// FromPath is the QEMU that is installed on this host.
func FromPath() (*Emulator, error) {
	program, err := exec.LookPath(programName)
	if err != nil {
		return nil, fmt.Errorf("use the installed emulator: %w", err)
	}
	return &Emulator{
		command:  []string{program},
		env:      append(os.Environ(), "LC_ALL=C"),
		firmware: []string{"/usr/share/OVMF", "/usr/share/edk2/x64", "/usr/share/edk2/ovmf", "/usr/share/qemu"},
	}, nil
}

func firstFile(paths ...string) (string, error) {
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path, nil
		}
	}
	return "", fmt.Errorf("none of %s: %w", strings.Join(paths, ", "), os.ErrNotExist)
}

// firmwareFiles finds OVMF's code and its variables by the names distributions
// give them.
func (e *Emulator) firmwareFiles(secure bool) (code, vars string, err error) {
	codes, stores := []string{"OVMF_CODE_4M.fd", "OVMF_CODE.4m.fd"}, []string{"OVMF_VARS_4M.fd", "OVMF_VARS.4m.fd"}
	if secure {
		codes, stores = []string{"OVMF_CODE_4M.secboot.fd", "OVMF_CODE.secboot.4m.fd"}, []string{"OVMF_VARS_4M.ms.fd"}
	}
	find := func(names []string) (string, error) {
		var paths []string
		for _, dir := range e.firmware {
			for _, name := range names {
				paths = append(paths, filepath.Join(dir, name))
			}
		}
		return firstFile(paths...)
	}
	code, codeErr := find(codes)
	vars, varsErr := find(stores)
	if err := errors.Join(codeErr, varsErr); err != nil {
		return "", "", fmt.Errorf("find UEFI firmware: %w", err)
	}
	return code, vars, nil
}
