package pipeline

import (
	"cmp"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"ashlar/internal/builder/definition"
	"ashlar/internal/contract/imageinfo"
	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/tree"
)

// Step is what a build did about one of its parts.
type Step struct {
	Name    string   `json:"step"`
	Made    bool     `json:"made"`    // false: it was there already
	Changed []string `json:"changed"` // inputs and steps that differ from the last build into the directory; null: there was none
}

// lastBuildKind names the store's records of what a directory's last build was.
const lastBuildKind = "last-build"

// lastBuild is a finished build into an output directory.
type lastBuild struct {
	Inputs   inputs             `json:"inputs"`
	Files    []imageinfo.File   `json:"files"`
	Stamps   []stamp            `json:"stamps"` // of the files and the sums
	Manifest imageinfo.Manifest `json:"manifest"`
	Cmdline  string             `json:"cmdline"`

	Made map[string][]string `json:"made"` // names of files by the target that made them
}

// stamp tells a file from one that was written after it.
type stamp struct {
	Name  string `json:"name"`
	Inode uint64 `json:"inode"`
	Size  int64  `json:"size"`
	MTime int64  `json:"mtime"` // nanoseconds
	CTime int64  `json:"ctime"`
}

func stampOf(dir, name string) (stamp, error) {
	var st unix.Stat_t
	if err := unix.Lstat(filepath.Join(dir, name), &st); err != nil {
		return stamp{}, err
	}
	return stamp{name, st.Ino, st.Size, st.Mtim.Nano(), st.Ctim.Nano()}, nil
}

func lastBuildKey(out string) (string, error) {
	out, err := filepath.Abs(out)
	return digest.Of([]byte(out)).String(), err
}

// lastBuild gives what was built into a directory last, or nil.
func (e *Env) lastBuild(out string) *lastBuild {
	key, err := lastBuildKey(out)
	if err != nil {
		return nil
	}
	data, ok, err := e.Store.Record(lastBuildKind, key)
	var l lastBuild
	if err != nil || !ok || json.Unmarshal(data, &l) != nil {
		return nil // a build makes it again
	}
	return &l
}

// remember notes a finished build, while nobody else publishes there. It may
// fail, on a full disk say: then the next build is made without knowing of it.
func (b *build) remember(a *Artefacts, made []artefact) {
	l := lastBuild{Inputs: b.in, Files: a.Files, Manifest: a.Manifest, Cmdline: a.Cmdline, Made: madeBy(made)}
	for _, f := range append([]imageinfo.File{{Name: SumsFile}}, a.Files...) {
		s, err := stampOf(a.Dir, f.Name)
		if err != nil {
			return
		}
		l.Stamps = append(l.Stamps, s)
	}
	key, err := lastBuildKey(a.Dir)
	if err != nil {
		return
	}
	if data, err := json.Marshal(l); err == nil {
		_ = b.env.Store.SetRecord(lastBuildKind, key, data)
	}
}

// stands reports whether the last build's inputs are those of now and nobody has
// touched its artefacts.
func (l *lastBuild) stands(in inputs, out string) bool {
	if l == nil || !maps.Equal(l.Inputs, in) || len(l.Stamps) == 0 {
		return false
	}
	for _, was := range l.Stamps {
		if now, err := stampOf(out, was.Name); err != nil || now != was {
			return false
		}
	}
	return true
}

// reuse copies a file of the last build into the work directory, if nothing has
// changed that reaches the step which made it, nor the file.
func (b *build) reuse(step, out, name string) (e tree.Entry, ok bool) {
	if b.env.NoCache || b.last == nil || len(b.in.changed(b.last.Inputs, step)) > 0 {
		return e, false
	}
	n := slices.IndexFunc(b.last.Files, func(f imageinfo.File) bool { return f.Name == name })
	if n < 0 {
		return e, false
	}
	want, path := b.last.Files[n], filepath.Join(b.dir, name)
	if now, err := stampOf(out, name); err != nil || !slices.Contains(b.last.Stamps, now) {
		return e, false
	}
	// Another build may publish there meanwhile: the copy is what is looked at.
	if got, err := copyFile(filepath.Join(out, name), path); err != nil || got != want.Digest {
		return e, false
	}
	return tree.Entry{Path: name, Kind: tree.File, Mode: 0o444, Size: want.Size, Digest: want.Digest, Source: tree.HostFile(path)}, true
}

func copyFile(from, to string) (d digest.Digest, err error) {
	r, err := os.Open(from)
	if err != nil {
		return d, err
	}
	defer r.Close()
	w, err := os.Create(to)
	if err != nil {
		return d, err
	}
	d, _, err = digest.Copy(w, r)
	return d, errors.Join(err, w.Close())
}

func (l *lastBuild) artefacts(out string, targets []definition.Target) *Artefacts {
	a := &Artefacts{Dir: out, Files: l.Files, Manifest: l.Manifest, Cmdline: l.Cmdline, Targets: targetNames(targets)}
	names := []string{stepConfigure, stepRoot}
	if l.Manifest.Kernel != "" {
		names = append(names, stepKernel)
	}
	for _, name := range sortedKeys(l.Made) {
		names = append(names, targetStep(name))
	}
	for _, name := range names {
		a.Steps = append(a.Steps, Step{Name: name, Changed: []string{}})
	}
	return a
}

// explained puts the steps into the order of their table, whichever ended
// first, and adds to each what changed since the last build.
func explained(steps []Step, in inputs, last *lastBuild) []Step {
	slices.SortStableFunc(steps, func(a, b Step) int { return cmp.Compare(stepIndex(a.Name), stepIndex(b.Name)) })
	for n := range steps {
		if last != nil {
			steps[n].Changed = in.changed(last.Inputs, steps[n].Name)
		}
	}
	return steps
}

func stepIndex(name string) int {
	return slices.IndexFunc(allSteps(), func(s step) bool { return s.name == name })
}
