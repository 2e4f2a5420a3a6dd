package rootfs

import (
	"fmt"
	"strings"

	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/glob"
	"ashlar/internal/foundation/tree"
)

// standIn is a file that stands in another's place while scripts run, so that
// they do not make at length what clean takes away again.
type standIn struct {
	pattern string
	text    func(original string) string
	needs   string // path of a file without which it is not wanted; "": the file that it stands for
	reason  string
}

func instead(text string) func(string) string { return func(string) string { return text } }

// standIns is the one list of them.
var standIns = []standIn{
	{"usr/bin/py3compile", instead("#!/bin/sh\nexit 0\n"), "", "images carry no byte code"},
	{"usr/lib/python3.*/py_compile.py", func(original string) string {
		return "if __name__ == \"__main__\": raise SystemExit(0)\n" + original
	}, "", "likewise: the interpreter's package runs it as a program"},
	{"etc/ssh/ssh_host_rsa_key", instead(""), "usr/sbin/sshd", "host keys are made at a machine's first boot"},
	{"etc/ssh/ssh_host_ecdsa_key", instead(""), "usr/sbin/sshd", "likewise"},
	{"etc/ssh/ssh_host_ed25519_key", instead(""), "usr/sbin/sshd", "likewise"},
}

// replaced is a file with a stand-in.
type replaced struct {
	original *tree.Entry // nil: there is none
	digest   digest.Digest
}

// putStandIns puts them into the tree that scripts are to find. leave undoes
// that in the tree that comes of it.
func putStandIns(t *tree.Tree) (leave func(*tree.Tree), err error) {
	placed := map[string]replaced{}
	for _, s := range standIns {
		names, err := s.names(t)
		if err != nil {
			return nil, fmt.Errorf("put stand-ins: %w", err)
		}
		for _, name := range names {
			if placed[name], err = s.put(t, name); err != nil {
				return nil, fmt.Errorf("put stand-in for %s: %w", name, err)
			}
		}
	}
	return func(result *tree.Tree) {
		for name, r := range placed {
			now := result.Get(name)
			switch {
			case now == nil || now.Kind != tree.File || now.Digest != r.digest:
			case r.original == nil:
				result.Remove(name)
			default:
				*now = *r.original
			}
		}
	}, nil
}

// names gives the paths at which a tree needs the stand-in.
func (s standIn) names(t *tree.Tree) ([]string, error) {
	if s.needs != "" {
		if t.Lookup(s.needs) == nil || t.Get(s.pattern) != nil {
			return nil, nil
		}
		return []string{s.pattern}, nil
	}
	pattern, err := glob.Compile(s.pattern)
	if err != nil {
		return nil, err
	}
	parent, _, _ := strings.Cut(s.pattern, "*")
	var names []string
	for _, name := range t.Paths() {
		if e := t.Get(name); strings.HasPrefix(name, parent) && e.Kind == tree.File && pattern.Match(name) {
			names = append(names, name)
		}
	}
	return names, nil
}

func (s standIn) put(t *tree.Tree, name string) (replaced, error) {
	there := t.Get(name)
	if there == nil {
		e := tree.NewFile(name, 0o600, []byte(s.text("")))
		return replaced{nil, e.Digest}, t.Put(e)
	}
	const limit = 1 << 20
	original := *there
	text, err := original.ReadAll(limit)
	if err != nil {
		return replaced{}, err
	}
	e := tree.NewFile(name, original.Mode, []byte(s.text(string(text))))
	e.MTime = original.MTime
	return replaced{&original, e.Digest}, t.Put(e)
}
