package rootfs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"

	"ashlar/internal/builder/sandbox"
	"ashlar/internal/foundation/progress"
	"ashlar/internal/foundation/tree"
)

// policyRC keeps scripts from starting services, by Debian's convention for
// invoke-rc.d: 101 is "action forbidden by policy".
const policyRC = "#!/bin/sh\nexit 101\n"

const policyRCPath = "usr/sbin/policy-rc.d"

// maxTriggerRounds bounds triggers that activate triggers.
const maxTriggerRounds = 5

// configurer runs the maintainer scripts of a set of packages in a sandbox
// whose lower tree has them all unpacked.
type configurer struct {
	box       *sandbox.Sandbox
	db        *database
	order     []*pkg // of configuration
	claims    map[string]claim
	interests interestList
	epoch     int64 // for SOURCE_DATE_EPOCH
	log       io.Writer
	progress  progress.Sink
}

// run does for each package, in order, what dpkg does: preinst, its late
// files, postinst; then triggers, once.
func (c *configurer) run(ctx context.Context) error {
	diverted := map[string]bool{}
	for n, p := range c.order {
		c.progress.Report(progress.Event{Task: "configure", Item: p.name, Done: int64(n), Total: int64(len(c.order)), Unit: "packages"})
		if err := c.preinst(ctx, p); err != nil {
			return err
		}
		if err := c.applyDiversions(p, diverted); err != nil {
			return err
		}
		if err := c.placeLate(p); err != nil {
			return err
		}
		if err := c.postinst(ctx, p, "configure", ""); err != nil {
			return err
		}
		c.db.state[p] = stateInstalled
	}
	if err := c.runTriggers(ctx); err != nil {
		return err
	}
	c.progress.Report(progress.Event{Task: "configure", Done: int64(len(c.order)), Total: int64(len(c.order)), Unit: "packages", End: true})
	return c.box.WriteFile(adminDir+"/status", c.db.status(), 0o644)
}

// preinst runs the package's preinst where dpkg runs it: in a directory with
// the other control members, which debconf looks for there.
func (c *configurer) preinst(ctx context.Context, p *pkg) error {
	if len(p.member("preinst")) == 0 {
		return nil
	}
	const dir = adminDir + "/tmp.ci"
	members := slices.Sorted(maps.Keys(p.unpacked.Members))
	err := c.box.Mkdir(dir, 0o755)
	for _, name := range members {
		mode := uint32(0o644)
		if slices.Contains(scriptNames, name) {
			mode = 0o755
		}
		err = errors.Join(err, c.box.WriteFile(path.Join(dir, name), p.member(name), mode))
	}
	if err != nil {
		return err
	}
	if err := c.run1(ctx, p, path.Join(dir, "preinst"), "preinst", "install"); err != nil {
		return err
	}
	for _, name := range members {
		err = errors.Join(err, c.box.Remove(path.Join(dir, name)))
	}
	return errors.Join(err, c.box.Remove(dir))
}

// postinst runs the package's postinst, if it has one.
func (c *configurer) postinst(ctx context.Context, p *pkg, args ...string) error {
	if len(p.member("postinst")) == 0 {
		return nil
	}
	return c.run1(ctx, p, adminDir+"/info/"+p.dbName()+".postinst", "postinst", args...)
}

// run1 runs one maintainer script with the status file up to date.
func (c *configurer) run1(ctx context.Context, p *pkg, file, name string, args ...string) error {
	if err := c.box.WriteFile(adminDir+"/status", c.db.status(), 0o644); err != nil {
		return err
	}
	var output transcript
	err := c.box.Run(ctx, sandbox.Command{
		Args: append([]string{"/" + file}, args...), Env: c.scriptEnv(p, name), Dir: "/", Stdout: &output, Stderr: &output,
	})
	fmt.Fprintf(c.log, "--- %s %s %s\n%s", p.name, name, strings.Join(args, " "), output.String())
	if err != nil {
		return fmt.Errorf("run %s of package %s: %w\n%s", name, p.name, err, lastLines(output.String(), 20))
	}
	return nil
}

// scriptEnv is what dpkg tells a script (dpkg(1), "Internal environment").
func (c *configurer) scriptEnv(p *pkg, name string) []string {
	return []string{
		"DPKG_MAINTSCRIPT_PACKAGE=" + p.name,
		"DPKG_MAINTSCRIPT_PACKAGE_REFCOUNT=1",
		"DPKG_MAINTSCRIPT_ARCH=" + p.arch,
		"DPKG_MAINTSCRIPT_NAME=" + name,
		"DPKG_MAINTSCRIPT_DEBUG=0",
		"DPKG_RUNNING_VERSION=" + c.db.dpkgVersion(),
		"DPKG_ADMINDIR=/" + adminDir,
		"DPKG_ROOT=",
		"DEBIAN_FRONTEND=noninteractive",
		"DEBCONF_NONINTERACTIVE_SEEN=true",
		"SOURCE_DATE_EPOCH=" + strconv.FormatInt(c.epoch, 10),
	}
}

