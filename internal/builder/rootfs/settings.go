package rootfs

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"ashlar/internal/builder/definition"
	"ashlar/internal/contract/layout"
	"ashlar/internal/contract/machine"
	"ashlar/internal/foundation/tree"
)

// putFile makes or replaces a root-owned file and the directories above it.
func putFile(t *tree.Tree, name string, mode uint32, text string) error {
	if err := t.AddParents(name, 0o755, 0); err != nil {
		return err
	}
	t.Remove(name)
	return t.Put(tree.NewFile(name, mode, []byte(text)))
}

func putLink(t *tree.Tree, name, target string) error {
	if err := t.AddParents(name, 0o755, 0); err != nil {
		return err
	}
	t.Remove(name)
	return t.Put(tree.NewSymlink(name, target))
}

// applySettings writes what the definition says about the machine as a whole.
func applySettings(t *tree.Tree, def *definition.Definition) error {
	hosts := "127.0.0.1\tlocalhost\n127.0.1.1\t" + def.Hostname + "\n\n::1\tlocalhost ip6-localhost ip6-loopback\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n"
	err := errors.Join(
		putFile(t, "etc/hostname", 0o644, def.Hostname+"\n"),
		putFile(t, "etc/hosts", 0o644, hosts),
		putFile(t, "etc/fstab", 0o644, "# The root and the declared state are mounted by ashlar-init.\n"),
		putFile(t, "etc/machine-id", 0o444, ""),
		putLink(t, "etc/resolv.conf", layout.RunDir+"/resolv.conf"),
		putFile(t, "etc/default/locale", 0o644, "LANG="+def.Locale+"\n"),
		setTimezone(t, def.Timezone),
		checkLocale(t, def.Locale),
	)
	if t.Get("etc/mailname") != nil {
		err = errors.Join(err, putFile(t, "etc/mailname", 0o644, def.Hostname+"\n"))
	}
	return err
}

func setTimezone(t *tree.Tree, zone string) error {
	file := "usr/share/zoneinfo/" + zone
	if t.Lookup(file) == nil && !isUTC(zone) {
		return fmt.Errorf("timezone %q: the image has no /%s: add the package tzdata, or check the name", zone, file)
	}
	return errors.Join(putLink(t, "etc/localtime", "/"+file), putFile(t, "etc/timezone", 0o644, zone+"\n"))
}

func isUTC(zone string) bool { return zone == "Etc/UTC" || zone == "UTC" }

func checkLocale(t *tree.Tree, locale string) error {
	if builtinLocale(locale) || t.Get("usr/lib/locale/locale-archive") != nil {
		return nil
	}
	return fmt.Errorf("locale %q: the image has no locale but C.UTF-8: add the package locales", locale)
}

func builtinLocale(locale string) bool {
	return locale == "" || locale == "C" || locale == "POSIX" || locale == "C.UTF-8"
}

// applyKeys puts SSH keys where the machine's sshd finds them whatever happens
// to home directories, and closes password logins that nobody can use.
func applyKeys(t *tree.Tree, def *definition.Definition) error {
	const dir = "etc/ssh/authorized_keys.d/"
	passwords, keys := false, false
	for _, name := range slices.Sorted(maps.Keys(def.Users)) {
		u := def.Users[name]
		passwords = passwords || u.Password != ""
		if len(u.Keys) == 0 {
			continue
		}
		keys = true
		if err := putFile(t, dir+name, 0o644, strings.Join(u.Keys, "\n")+"\n"); err != nil {
			return err
		}
	}
	if t.Get("etc/ssh/sshd_config") == nil {
		if keys {
			return errors.New("users have SSH keys, but the image has no SSH server: add the package openssh-server")
		}
		return nil
	}
	config := "AuthorizedKeysFile .ssh/authorized_keys /" + dir + "%u\n"
	if !passwords {
		config += "PasswordAuthentication no\nKbdInteractiveAuthentication no\n"
	}
	return putFile(t, "etc/ssh/sshd_config.d/10-ashlar.conf", 0o644, config)
}

// applyHomes makes the home directories of declared users.
func applyHomes(t *tree.Tree, def *definition.Definition, a *accounts) error {
	for _, name := range slices.Sorted(maps.Keys(def.Users)) {
		u := a.user(name)
		home := strings.TrimPrefix(u.home, "/")
		if home == "nonexistent" || home == "" || t.Lookup(home) != nil {
			continue
		}
		d := tree.NewDir(home, 0o750)
		d.UID, d.GID = u.uid, u.gid
		if err := errors.Join(t.AddParents(home, 0o755, 0), t.Put(d)); err != nil {
			return fmt.Errorf("make home of %s: %w", name, err)
		}
	}
	return nil
}

// applyState makes sure that every declared path exists, to be mounted on.
func applyState(t *tree.Tree, states []machine.State) error {
	for _, s := range states {
		name, err := t.Resolve(strings.TrimPrefix(s.Path, "/"))
		if err != nil {
			return err
		}
		e := t.Get(name)
		wantDir := s.Kind == "dir"
		if e != nil && e.IsDir() != wantDir {
			return fmt.Errorf("state %s: declared as %s, but the image has a %s there", s.Path, s.Kind, e.Kind)
		}
		if e != nil {
			continue
		}
		made := tree.NewFile(name, s.Mode, nil)
		if wantDir {
			made = tree.NewDir(name, s.Mode)
		}
		made.UID, made.GID = s.UID, s.GID
		if err := errors.Join(t.AddParents(name, 0o755, 0), t.Put(made)); err != nil {
			return fmt.Errorf("state %s: %w", s.Path, err)
		}
	}
	return nil
}

// checkServices refuses services whose program or user the image does not have.
func checkServices(t *tree.Tree, services []machine.Service, a *accounts) error {
	var errs []error
	for _, s := range services {
		if _, _, err := a.ids(s.User, s.Group); err != nil {
			errs = append(errs, fmt.Errorf("services.%s: %w", s.Name, err))
		}
		commands := append([]machine.Command{s.Exec, s.ExecReload}, s.ExecPre...)
		for _, c := range commands {
			if len(c) == 0 {
				continue
			}
			e := t.Lookup(strings.TrimPrefix(c[0], "/"))
			switch {
			case e == nil:
				errs = append(errs, fmt.Errorf("services.%s: the image has no %s: is its package in packages?", s.Name, c[0]))
			case e.Kind != tree.File || e.Mode&0o111 == 0:
				errs = append(errs, fmt.Errorf("services.%s: %s in the image is not an executable file", s.Name, c[0]))
			}
		}
	}
	return errors.Join(errs...)
}

// putMachine writes the file that PID 1 reads.
func putMachine(t *tree.Tree, m machine.Machine) error {
	data, err := json.MarshalIndent(m, "", "\t")
	if err != nil {
		return err
	}
	return putFile(t, layout.MachineFile, 0o444, string(data)+"\n")
}

// putDevice puts the device binary into the image, with the names by which it
// is called there.
func putDevice(t *tree.Tree, binary tree.Entry) error {
	binary.Path, binary.Mode = layout.InitBinary, 0o555
	err := errors.Join(t.AddParents(binary.Path, 0o755, 0), t.Put(binary))
	rel := path.Join("..", strings.TrimPrefix(layout.InitBinary, "usr/"))
	return errors.Join(err, putLink(t, "usr/sbin/ashlar", rel))
}
