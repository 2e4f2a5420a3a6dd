// Package kmod reads kernel modules and makes the files by which kmod's
// programs and udev find them: what depmod writes into lib/modules/RELEASE.
//
// Vocabulary: a module exports symbols and needs others, which makes the graph
// of dependencies; an alias is a name, mostly with wildcards, of what a module
// serves; an index is a file NAME.bin that maps keys to values as a trie.
//
// It follows kmod 34: its programs are the judges in the tests. Left out are
// depmod's configuration files (of its search order only "updates" before all
// else is known), System.map, and the warnings.
package kmod

import (
	"path"
	"strings"
)

// Module is what the files of depmod hold of a module.
type Module struct {
	Path    string   // below lib/modules/RELEASE: "kernel/fs/ext4/ext4.ko.xz"
	Name    string   // by which the kernel knows it: "ext4"
	Info    []Field  // of the section .modinfo, in its order
	Exports []string // symbols for other modules
	Needs   []string // symbols of the kernel or of other modules, in the order of the symbol table
}

// Field is a line of .modinfo.
type Field struct{ Key, Value string }

// Values gives the values of a key.
func (m *Module) Values(key string) []string {
	var values []string
	for _, f := range m.Info {
		if f.Key == key {
			values = append(values, f.Value)
		}
	}
	return values
}

// Depends names the modules that must be loaded before, as the module says it.
func (m *Module) Depends() []string {
	var names []string
	for _, list := range m.Values("depends") {
		for _, name := range strings.Split(list, ",") {
			if name != "" {
				names = append(names, name)
			}
		}
	}
	return names
}

// SoftDepends names the modules that are loaded before and after it if they
// are there: "pre: a b post: c".
func (m *Module) SoftDepends() (pre, post []string) {
	for _, list := range m.Values("softdep") {
		var to *[]string
		for _, word := range strings.Fields(list) {
			switch {
			case word == "pre:":
				to = &pre
			case word == "post:":
				to = &post
			case to != nil:
				*to = append(*to, word)
			}
		}
	}
	return pre, post
}

// WeakDepends names modules that it may ask for while it works.
func (m *Module) WeakDepends() []string {
	var names []string
	for _, list := range m.Values("weakdep") {
		names = append(names, strings.Fields(list)...)
	}
	return names
}

// endings are those of module files, by compression.
var endings = []string{".ko", ".ko.xz", ".ko.zst", ".ko.gz"}

// Name gives the name by which the kernel knows the module in a file, and
// whether the file is one.
func Name(file string) (string, bool) {
	base := path.Base(file)
	for _, end := range endings {
		if stem, ok := strings.CutSuffix(base, end); ok && stem != "" {
			return Normalise(stem), true
		}
	}
	return "", false
}

// Uncompressed gives the path of a module file without its compression's ending.
func Uncompressed(file string) string {
	for _, end := range endings[1:] {
		if stem, ok := strings.CutSuffix(file, end); ok {
			return stem + ".ko"
		}
	}
	return file
}

// Normalise maps the two spellings of module names to one.
func Normalise(name string) string { return strings.ReplaceAll(name, "-", "_") }