// scriptEpoch is the newest time of a file in the packages: scripts take it
// for their SOURCE_DATE_EPOCH, so that programs write one date in every run.
func scriptEpoch(packages []*pkg) int64 {
	newest := int64(0)
	for _, p := range packages {
		for _, e := range p.unpacked.Entries {
			newest = max(newest, e.MTime)
		}
	}
	return newest
}

// transcript collects what a script writes to its two streams.
type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (t *transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.Write(p)
}

func (t *transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return "    " + strings.Join(lines, "\n    ")
}

// applyDiversions brings files to where the diversions made by now want them.
// dpkg-divert has moved what was there when it ran; but here packages that
// dpkg would unpack later are there as well, among them the diverter itself.
func (c *configurer) applyDiversions(by *pkg, done map[string]bool) error {
	data, err := c.box.ReadFile(adminDir + "/diversions")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, d := range parseDiversions(data) {
		if done[d.from] {
			continue
		}
		done[d.from] = true
		from, to := strings.TrimPrefix(d.from, "/"), strings.TrimPrefix(d.to, "/")
		owner, ok := c.claims[from]
		if !ok || owner.raw != from {
			continue
		}
		switch {
		case owner.owner.name == d.by:
			from, to = to, from // what a package diverts, it may have itself
		case owner.owner == by || c.db.state[owner.owner] == stateInstalled:
			continue // it was there when dpkg-divert ran, by dpkg's order too
		}
		if err := c.moveOnce(from, to); err != nil {
			return fmt.Errorf("divert %s to %s for %s: %w", d.from, d.to, d.by, err)
		}
	}
	return nil
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

// placeLate puts the files in whose place another package's stood until p's
// preinst diverted those.
func (c *configurer) placeLate(p *pkg) error {
	for _, e := range p.late {
		if _, err := c.box.Lstat(e.Path); err == nil {
			return fmt.Errorf("packages %s and %s both have /%s, and %s did not divert it", c.claims[e.Path].owner.name, p.name, e.Path, p.name)
		}
		if err := c.putEntry(e); err != nil {
			return fmt.Errorf("unpack %s: %w", p.name, err)
		}
	}
	return nil
}

func (c *configurer) putEntry(e tree.Entry) error {
	switch e.Kind {
	case tree.Symlink:
		return c.box.Symlink(e.Target, e.Path)
	case tree.File:
		const limit = 1 << 30
		data, err := e.ReadAll(limit)
		if err != nil {
			return err
		}
		return errors.Join(c.box.WriteFile(e.Path, data, e.Mode), c.box.Chown(e.Path, e.UID, e.GID))
	}
	return fmt.Errorf("place /%s over a diversion: a %s can't be diverted", e.Path, e.Kind)
}

// runTriggers tells packages of what the others brought, until nothing is due.
func (c *configurer) runTriggers(ctx context.Context) error {
	position := map[*pkg]int{}
	for n, p := range c.order {
		position[p] = n
	}
	activated := map[string]bool{}
	for _, p := range c.order {
		for _, name := range activatedAlways(p) {
			activated[name] = true
		}
	}
	touched := func(i interest) bool { return c.laterFileBelow(i, position) }
	for range maxTriggerRounds {
		names, err := c.takeUnincorp()
		if err != nil {
			return err
		}
		for name := range names {
			activated[name] = true
		}
		due := c.interests.pending(activated, touched)
		if len(due) == 0 {
			return nil
		}
		for _, p := range sortedOwners(due, position) {
			if err := c.postinst(ctx, p, "triggered", strings.Join(due[p], " ")); err != nil {
				return err
			}
		}
		activated, touched = map[string]bool{}, func(interest) bool { return false }
	}
	return fmt.Errorf("process triggers: packages still activate each other's after %d rounds", maxTriggerRounds)
}

// takeUnincorp reads and clears the triggers that scripts have activated.
func (c *configurer) takeUnincorp() (map[string]bool, error) {
	const name = adminDir + "/triggers/Unincorp"
	data, err := c.box.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return parseUnincorp(data), c.box.WriteFile(name, nil, 0o644)
}

// laterFileBelow reports whether a package configured after the interested one
// has a file at or below the trigger's path. Earlier ones were there when its
// postinst ran.
func (c *configurer) laterFileBelow(i interest, position map[*pkg]int) bool {
	prefix := path.Clean(i.name)
	for _, p := range c.order[position[i.owner]+1:] {
		at := sort.SearchStrings(p.sorted, prefix)
		for _, name := range p.sorted[at:] {
			if !strings.HasPrefix(name, prefix) {
				break
			}
			if name == prefix || name[len(prefix)] == '/' {
				return true
			}
		}
	}
	return false
}

func sortedOwners(due map[*pkg][]string, position map[*pkg]int) []*pkg {
	owners := make([]*pkg, 0, len(due))
	for p := range due {
		owners = append(owners, p)
	}
	sort.Slice(owners, func(i, j int) bool { return position[owners[i]] < position[owners[j]] })
	return owners
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
