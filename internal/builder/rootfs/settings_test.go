package rootfs

import (
	"fmt"
	"strings"
	"testing"

	"ashlar/internal/contract/layout"
	"ashlar/internal/contract/machine"
	"ashlar/internal/foundation/tree"
)

// treeOf makes a tree of files; a text that begins with "-> " is a link.
func treeOf(t *testing.T, files map[string]string) *tree.Tree {
	t.Helper()
	root := &tree.Tree{}
	for name, text := range files {
		err := error(nil)
		switch target, isLink := strings.CutPrefix(text, "-> "); {
		case isLink:
			err = putLink(root, name, target)
		case text == "dir":
			if err = root.AddParents(name, 0o755, 0); err == nil {
				err = root.Put(tree.NewDir(name, 0o755))
			}
		default:
			err = putFile(root, name, 0o644, text)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestSettings(t *testing.T) {
	root := treeOf(t, map[string]string{
		"usr/share/zoneinfo/Europe/Berlin": "TZif", "usr/lib/locale/locale-archive": "x", "etc/mailname": "builder\n",
		"etc/localtime": "-> /usr/share/zoneinfo/Etc/UTC", "etc/resolv.conf": "nameserver 192.0.2.1\n", "etc/machine-id": "0123\n",
	})
	if err := applySettings(root, parse(t, "hostname = \"box.example.org\"\ntimezone = \"Europe/Berlin\"\nlocale = \"de_DE.UTF-8\"\n"+base1)); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"etc/hostname": "box.example.org\n", "etc/mailname": "box.example.org\n", "etc/machine-id": "", "etc/default/locale": "LANG=de_DE.UTF-8\n",
		"etc/localtime": "-> /usr/share/zoneinfo/Europe/Berlin", "etc/timezone": "Europe/Berlin\n", "etc/resolv.conf": "-> " + layout.RunDir + "/resolv.conf",
		"etc/hosts": "127.0.0.1\tlocalhost\n127.0.1.1\tbox.example.org\n\n::1\tlocalhost ip6-localhost ip6-loopback\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n",
	} {
		if got := textOf(t, root, name); got != want {
			t.Errorf("/%s: %q, want %q", name, got, want)
		}
	}
	if mode := root.Get("etc/machine-id").Mode; mode != 0o444 {
		t.Errorf("machine-id: %o", mode)
	}
	plain := &tree.Tree{}
	if err := applySettings(plain, parse(t, base1)); err != nil {
		t.Fatal(err)
	}
	if plain.Get("etc/mailname") != nil || textOf(t, plain, "etc/hostname") != "m\n" || textOf(t, plain, "etc/localtime") != "-> /usr/share/zoneinfo/Etc/UTC" {
		t.Errorf("defaults: %q", plain.Paths())
	}
}

func TestSettingsRefused(t *testing.T) {
	for text, want := range map[string]string{
		"timezone = \"Europe/Berlin\"\n": `timezone "Europe/Berlin": the image has no /usr/share/zoneinfo/Europe/Berlin: add the package tzdata`,
		"locale = \"de_DE.UTF-8\"\n":     `locale "de_DE.UTF-8": the image has no locale but C.UTF-8: add the package locales`,
	} {
		if err := applySettings(&tree.Tree{}, parse(t, text+base1)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

const aKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGjvxyzyTzLrNMJHnO2vBVSvgxEgSZJjY0T0u7fS2mQ4 me@home"

func TestKeys(t *testing.T) {
	def := parse(t, base1+"[users.me]\nkeys = [\""+aKey+"\"]\n")
	root := treeOf(t, map[string]string{"etc/ssh/sshd_config": "x\n"})
	if err := applyKeys(root, def); err != nil {
		t.Fatal(err)
	}
	if got := textOf(t, root, "etc/ssh/authorized_keys.d/me"); got != aKey+"\n" {
		t.Errorf("keys: %q", got)
	}
	if got := textOf(t, root, "etc/ssh/sshd_config.d/10-ashlar.conf"); got != "AuthorizedKeysFile .ssh/authorized_keys /etc/ssh/authorized_keys.d/%u\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n" {
		t.Errorf("configuration: %q", got)
	}
	if err := applyKeys(&tree.Tree{}, def); err == nil || !strings.Contains(err.Error(), "add the package openssh-server") {
		t.Errorf("no server: %v", err)
	}
	password := parse(t, base1+"[users.me]\npassword = \"$6$abcdefgh$"+strings.Repeat("x", 86)+"\"\n")
	root = treeOf(t, map[string]string{"etc/ssh/sshd_config": "x\n"})
	if err := applyKeys(root, password); err != nil {
		t.Fatal(err)
	}
	if got := textOf(t, root, "etc/ssh/sshd_config.d/10-ashlar.conf"); strings.Contains(got, "PasswordAuthentication") {
		t.Errorf("a password can't be used: %q", got)
	}
	if err := applyKeys(&tree.Tree{}, parse(t, base1)); err != nil {
		t.Errorf("neither keys nor server: %v", err)
	}
}

func TestHomes(t *testing.T) {
	root := debianAccounts(t)
	text := "[users.me]\n[users.there]\nhome = \"/srv/there\"\n[users.svc]\nsystem = true\n[users.www-data]\n"
	_, a, err := declared(t, root, text)
	if err != nil {
		t.Fatal(err)
	}
	if err := root.AddParents("srv/there/x", 0o711, 0); err != nil {
		t.Fatal(err)
	}
	if err := applyHomes(root, parse(t, base1+text), a); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"home/me": "dir 750 1000:1000", "srv/there": "dir 711 0:0", "var/www": "dir 750 33:33", "home": "dir 755 0:0"} {
		if e := root.Get(name); e == nil || fmt.Sprintf("%s %o %d:%d", e.Kind, e.Mode, e.UID, e.GID) != want {
			t.Errorf("/%s: %+v, want %s", name, e, want)
		}
	}
	if root.Get("nonexistent") != nil || root.Get("home/www-data") != nil || root.Get("home/svc") != nil {
		t.Errorf("a home too many: %q", root.Paths())
	}
}

func TestState(t *testing.T) {
	root := treeOf(t, map[string]string{"var/lib/there": "dir", "etc/there": "x", "var/run": "-> /run", "run": "dir"})
	err := applyState(root, []machine.State{
		{Path: "/var/lib/there", Kind: "dir", Mode: 0o700, UID: 5}, {Path: "/etc/there", Kind: "file", Mode: 0o600},
		{Path: "/var/lib/new", Kind: "dir", Mode: 0o2750, UID: 33, GID: 4}, {Path: "/var/run/new", Kind: "file", Mode: 0o640, GID: 4},
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"var/lib/there": "dir 755 0:0", "etc/there": "file 644 0:0", "var/lib/new": "dir 2750 33:4", "run/new": "file 640 0:4",
	} {
		if e := root.Get(name); e == nil || fmt.Sprintf("%s %o %d:%d", e.Kind, e.Mode, e.UID, e.GID) != want {
			t.Errorf("/%s: %+v, want %s", name, e, want)
		}
	}
	for kind, name := range map[string]string{"file": "/var/lib/there", "dir": "/etc/there"} {
		if err := applyState(root, []machine.State{{Path: name, Kind: kind}}); err == nil || !strings.Contains(err.Error(), "state "+name+": declared as "+kind) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestServicesChecked(t *testing.T) {
	root := treeOf(t, map[string]string{"usr/bin/data": "x", "usr/bin/prog": "x", "bin": "-> usr/bin", "usr/bin/link": "-> prog", "srv": "dir"})
	root.Get("usr/bin/prog").Mode = 0o755
	ok := machine.Service{Name: "ok", Exec: []string{"/bin/link"}, ExecReload: []string{"/usr/bin/prog"}, ExecPre: []machine.Command{{"/bin/prog"}}, User: "daemon"}
	if err := checkServices(root, []machine.Service{ok}, testAccounts()); err != nil {
		t.Error(err)
	}
	err := checkServices(root, []machine.Service{
		{Name: "a", Exec: []string{"/bin/absent"}}, {Name: "b", Exec: []string{"/bin/data"}}, {Name: "c", Exec: []string{"/srv"}},
		{Name: "d", Exec: []string{"/bin/prog"}, User: "stranger"}, {Name: "e", Exec: []string{"/bin/prog"}, ExecPre: []machine.Command{{"/bin/none"}}},
	}, testAccounts())
	for _, want := range []string{
		"services.a: the image has no /bin/absent", "services.b: /bin/data in the image is not an executable file", "services.c: /srv in the image is not",
		`services.d: no user "stranger"`, "services.e: the image has no /bin/none",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nlacks %s", err, want)
		}
	}
}
