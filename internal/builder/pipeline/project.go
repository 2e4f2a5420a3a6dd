// Package pipeline is the whole way from a directory of text to artefacts, as
// verbs: Lock, Fetch, Build, Verify, Vendor. Each takes values and returns
// values; what a verb needs of its surroundings is in Env.
package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"ashlar/internal/builder/definition"
	"ashlar/internal/builder/lock"
	"ashlar/internal/builder/store"
	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/progress"
)

// LockName is the lock file's name in a definition's directory.
const LockName = "ashlar.lock"

// DefinitionName is the definition's.
const DefinitionName = "ashlar.toml"

// Env is what all verbs share.
type Env struct {
	Store    *store.Store
	Client   *http.Client
	Getenv   func(string) string
	Now      func() time.Time
	Progress progress.Sink
	Log      io.Writer // what maintainer scripts print; nil: nowhere
	Version  string    // of ashlar
	Offline  bool      // never open the network
	NoCache  bool      // make everything anew from the packages
	Workers  int       // 0: one a processor
}

// project is a definition with its lock.
type project struct {
	dir  string
	def  *definition.Definition
	lock *lock.Lock
	sum  digest.Digest // of the lock file
	text digest.Digest // of the definition's file
}

// ErrNoLock says that a definition was never locked.
var ErrNoLock = errors.New("there is no lock")

// ErrBadLock says that a lock is not what this program writes, or lacks what is
// asked of it.
var ErrBadLock = errors.New("the lock is of no use")

// ErrNotDeclared says that something else is asked for than the definition has.
var ErrNotDeclared = errors.New("cannot build what is asked for")

// load reads a definition and its lock, which must belong to it.
func (e *Env) load(dir string) (*project, error) {
	def, err := definition.Load(dir)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(filepath.Join(dir, LockName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read %s: %w: run `ashlar lock %s`", filepath.Join(dir, LockName), ErrNoLock, dir)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadLock, err)
	}
	l, err := lock.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w: %w; take it from version control, or remove it and run `ashlar lock %s`", filepath.Join(dir, LockName), ErrBadLock, err, dir)
	}
	if err := l.Check(def.InputDigest()); err != nil {
		return nil, fmt.Errorf("%w (in %s)", err, dir)
	}
	if err := checkEncoder(l, def); err != nil {
		return nil, fmt.Errorf("%w: run `ashlar lock %s`", err, dir)
	}
	text, _, err := fileDigest(filepath.Join(dir, DefinitionName))
	return &project{dir: dir, def: def, lock: l, sum: digest.Of(data), text: text}, err
}

// checkEncoder holds a build to the block compressor that the lock names:
// another one, or another version, gives other bytes.
func checkEncoder(l *lock.Lock, def *definition.Definition) error {
	w, err := imageWriterOf(def.Image)
	if err != nil {
		return err
	}
	if w.encoder != l.Encoder {
		return fmt.Errorf("%w: it names the encoder %q, a build would use %q", lock.ErrStale, l.Encoder, w.encoder)
	}
	return nil
}

// arch gives the locked packages of an architecture.
func (p *project) arch(name string) (lock.Arch, error) {
	a, ok := p.lock.Arches[name]
	if !ok {
		return lock.Arch{}, fmt.Errorf("%w: it has no architecture %s: run `ashlar lock %s`", ErrBadLock, name, p.dir)
	}
	return a, nil
}

// check holds the architecture asked for to the definition, by which inputs
// were locked.
func (p *project) check(opt BuildOptions) error {
	if opt.Arch != "" && !slices.Contains(p.def.Arch, opt.Arch) {
		return fmt.Errorf("%w: architecture %q is not in the definition, which has %s", ErrNotDeclared, opt.Arch, strings.Join(p.def.Arch, ", "))
	}
	return nil
}

// epoch gives the time that no time in an image exceeds: SOURCE_DATE_EPOCH,
// else the last git commit that touched the directory, else the lock's date.
func (e *Env) epoch(ctx context.Context, p *project) (int64, error) {
	if text := e.Getenv("SOURCE_DATE_EPOCH"); text != "" {
		epoch, err := strconv.ParseInt(text, 10, 64)
		if err != nil || epoch < 0 {
			return 0, fmt.Errorf("read SOURCE_DATE_EPOCH: %q is not a number of seconds since 1970", text)
		}
		return epoch, nil
	}
	if epoch, ok := lastCommit(ctx, p.dir); ok {
		return epoch, nil
	}
	return p.lock.Epoch, nil
}

// lastCommit asks git; a directory outside version control has none. Whoever
// owns the checkout, only a date is read from it.
func lastCommit(ctx context.Context, dir string) (int64, bool) {
	out, err := exec.CommandContext(ctx, "git", "-c", "safe.directory=*", "-C", dir, "log", "-1", "--format=%ct", "--", ".").Output()
	if err != nil {
		return 0, false
	}
	epoch, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
	return epoch, err == nil
}
