package rootfs

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strconv"
	"strings"

	"ashlar/internal/builder/definition"
	"ashlar/internal/foundation/tree"
)

// The ranges that numbers are taken from (Debian Policy 9.2.2).
const (
	firstSystemID = 999 // downwards, apart from those that packages take upwards from 100
	firstUserID   = 1000
)

// accounts is the content of passwd, group, shadow and gshadow.
type accounts struct {
	users  []account
	groups []accountGroup
	shadow map[string]string // password field by user name
	// passwords and members of gshadow follow from group: nobody administers
	// groups on a read-only system.
	hasShadow bool
}

type account struct {
	name, comment, home, shell string
	password                   string // field of passwd when there is no shadow
	uid, gid                   uint32
}

type accountGroup struct {
	name    string
	gid     uint32
	members []string
}

func readAccounts(t *tree.Tree) (*accounts, error) {
	a := &accounts{shadow: map[string]string{}}
	err := readTable(t, "etc/passwd", 7, func(f []string) error {
		uid, gid, err := parseIDs(f[2], f[3])
		a.users = append(a.users, account{f[0], f[4], f[5], f[6], f[1], uid, gid})
		return err
	})
	err = errors.Join(err, readTable(t, "etc/group", 4, func(f []string) error {
		gid, _, err := parseIDs(f[2], "0")
		var members []string
		if f[3] != "" {
			members = strings.Split(f[3], ",")
		}
		a.groups = append(a.groups, accountGroup{f[0], gid, members})
		return err
	}))
	if len(a.users) == 0 {
		a.seed()
	}
	a.hasShadow = t.Get("etc/shadow") != nil
	err = errors.Join(err, readTable(t, "etc/shadow", 2, func(f []string) error {
		a.shadow[f[0]] = f[1]
		return nil
	}))
	return a, err
}

// seed gives an image without packages the accounts that every system has, by
// base-passwd's numbers.
func (a *accounts) seed() {
	a.users = []account{
		{name: "root", comment: "root", home: "/root", shell: "/bin/sh", password: "*"},
		{name: "nobody", comment: "nobody", home: "/nonexistent", shell: "/usr/sbin/nologin", password: "*", uid: 65534, gid: 65534},
	}
	a.groups = []accountGroup{{name: "root"}, {name: "nogroup", gid: 65534}}
}

// readTable calls row with the fields of each line of a colon-separated file.
func readTable(t *tree.Tree, name string, least int, row func([]string) error) error {
	e := t.Lookup(name)
	if e == nil {
		return nil
	}
	const limit = 1 << 20
	data, err := e.ReadAll(limit)
	if err != nil {
		return err
	}
	for n, line := range strings.Split(string(data), "\n") {
		if line == "" {
			continue
		}
		fields := strings.Split(line, ":")
		if len(fields) < least {
			return fmt.Errorf("read /%s: line %d has %d fields, at least %d are needed", name, n+1, len(fields), least)
		}
		if err := row(fields); err != nil {
			return fmt.Errorf("read /%s: line %d: %w", name, n+1, err)
		}
	}
	return nil
}

func parseIDs(uid, gid string) (uint32, uint32, error) {
	u, err1 := strconv.ParseUint(uid, 10, 32)
	g, err2 := strconv.ParseUint(gid, 10, 32)
	return uint32(u), uint32(g), errors.Join(err1, err2)
}

func (a *accounts) user(name string) *account {
	for i := range a.users {
		if a.users[i].name == name {
			return &a.users[i]
		}
	}
	return nil
}

func (a *accounts) group(name string) *accountGroup {
	for i := range a.groups {
		if a.groups[i].name == name {
			return &a.groups[i]
		}
	}
	return nil
}

// ids gives the numbers of a user and a group, each a name or a number. An
// empty group is the user's.
func (a *accounts) ids(user, group string) (uint32, uint32, error) {
	var uid, gid uint32
	if u := a.user(user); u != nil {
		uid, gid = u.uid, u.gid
	} else if n, err := strconv.ParseUint(user, 10, 32); err == nil {
		uid = uint32(n)
	} else if user != "" {
		return 0, 0, fmt.Errorf("no user %q in the image: declare it under [users.%s] or install the package that makes it", user, user)
	}
	if group == "" {
		return uid, gid, nil
	}
	if g := a.group(group); g != nil {
		return uid, g.gid, nil
	}
	n, err := strconv.ParseUint(group, 10, 32)
	if err != nil {
		return 0, 0, fmt.Errorf("no group %q in the image: declare it under [groups.%s] or install the package that makes it", group, group)
	}
	return uid, uint32(n), nil
}

