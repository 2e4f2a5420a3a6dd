package rootfs

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ashlar/internal/foundation/tree"
)

const debianPasswd = "root:x:0:0:root:/root:/bin/bash\nwww-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\nmessagebus:x:999:998::/nonexistent:/usr/sbin/nologin\n"

const debianGroup = "root:x:0:\nadm:x:4:\nshadow:x:42:\nwww-data:x:33:backup,man\nnogroup:x:65534:\nmessagebus:x:998:\n"

// debianAccounts gives a tree with a few of Debian's accounts.
func debianAccounts(t *testing.T) *tree.Tree {
	t.Helper()
	root := &tree.Tree{}
	for name, text := range map[string]string{
		"etc/passwd": debianPasswd, "etc/group": debianGroup, "etc/shadow": "root:*:19000:0:99999:7:::\nwww-data:!:19000:0:99999:7:::\n", "etc/gshadow": "root:*::\n",
	} {
		if err := putFile(root, name, 0o644, text); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

const base1 = "[base]\nsuite = \"trixie\"\n"

// declared gives the four tables after a definition was applied; epoch is day 20000.
func declared(t *testing.T, root *tree.Tree, text string) (map[string]string, *accounts, error) {
	t.Helper()
	a, err := readAccounts(root)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.declare(parse(t, base1+text)); err != nil {
		return nil, nil, err
	}
	if err := a.write(root, 20000*86400+1234); err != nil {
		t.Fatal(err)
	}
	tables := map[string]string{}
	for _, name := range []string{"passwd", "group", "shadow", "gshadow"} {
		if root.Get("etc/"+name) != nil {
			tables[name] = textOf(t, root, "etc/"+name)
		}
	}
	return tables, a, nil
}

// TestAccountsStay writes what was read: sorted by number, nothing else.
func TestAccountsStay(t *testing.T) {
	root := debianAccounts(t)
	got, _, err := declared(t, root, "")
	if err != nil {
		t.Fatal(err)
	}
	shadow := ""
	for _, u := range []string{"root:*", "www-data:!", "messagebus:*", "nobody:*"} {
		shadow += u + ":20000:0:99999:7:::\n"
	}
	want := map[string]string{
		"passwd": "root:x:0:0:root:/root:/bin/bash\nwww-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\nmessagebus:x:999:998::/nonexistent:/usr/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
		"group":  "root:x:0:\nadm:x:4:\nwww-data:x:33:backup,man\nshadow:x:42:\nmessagebus:x:998:\nnogroup:x:65534:\n",
		"shadow": shadow, "gshadow": "root:*::\nadm:*::\nwww-data:*::backup,man\nshadow:*::\nmessagebus:*::\nnogroup:*::\n",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for name, mode := range map[string]string{"etc/passwd": "644 0:0", "etc/group": "644 0:0", "etc/shadow": "640 0:42", "etc/gshadow": "640 0:42"} {
		if e := root.Get(name); fmt.Sprintf("%o %d:%d", e.Mode, e.UID, e.GID) != mode {
			t.Errorf("/%s: %o %d:%d, want %s", name, e.Mode, e.UID, e.GID, mode)
		}
	}
}

func TestAccountsDeclared(t *testing.T) {
	hash := "$6$abcdefgh$" + strings.Repeat("x", 86)
	for _, c := range []struct {
		name, text string
		rows       map[string][]string // rows that a table must have
	}{
		{"plain users take the next numbers by name", "[users.zoe]\n[users.adam]\n", map[string][]string{
			"passwd": {"adam:x:1000:1000::/home/adam:/bin/bash", "zoe:x:1001:1001::/home/zoe:/bin/bash"}, "group": {"adam:x:1000:", "zoe:x:1001:"},
			"shadow": {"adam:*:20000:0:99999:7:::"}, "gshadow": {"zoe:*::"},
		}},
		{"system accounts go down and pass over what is taken", "[users.svc]\nsystem = true\n[groups.data]\nsystem = true\n", map[string][]string{
			"passwd": {"svc:x:997:997::/nonexistent:/usr/sbin/nologin"}, "group": {"data:x:999:", "svc:x:997:"},
		}},
		{"numbers, groups, home, shell, comment", "[users.u]\nuid = 1234\ngroups = [\"adm\", \"extra\"]\nhome = \"/srv/u\"\nshell = \"/bin/sh\"\ncomment = \"U U\"\n[groups.extra]\ngid = 77\n", map[string][]string{
			"passwd": {"u:x:1234:1234:U U:/srv/u:/bin/sh"}, "group": {"adm:x:4:u", "extra:x:77:u", "u:x:1234:"}, "gshadow": {"adm:*::u", "extra:*::u"},
		}},
		{"another primary group", "[users.u]\ngroup = \"www-data\"\n", map[string][]string{"passwd": {"u:x:1000:33::/home/u:/bin/bash"}}},
		{"a primary group by number", "[users.u]\ngroup = \"5\"\n", map[string][]string{"passwd": {"u:x:1000:5::/home/u:/bin/bash"}}},
		{"a package's account keeps its own", "[users.www-data]\ngroups = [\"adm\"]\n[users.root]\npassword = \"" + hash + "\"\n", map[string][]string{
			"passwd": {"www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin", "root:x:0:0:root:/root:/bin/bash"}, "group": {"adm:x:4:www-data"},
			"shadow": {"root:" + hash + ":20000:0:99999:7:::", "www-data:!:20000:0:99999:7:::"},
		}},
		{"a package's account is changed", "[users.www-data]\nhome = \"/srv\"\nshell = \"/bin/sh\"\nuid = 33\ncomment = \"web\"\n", map[string][]string{"passwd": {"www-data:x:33:33:web:/srv:/bin/sh"}}},
		{"a group that packages made", "[groups.adm]\n[groups.shadow]\ngid = 42\n", map[string][]string{"group": {"adm:x:4:", "shadow:x:42:"}}},
		{"the user's group has another number", "[groups.u]\ngid = 7\n[users.u]\n[users.adm]\nuid = 2000\n", map[string][]string{"passwd": {"u:x:1000:7::/home/u:/bin/bash", "adm:x:2000:4::/home/adm:/bin/bash"}}},
		{"the user's group is declared first", "[groups.u]\ngid = 1000\n[users.u]\n", map[string][]string{"passwd": {"u:x:1000:1000::/home/u:/bin/bash"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, _, err := declared(t, debianAccounts(t), c.text)
			if err != nil {
				t.Fatal(err)
			}
			for table, rows := range c.rows {
				for _, row := range rows {
					if !strings.Contains("\n"+got[table], "\n"+row+"\n") {
						t.Errorf("%s lacks %q:\n%s", table, row, got[table])
					}
				}
			}
		})
	}
}

func TestAccountsRefused(t *testing.T) {
	for text, want := range map[string]string{
		"[users.u]\nuid = 33\n":            "users.u: the number 33 is taken",
		"[users.www-data]\nuid = 1000\n":   "users.www-data: uid = 1000: the packages' account has the number 33",
		"[groups.adm]\ngid = 5\n":          "groups.adm: gid = 5: the packages' group adm has the number 4",
		"[groups.g]\ngid = 4\n":            "groups.g: the number 4 is taken",
		"[users.u]\ngroups = [\"none\"]\n": `users.u: groups: no group "none" in the image: declare it under [groups.none]`,
		"[users.u]\ngroup = \"none\"\n":    `users.u: no group "none" in the image: declare it under [groups.none]`,
	} {
		if _, _, err := declared(t, debianAccounts(t), text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	for file, text := range map[string]string{"etc/passwd": "root:x:0:0\n", "etc/group": "adm:x:four:\n", "etc/shadow": "root\n"} {
		root := debianAccounts(t)
		if err := putFile(root, file, 0o644, text); err != nil {
			t.Fatal(err)
		}
		if _, err := readAccounts(root); err == nil || !strings.Contains(err.Error(), "read /"+file+": line 1") {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// TestAccountsOfNothing has an image without packages.
func TestAccountsOfNothing(t *testing.T) {
	got, _, err := declared(t, &tree.Tree{}, "[users.app]\nsystem = true\n")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"passwd": "root:*:0:0:root:/root:/bin/sh\napp:*:999:999::/nonexistent:/usr/sbin/nologin\nnobody:*:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
		"group":  "root:*:0:\napp:*:999:\nnogroup:*:65534:\n",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestIDs(t *testing.T) {
	_, a, err := declared(t, debianAccounts(t), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ user, group, want string }{
		{"www-data", "", "33:33 <nil>"}, {"www-data", "adm", "33:4 <nil>"}, {"12", "34", "12:34 <nil>"}, {"", "", "0:0 <nil>"}, {"messagebus", "", "999:998 <nil>"},
		{"who", "", `0:0 no user "who" in the image: declare it under [users.who] or install the package that makes it`},
		{"root", "what", `0:0 no group "what" in the image: declare it under [groups.what] or install the package that makes it`},
	} {
		uid, gid, err := a.ids(c.user, c.group)
		if got := fmt.Sprintf("%d:%d %v", uid, gid, err); got != c.want {
			t.Errorf("%s, %s: %s, want %s", c.user, c.group, got, c.want)
		}
	}
}
