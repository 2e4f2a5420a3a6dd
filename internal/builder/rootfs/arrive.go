package rootfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"ashlar/internal/builder/sandbox"
	"ashlar/internal/foundation/tree"
)

// arrive does what dpkg does when it unpacks p, as far as that depends on
// scripts that ran before: diversions, files in the place of diverted ones or
// of what preinst has made there, owners by name, overrides of owners and
// modes, which are those of before the preinst.
func (c *configurer) arrive(ctx context.Context, p *pkg, overrides map[string]statOverride) error {
	if err := c.applyDiversions(p); err != nil {
		return err
	}
	if err := c.restore(ctx, p); err != nil {
		return fmt.Errorf("unpack %s: %w", p.name, err)
	}
	if err := c.placeLate(ctx, p); err != nil {
		return err
	}
	if err := c.nameOwners(ctx, p); err != nil {
		return fmt.Errorf("set owners of package %s: %w", p.name, err)
	}
	if err := c.override(ctx, p, overrides); err != nil {
		return fmt.Errorf("override owners of package %s: %w", p.name, err)
	}
	return nil
}

// readOptional reads a file of the sandbox that need not be there.
func (c *configurer) readOptional(name string) ([]byte, error) {
	data, err := c.box.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

// applyDiversions brings files to where the diversions made by now want them.
// dpkg-divert has moved what was there when it ran; but here packages that
// dpkg would unpack later are there as well, among them the diverter itself.
func (c *configurer) applyDiversions(by *pkg) error {
	data, err := c.readOptional(adminDir + "/diversions")
	if err != nil {
		return err
	}
	known := c.diverted
	c.diverted = parseDiversions(data)
	for _, d := range c.diverted {
		if slices.Contains(known, d) {
			continue
		}
		if err := c.applyDiversion(d, by); err != nil {
			return fmt.Errorf("divert %s to %s for %s: %w", d.from, d.to, d.by, err)
		}
	}
	return nil
}

func (c *configurer) applyDiversion(d diversion, by *pkg) error {
	from, to := strings.TrimPrefix(d.from, "/"), strings.TrimPrefix(d.to, "/")
	path, err := c.merged.Resolve(from)
	if err != nil {
		return err
	}
	switch owner, ok := c.claims[path]; {
	case !ok:
		return nil
	case owner.owner.name == d.by:
		return c.moveOnce(to, from) // what a package diverts, it may have itself
	case owner.owner == by || c.db.state[owner.owner] == stateInstalled:
		return nil // it was there when dpkg-divert ran, by dpkg's order too
	default:
		// Of two names that are one by a link, each may be diverted elsewhere.
		want := c.where(owner.owner, owner.raw)
		return errors.Join(c.moveOnce(to, want), c.moveOnce(from, want))
	}
}

// moveOnce renames a file, unless that has been done.
func (c *configurer) moveOnce(from, to string) error {
	_, errFrom := c.box.Lstat(from)
	_, errTo := c.box.Lstat(to)
	if errFrom != nil || errTo == nil {
		return nil
	}
	return c.box.Rename(from, to)
}

// where gives the path in the root of what p ships as raw: a diversion may
// have led it aside.
func (c *configurer) where(p *pkg, raw string) string {
	for _, d := range c.diverted {
		if d.from == "/"+raw && d.by != p.name {
			return strings.TrimPrefix(d.to, "/")
		}
	}
	return raw
}

// restore puts back what p's preinst has removed or changed of p's own: dpkg
// unpacks after it. It leaves configuration files, for which dpkg would ask.
func (c *configurer) restore(ctx context.Context, p *pkg) error {
	if len(p.member("preinst")) == 0 {
		return nil
	}
	conffiles := strings.Split(string(p.member("conffiles")), "\n")
	for i := range p.unpacked.Entries {
		e := p.unpacked.Entries[i].Entry
		raw := e.Path
		isLate := slices.ContainsFunc(p.late, func(late tree.Entry) bool { return late.Path == raw })
		if isLate || c.foreign(p, raw) || slices.Contains(conffiles, "/"+raw) {
			continue
		}
		e.Path = c.where(p, raw)
		now, err := c.box.Lstat(e.Path)
		switch {
		case err == nil && asUnpacked(now, &e):
			continue
		case err == nil:
			if err := c.box.Remove(e.Path); err != nil {
				return err
			}
		case !errors.Is(err, fs.ErrNotExist):
			return err
		}
		if err := c.putEntry(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

// asUnpacked reports whether a file is still what was unpacked. A directory
// only has to be one, or a link to one; hard links are not looked at.
func asUnpacked(now sandbox.FileInfo, e *tree.Entry) bool {
	switch e.Kind {
	case tree.File:
		return now.Mode().IsRegular() && now.Bytes == e.Size && now.MTime == e.MTime
	case tree.Symlink:
		return now.Mode()&fs.ModeSymlink != 0 && now.Target == e.Target || now.IsDir()
	case tree.Dir:
		return now.IsDir() || now.Mode()&fs.ModeSymlink != 0
	}
	return true
}

// placeLate puts the files in whose place another package's stood until p's
// preinst diverted those.
func (c *configurer) placeLate(ctx context.Context, p *pkg) error {
	for _, e := range p.late {
		if _, err := c.box.Lstat(e.Path); err == nil {
			return fmt.Errorf("packages %s and %s both have /%s, and %s did not divert it", c.claims[e.Path].owner.name, p.name, e.Path, p.name)
		}
		if err := c.putEntry(ctx, e); err != nil {
			return fmt.Errorf("unpack %s: %w", p.name, err)
		}
	}
	return nil
}

// putEntry puts in what dpkg would have unpacked at this point.
func (c *configurer) putEntry(ctx context.Context, e tree.Entry) error {
	c.placed = append(c.placed, e)
	switch e.Kind {
	case tree.Symlink:
		return errors.Join(c.box.Symlink(e.Target, e.Path), c.box.Chown(e.Path, e.UID, e.GID))
	case tree.File:
		const limit = 1 << 30
		data, err := e.ReadAll(limit)
		if err != nil {
			return err
		}
		if err := c.box.WriteFile(e.Path, data, e.Mode); err != nil {
			return err
		}
	case tree.Dir:
		if err := c.box.Mkdir(e.Path, e.Mode); err != nil {
			return err
		}
	case tree.HardLink:
		return c.box.Run(ctx, sandbox.Command{Args: []string{"ln", "/" + e.Target, "/" + e.Path}, Stdout: c.log, Stderr: c.log})
	default:
		return fmt.Errorf("place /%s while scripts run: a %s can't be", e.Path, e.Kind)
	}
	if e.UID == 0 && e.GID == 0 {
		return nil
	}
	return c.setOwner(ctx, e.Path, fmt.Sprintf("%d:%d", e.UID, e.GID), e.Mode, e.Kind)
}

// nameOwners gives p's files to the users and groups that the package names,
// where the image knows them by other numbers: p's preinst may have made them.
func (c *configurer) nameOwners(ctx context.Context, p *pkg) error {
	var users, groups map[string]uint32
	for _, e := range p.unpacked.Entries {
		if plainOwner(e.User, e.UID) && plainOwner(e.Group, e.GID) || c.foreign(p, e.Path) {
			continue
		}
		if users == nil {
			var err error
			if users, err = c.numbers("etc/passwd"); err != nil {
				return err
			}
			if groups, err = c.numbers("etc/group"); err != nil {
				return err
			}
		}
		uid, gid := e.UID, e.GID
		if n, ok := users[e.User]; ok {
			uid = n
		}
		if n, ok := groups[e.Group]; ok {
			gid = n
		}
		if uid == e.UID && gid == e.GID {
			continue
		}
		owner := fmt.Sprintf("%d:%d", uid, gid)
		if err := c.setOwner(ctx, c.where(p, e.Path), owner, e.Mode, e.Kind); err != nil {
			return err
		}
	}
	return nil
}

// plainOwner holds where the number says the same as the name everywhere.
func plainOwner(name string, id uint32) bool { return name == "" || name == "root" && id == 0 }

// foreign reports whether another package has what p ships as raw.
func (c *configurer) foreign(p *pkg, raw string) bool {
	return slices.Contains(p.lost, "/"+raw) || slices.Contains(p.ceded, "/"+raw)
}

// numbers reads the names and numbers of passwd or group.
func (c *configurer) numbers(table string) (map[string]uint32, error) {
	data, err := c.readOptional(table)
	if err != nil {
		return nil, err
	}
	found := map[string]uint32{}
	for _, line := range strings.Split(string(data), "\n") {
		fields := strings.Split(line, ":")
		if len(fields) < 3 {
			continue
		}
		if n, err := strconv.ParseUint(fields[2], 10, 32); err == nil {
			found[fields[0]] = uint32(n)
		}
	}
	return found, nil
}

// setOwner changes owner and mode as dpkg does: a chown takes set-id bits away.
func (c *configurer) setOwner(ctx context.Context, name, owner string, mode uint32, kind tree.Kind) error {
	run := func(args ...string) error {
		return c.box.Run(ctx, sandbox.Command{Args: args, Stdout: c.log, Stderr: c.log})
	}
	if err := run("chown", "--no-dereference", owner, "/"+name); err != nil || kind == tree.Symlink {
		return err
	}
	return run("chmod", fmt.Sprintf("%04o", mode), "/"+name)
}

// statOverride is a row of dpkg's statoverride file: "USER GROUP MODE PATH"; a
// number of an owner stands after a "#", the mode is octal.
type statOverride struct {
	owner string
	mode  uint32
}

func parseStatOverrides(data []byte) map[string]statOverride {
	rows := map[string]statOverride{}
	for _, line := range strings.Split(string(data), "\n") {
		fields := strings.SplitN(line, " ", 4)
		if len(fields) != 4 {
			continue
		}
		mode, err := strconv.ParseUint(fields[2], 8, 32)
		if err != nil {
			continue
		}
		owner := strings.TrimPrefix(fields[0], "#") + ":" + strings.TrimPrefix(fields[1], "#")
		rows[fields[3]] = statOverride{owner, uint32(mode)}
	}
	return rows
}

// override gives p's files the owners and modes that dpkg-statoverride has set
// for their paths by now.
func (c *configurer) override(ctx context.Context, p *pkg, rows map[string]statOverride) error {
	if len(rows) == 0 {
		return nil
	}
	for _, e := range p.unpacked.Entries {
		row, ok := rows["/"+e.Path]
		if !ok || c.foreign(p, e.Path) {
			continue
		}
		if err := c.setOwner(ctx, c.where(p, e.Path), row.owner, row.mode, e.Kind); err != nil {
			return err
		}
	}
	return nil
}

// diversion is a row of dpkg's diversions file: three lines each.
type diversion struct{ from, to, by string }

func parseDiversions(data []byte) []diversion {
	lines := strings.Split(strings.TrimRight(string(data), "\n"), "\n")
	var list []diversion
	for i := 0; i+2 < len(lines); i += 3 {
		list = append(list, diversion{lines[i], lines[i+1], lines[i+2]})
	}
	return list
}
