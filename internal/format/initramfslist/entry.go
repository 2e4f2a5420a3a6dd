package initramfslist

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"ashlar/internal/foundation/tree"
)

// plain reads NAME MODE UID GID.
func plain(kind tree.Kind) func(*reader, []string) ([]tree.Entry, error) {
	return func(_ *reader, words []string) ([]tree.Entry, error) {
		e, err := inode(kind, words[0], words[1:4])
		return []tree.Entry{e}, err
	}
}

// link reads NAME TARGET MODE UID GID.
func (*reader) link(words []string) ([]tree.Entry, error) {
	e, err := inode(tree.Symlink, words[0], words[2:5])
	if len(words[1]) >= maxPath {
		err = errors.Join(err, fmt.Errorf("target of %d bytes, at most %d", len(words[1]), maxPath-1))
	}
	e.Target = words[1]
	return []tree.Entry{e}, err
}

// device reads NAME MODE UID GID TYPE MAJOR MINOR.
func (*reader) device(words []string) ([]tree.Entry, error) {
	kind := tree.CharDevice
	switch words[4] {
	case "c":
	case "b":
		kind = tree.BlockDevice
	default:
		return nil, fmt.Errorf("device type %q: want b or c", clip(words[4]))
	}
	e, err := inode(kind, words[0], words[1:4])
	major, err1 := number("major number", words[5], 10)
	minor, err2 := number("minor number", words[6], 10)
	e.Major, e.Minor = major, minor
	return []tree.Entry{e}, errors.Join(err, err1, err2)
}

// file reads NAME LOCATION MODE UID GID and further names of the file.
func (rd *reader) file(words []string) ([]tree.Entry, error) {
	e, err := inode(tree.File, words[0], words[2:5])
	if err != nil {
		return nil, err
	}
	location, err := rd.expand(words[1])
	if err != nil {
		return nil, err
	}
	found, err := rd.opt.Locate(location)
	if err != nil {
		return nil, err
	}
	e.Size, e.Digest, e.Source = found.Size, found.Digest, found.Source
	entries := []tree.Entry{e}
	for _, word := range words[5:] {
		name, err := cleanName(word)
		if err != nil {
			return nil, err
		}
		entries = append(entries, tree.Entry{Path: name, Kind: tree.HardLink, Target: e.Path})
	}
	return entries, nil
}

// expand replaces variables from the left, as often as there are some: a value
// may bring in others.
func (rd *reader) expand(text string) (string, error) {
	const most = 100
	for range most {
		start := strings.Index(text, "${")
		if start < 0 {
			return text, nil
		}
		length := strings.IndexByte(text[start+2:], '}')
		if length < 0 {
			return text, nil
		}
		name := text[start+2 : start+2+length]
		value, ok := "", false
		if rd.opt.Variable != nil {
			value, ok = rd.opt.Variable(name)
		}
		if !ok {
			return "", fmt.Errorf("variable %q is not set", clip(name))
		}
		if text = text[:start] + value + text[start+2+length+1:]; len(text) > maxPath {
			return "", fmt.Errorf("location %q is longer than %d bytes", clip(text), maxPath)
		}
	}
	return "", fmt.Errorf("location %q: more than %d variables", clip(text), most)
}

// inode makes an entry from a name and the words MODE UID GID.
func inode(kind tree.Kind, name string, words []string) (tree.Entry, error) {
	clean, err := cleanName(name)
	if err != nil {
		return tree.Entry{}, err
	}
	mode, err1 := number("mode", words[0], 8)
	uid, err2 := number("uid", words[1], 10)
	gid, err3 := number("gid", words[2], 10)
	const permissions = 0o7777
	if err1 == nil && mode > permissions {
		err1 = fmt.Errorf("mode %q: at most %#o", words[0], permissions)
	}
	return tree.Entry{Path: clean, Kind: kind, Mode: mode, UID: uid, GID: gid}, errors.Join(err1, err2, err3)
}

func cleanName(name string) (string, error) {
	if len(name) >= maxPath {
		return "", fmt.Errorf("name of %d bytes, at most %d", len(name), maxPath-1)
	}
	return tree.Clean(name)
}

func number(what, word string, base int) (uint32, error) {
	n, err := strconv.ParseUint(word, base, 32)
	if err != nil {
		return 0, fmt.Errorf("%s %q: want a number of base %d, at most 32 bits", what, clip(word), base)
	}
	return uint32(n), nil
}
