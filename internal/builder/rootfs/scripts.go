package rootfs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
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

// configurer runs the maintainer scripts of a set of packages in a sandbox
// whose lower tree has them all unpacked.
type configurer struct {
	box       *sandbox.Sandbox
	db        *database
	order     []*pkg     // of configuration, those of stages before included
	merged    *tree.Tree // all packages unpacked
	claims    map[string]claim
	interests interestList
	known     map[string][]*pkg // by names, provided ones too
	triggers  triggerState
	diverted  []diversion  // so far, as dpkg's file has them
	placed    []tree.Entry // put in while scripts ran
	epoch     int64        // for SOURCE_DATE_EPOCH
	settled   int          // packages so far, of all stages
	total     int          // packages of all stages
	log       io.Writer
	progress  progress.Sink
}

// install does for each package, in order, what dpkg does: preinst, what
// unpacking depends on, postinst.
func (c *configurer) install(ctx context.Context, packages []*pkg) error {
	for _, p := range packages {
		c.progress.Report(progress.Event{Task: "configure", Item: p.name, Done: int64(c.settled), Total: int64(c.total), Unit: "packages"})
		c.settled++
		if err := c.install1(ctx, p); err != nil {
			return err
		}
	}
	return c.box.WriteFile(adminDir+"/status", c.db.status(), 0o644)
}

func (c *configurer) install1(ctx context.Context, p *pkg) error {
	overrides, err := c.readOptional(adminDir + "/statoverride")
	if err != nil {
		return err
	}
	if err := c.settle(ctx, p, "Pre-Depends"); err != nil {
		return err
	}
	if err := c.preinst(ctx, p); err != nil {
		return err
	}
	if err := c.arrive(ctx, p, parseStatOverrides(overrides)); err != nil {
		return err
	}
	c.activateFor(p)
	if err := c.settle(ctx, p, "Pre-Depends", "Depends"); err != nil {
		return err
	}
	if err := c.postinst(ctx, p, "configure", ""); err != nil {
		return err
	}
	return c.incorporate()
}

// complete configures the last packages, then processes triggers.
func (c *configurer) complete(ctx context.Context, packages []*pkg) error {
	if err := c.install(ctx, packages); err != nil {
		return err
	}
	return c.finish(ctx)
}

// finish processes triggers, once all packages are there.
func (c *configurer) finish(ctx context.Context) error {
	if err := c.runTriggers(ctx); err != nil {
		return err
	}
	c.progress.Report(progress.Event{Task: "configure", Done: int64(c.total), Total: int64(c.total), Unit: "packages", End: true})
	return c.box.WriteFile(adminDir+"/status", c.db.status(), 0o644)
}

// preinst runs the package's preinst where dpkg runs it: in a directory with
// the other control members, which debconf looks for there.
func (c *configurer) preinst(ctx context.Context, p *pkg) error {
	if len(p.member("preinst")) == 0 {
		return nil
	}
	const dir = adminDir + "/tmp.ci"
	list := adminDir + "/info/" + p.dbName() + ".list"
	members := slices.Sorted(maps.Keys(p.unpacked.Members))
	// It has no files yet: dpkg-divert does not move what the diverter has.
	err := errors.Join(c.box.WriteFile(list, nil, 0o644), c.box.Mkdir(dir, 0o755))
	c.db.state[p] = stateHalfInstalled
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
	c.db.state[p] = stateUnpacked
	return errors.Join(err, c.box.Remove(dir), c.box.WriteFile(list, p.list(), 0o644))
}

// postinst runs the package's postinst, if it has one; then it is installed.
func (c *configurer) postinst(ctx context.Context, p *pkg, args ...string) error {
	c.db.state[p] = stateHalfConfigured
	defer func() { c.db.state[p] = stateInstalled }()
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
	command := append([]string{"/" + file}, args...)
	if text := p.member(name); !bytes.HasPrefix(text, []byte("#!")) && !bytes.HasPrefix(text, []byte("\x7fELF")) {
		command = append([]string{"/bin/sh"}, command...) // as execvp(3) does, by which dpkg starts scripts
	}
	output := &transcript{}
	err := c.box.Run(ctx, sandbox.Command{
		Args: command, Env: c.scriptEnv(p, name), Dir: "/", Stdout: output, Stderr: output,
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
		"DPKG_FORCE=security-mac,downgrade",
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
