package kmod

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Builtin is what a kernel says of the modules that are part of it.
type Builtin struct {
	List []byte // the file modules.builtin: paths, a line each
	Info []byte // the file modules.builtin.modinfo: NAME.KEY=VALUE and NUL each; nil: there is none
}

// File is a file of depmod's.
type File struct {
	Name string // "modules.dep"
	Data []byte
}

// Files gives all that depmod writes for the modules, sorted by name. Where
// depmod's order is that of a hash table, in modules.symbols, ours is that of
// the names.
func (g *Graph) Files(builtin Builtin) ([]File, error) {
	files := []File{
		{"modules.alias", g.alias()},
		{"modules.dep", g.dep()},
		{"modules.devname", g.devname()},
		{"modules.softdep", g.declared("Soft", "softdep")},
		{"modules.symbols", g.symbols()},
		{"modules.weakdep", g.declared("Weak", "weakdep")},
	}
	for _, index := range []struct {
		name    string
		entries []Entry
	}{
		{"modules.alias.bin", g.aliasEntries()},
		{"modules.builtin.alias.bin", builtin.aliasEntries()},
		{"modules.builtin.bin", builtin.entries()},
		{"modules.dep.bin", g.depEntries()},
		{"modules.symbols.bin", g.symbolEntries()},
	} {
		data, err := writeIndex(index.entries)
		if err != nil {
			return nil, fmt.Errorf("make %s: %w", index.name, err)
		}
		files = append(files, File{index.name, data})
	}
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	return files, nil
}

// depLine is a line of modules.dep.
func (m *node) depLine() string {
	line := m.Path + ":"
	for _, other := range m.all() {
		line += " " + other.Path
	}
	return line
}

func (g *Graph) dep() []byte {
	var out bytes.Buffer
	for _, m := range g.nodes {
		fmt.Fprintln(&out, m.depLine())
	}
	return out.Bytes()
}

func (g *Graph) depEntries() []Entry {
	entries := make([]Entry, 0, len(g.nodes))
	for _, m := range g.nodes {
		entries = append(entries, Entry{m.Name, m.depLine(), uint32(m.priority)})
	}
	return entries
}

func (g *Graph) alias() []byte {
	var out bytes.Buffer
	fmt.Fprintln(&out, "# Aliases extracted from modules themselves.")
	for _, m := range g.nodes {
		for _, alias := range m.Values("alias") {
			fmt.Fprintln(&out, "alias", alias, m.Name)
		}
	}
	return out.Bytes()
}

func (g *Graph) aliasEntries() []Entry {
	var entries []Entry
	for _, m := range g.nodes {
		for _, alias := range m.Values("alias") {
			if key, ok := normaliseAlias(alias); ok {
				entries = append(entries, Entry{key, m.Name, uint32(m.priority)})
			}
		}
	}
	return entries
}

// normaliseAlias is Normalise but for what stands in brackets, whose - is that
// of a range. An alias whose brackets do not match is none.
func normaliseAlias(alias string) (string, bool) {
	var out strings.Builder
	for rest := alias; rest != ""; {
		open := strings.IndexAny(rest, "[]")
		if open < 0 {
			out.WriteString(Normalise(rest))
			break
		}
		shut := strings.IndexByte(rest, ']')
		if rest[open] == ']' || shut < 0 {
			return "", false
		}
		out.WriteString(Normalise(rest[:open]))
		out.WriteString(rest[open : shut+1])
		rest = rest[shut+1:]
	}
	return out.String(), true
}

// declared lists the values that modules have for a kind of dependency, which
// is the directive, too.
func (g *Graph) declared(title, kind string) []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, "# %s dependencies extracted from modules themselves.\n", title)
	for _, m := range g.nodes {
		for _, list := range m.Values(kind) {
			fmt.Fprintln(&out, kind, m.Name, list)
		}
	}
	return out.Bytes()
}

func (g *Graph) symbols() []byte {
	var out bytes.Buffer
	fmt.Fprintln(&out, "# Aliases for symbols, used by symbol_request().")
	for _, e := range g.symbolEntries() {
		fmt.Fprintln(&out, "alias", e.Key, e.Value)
	}
	return out.Bytes()
}

func (g *Graph) symbolEntries() []Entry {
	entries := make([]Entry, 0, len(g.owners))
	for _, symbol := range slices.Sorted(maps.Keys(g.owners)) {
		owner := g.owners[symbol]
		entries = append(entries, Entry{"symbol:" + symbol, owner.Name, uint32(owner.priority)})
	}
	return entries
}

// devname lists the device nodes whose use loads a module: those with a name
// and a number among a module's aliases.
func (g *Graph) devname() []byte {
	var out bytes.Buffer
	fmt.Fprintln(&out, "# Device nodes to trigger on-demand module loading.")
	for _, m := range g.nodes {
		name, number := "", ""
		for _, alias := range m.Values("alias") {
			if text, ok := strings.CutPrefix(alias, "devname:"); ok {
				name = text
			} else if text, ok := deviceNumber(alias); ok {
				number = text
			}
			if name != "" && number != "" {
				fmt.Fprintln(&out, m.Name, name, number)
				break
			}
		}
	}
	return out.Bytes()
}

// deviceNumber reads "char-major-10-200" as "c10:200", whatever follows.
func deviceNumber(alias string) (string, bool) {
	kind := "c"
	numbers, ok := strings.CutPrefix(alias, "char-major-")
	if !ok {
		kind = "b"
		if numbers, ok = strings.CutPrefix(alias, "block-major-"); !ok {
			return "", false
		}
	}
	major, minor, _ := strings.Cut(numbers, "-")
	if end := strings.IndexFunc(minor, func(r rune) bool { return r < '0' || r > '9' }); end >= 0 {
		minor = minor[:end]
	}
	a, errA := strconv.ParseUint(major, 10, 32)
	b, errB := strconv.ParseUint(minor, 10, 32)
	return fmt.Sprintf("%s%d:%d", kind, a, b), errA == nil && errB == nil
}

func (b Builtin) entries() []Entry {
	var entries []Entry
	for _, line := range strings.Fields(string(b.List)) {
		if name, ok := Name(line); ok {
			entries = append(entries, Entry{Key: name})
		}
	}
	return entries
}

func (b Builtin) aliasEntries() []Entry {
	var entries []Entry
	for _, text := range splitNUL(b.Info) {
		name, field, _ := strings.Cut(text, ".")
		alias, isAlias := strings.CutPrefix(field, "alias=")
		if !isAlias {
			continue
		}
		if key, ok := normaliseAlias(alias); ok {
			entries = append(entries, Entry{Key: key, Value: Normalise(name)})
		}
	}
	return entries
}