// declare adds the definition's groups and users, or changes those that
// packages made.
func (a *accounts) declare(def *definition.Definition) error {
	for _, name := range slices.Sorted(maps.Keys(def.Groups)) {
		g := def.Groups[name]
		if _, err := a.ensureGroup(name, g.GID, g.System); err != nil {
			return fmt.Errorf("groups.%s: %w", name, err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(def.Users)) {
		if err := a.declareUser(name, def.Users[name]); err != nil {
			return fmt.Errorf("users.%s: %w", name, err)
		}
	}
	return nil
}

func (a *accounts) ensureGroup(name string, want *int, system bool) (uint32, error) {
	if g := a.group(name); g != nil {
		if want != nil && uint32(*want) != g.gid {
			return 0, fmt.Errorf("gid = %d: the packages' group %s has the number %d", *want, name, g.gid)
		}
		return g.gid, nil
	}
	gid, err := a.freeID(want, system, func(id uint32) bool {
		return slices.ContainsFunc(a.groups, func(g accountGroup) bool { return g.gid == id })
	})
	if err != nil {
		return 0, err
	}
	a.groups = append(a.groups, accountGroup{name: name, gid: gid})
	return gid, nil
}

// freeID gives the wanted number, or the next one that is free.
func (a *accounts) freeID(want *int, system bool, taken func(uint32) bool) (uint32, error) {
	if want != nil {
		if taken(uint32(*want)) {
			return 0, fmt.Errorf("the number %d is taken", *want)
		}
		return uint32(*want), nil
	}
	id, step := uint32(firstUserID), uint32(1)
	if system {
		id, step = firstSystemID, ^uint32(0)
	}
	for taken(id) {
		id += step
	}
	return id, nil
}

func (a *accounts) declareUser(name string, u definition.User) error {
	existing := a.user(name)
	if existing == nil {
		var err error
		if existing, err = a.addUser(name, u); err != nil {
			return err
		}
	}
	set := func(field *string, value string) {
		if value != "" {
			*field = value
		}
	}
	set(&existing.comment, u.Comment)
	set(&existing.home, u.Home)
	set(&existing.shell, u.Shell)
	if u.UID != nil && uint32(*u.UID) != existing.uid {
		return fmt.Errorf("uid = %d: the packages' account has the number %d", *u.UID, existing.uid)
	}
	if u.Password != "" {
		a.shadow[name], a.hasShadow = u.Password, true
	}
	for _, group := range u.Groups {
		g := a.group(group)
		if g == nil {
			return fmt.Errorf("groups: no group %q in the image: declare it under [groups.%s] or install the package that makes it", group, group)
		}
		if !slices.Contains(g.members, name) {
			g.members = append(g.members, name)
		}
	}
	return nil
}

func (a *accounts) addUser(name string, u definition.User) (*account, error) {
	uid, err := a.freeID(u.UID, u.System, func(id uint32) bool {
		return slices.ContainsFunc(a.users, func(x account) bool { return x.uid == id }) ||
			u.Group == "" && slices.ContainsFunc(a.groups, func(g accountGroup) bool { return g.gid == id && g.name != name })
	})
	if err != nil {
		return nil, err
	}
	group, gid := u.Group, uint32(0)
	if own := a.group(name); group == "" && own != nil {
		gid = own.gid
	} else if group == "" {
		same := int(uid)
		if gid, err = a.ensureGroup(name, &same, u.System); err != nil {
			return nil, err
		}
	} else if _, gid, err = a.ids("", group); err != nil {
		return nil, err
	}
	made := account{name: name, home: "/home/" + name, shell: "/bin/bash", password: "*", uid: uid, gid: gid}
	if u.System {
		made.home, made.shell = "/nonexistent", "/usr/sbin/nologin"
	}
	a.users = append(a.users, made)
	return a.user(name), nil
}

// write puts the files back, sorted by number, with the day of the last
// password change taken from the epoch.
func (a *accounts) write(t *tree.Tree, epoch int64) error {
	sort.SliceStable(a.users, func(i, j int) bool { return a.users[i].uid < a.users[j].uid })
	sort.SliceStable(a.groups, func(i, j int) bool { return a.groups[i].gid < a.groups[j].gid })
	var passwd, group, shadow, gshadow strings.Builder
	for _, u := range a.users {
		password := u.password
		if a.hasShadow {
			password = "x"
			hash, ok := a.shadow[u.name]
			if !ok {
				hash = "*"
			}
			fmt.Fprintf(&shadow, "%s:%s:%d:0:99999:7:::\n", u.name, hash, epoch/86400)
		}
		fmt.Fprintf(&passwd, "%s:%s:%d:%d:%s:%s:%s\n", u.name, password, u.uid, u.gid, u.comment, u.home, u.shell)
	}
	for _, g := range a.groups {
		password := "*"
		if a.hasShadow {
			password = "x"
			fmt.Fprintf(&gshadow, "%s:*::%s\n", g.name, strings.Join(g.members, ","))
		}
		fmt.Fprintf(&group, "%s:%s:%d:%s\n", g.name, password, g.gid, strings.Join(g.members, ","))
	}
	err := errors.Join(putFile(t, "etc/passwd", 0o644, passwd.String()), putFile(t, "etc/group", 0o644, group.String()))
	if !a.hasShadow {
		return err
	}
	err = errors.Join(err, putFile(t, "etc/shadow", 0o640, shadow.String()), putFile(t, "etc/gshadow", 0o640, gshadow.String()))
	if g := a.group("shadow"); err == nil && g != nil {
		t.Get("etc/shadow").GID, t.Get("etc/gshadow").GID = g.gid, g.gid
	}
	return err
}
