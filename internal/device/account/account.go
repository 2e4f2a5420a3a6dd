// Package account reads /etc/passwd and /etc/group: a static program has no
// name service switch, and a service's user is declared in the image.
package account

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
)

// maxLine bounds a line of either file; a group may have many members.
const maxLine = 1 << 20

// User is a line of /etc/passwd.
type User struct {
	Name     string
	UID, GID uint32
	Home     string
	Shell    string
}

// Group is a line of /etc/group.
type Group struct {
	Name    string
	GID     uint32
	Members []string
}

// Identity is what a process runs as.
type Identity struct {
	Name   string // empty for a number without an account
	UID    uint32
	GID    uint32
	Groups []uint32 // supplementary, sorted
	Home   string
	Shell  string
}

// Table is both files.
type Table struct {
	Users  []User
	Groups []Group
}

// Load reads the files below the root; a missing file is an empty one.
func Load(root string) (*Table, error) {
	var t Table
	err := readFile(filepath.Join(root, "etc/passwd"), func(r io.Reader) (err error) {
		t.Users, err = ParsePasswd(r)
		return err
	})
	if err != nil {
		return nil, err
	}
	err = readFile(filepath.Join(root, "etc/group"), func(r io.Reader) (err error) {
		t.Groups, err = ParseGroup(r)
		return err
	})
	return &t, err
}

func readFile(path string, parse func(io.Reader) error) error {
	f, err := os.Open(path)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read accounts: %w", err)
	}
	defer f.Close()
	if err := parse(f); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
}

// ParsePasswd reads name:password:uid:gid:gecos:home:shell lines. Lines that
// do not have that form are passed over, as in the C library.
func ParsePasswd(r io.Reader) ([]User, error) {
	var users []User
	err := eachLine(r, func(f []string) {
		if len(f) < 7 {
			return
		}
		uid, err1 := number(f[2])
		gid, err2 := number(f[3])
		if f[0] == "" || err1 != nil || err2 != nil {
			return
		}
		users = append(users, User{Name: f[0], UID: uid, GID: gid, Home: f[5], Shell: f[6]})
	})
	return users, err
}

// ParseGroup reads name:password:gid:member,member lines.
func ParseGroup(r io.Reader) ([]Group, error) {
	var groups []Group
	err := eachLine(r, func(f []string) {
		if len(f) < 4 {
			return
		}
		gid, err := number(f[2])
		if f[0] == "" || err != nil {
			return
		}
		g := Group{Name: f[0], GID: gid}
		for _, m := range strings.Split(f[3], ",") {
			if m != "" {
				g.Members = append(g.Members, m)
			}
		}
		groups = append(groups, g)
	})
	return groups, err
}

func eachLine(r io.Reader, visit func(fields []string)) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		if text := lines.Text(); text != "" && text[0] != '#' {
			visit(strings.Split(text, ":"))
		}
	}
	return lines.Err()
}

func number(text string) (uint32, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	if err == nil && n == 1<<32-1 {
		err = fmt.Errorf("id %d means none", n)
	}
	return uint32(n), err
}

// Resolve gives what a service with the user and group (names or numbers,
// either may be empty) runs as. Without a user that is root.
func (t *Table) Resolve(user, group string) (Identity, error) {
	id := Identity{Name: "root", Home: "/root", Shell: "/bin/sh"}
	if user != "" && user != "root" && user != "0" {
		var err error
		if id, err = t.user(user); err != nil {
			return Identity{}, err
		}
	}
	if group != "" {
		gid, err := t.group(group)
		if err != nil {
			return Identity{}, err
		}
		id.GID = gid
	}
	id.Groups = t.supplementary(id)
	return id, nil
}

func (t *Table) user(name string) (Identity, error) {
	uid, err := number(name)
	for _, u := range t.Users {
		if u.Name == name || (err == nil && u.UID == uid) {
			return Identity{Name: u.Name, UID: u.UID, GID: u.GID, Home: u.Home, Shell: u.Shell}, nil
		}
	}
	if err != nil {
		return Identity{}, fmt.Errorf("find user %q: not in /etc/passwd", name)
	}
	return Identity{UID: uid, GID: uid, Home: "/", Shell: "/bin/sh"}, nil
}

func (t *Table) group(name string) (uint32, error) {
	for _, g := range t.Groups {
		if g.Name == name {
			return g.GID, nil
		}
	}
	gid, err := number(name)
	if err != nil {
		return 0, fmt.Errorf("find group %q: not in /etc/group", name)
	}
	return gid, nil
}

func (t *Table) supplementary(id Identity) []uint32 {
	groups := []uint32{id.GID}
	for _, g := range t.Groups {
		for _, m := range g.Members {
			if m == id.Name && id.Name != "" && g.GID != id.GID {
				groups = append(groups, g.GID)
				break
			}
		}
	}
	sort.Slice(groups, func(i, j int) bool { return groups[i] < groups[j] })
	return groups
}
