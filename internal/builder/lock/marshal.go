package lock

import (
	"bytes"
	"encoding/json"
	"sort"
)

// Marshal gives the file's bytes: the same for the same lock, whoever writes it.
func (l *Lock) Marshal() []byte {
	var w writer
	w.text("{\n \"arches\": {")
	arches := make([]string, 0, len(l.Arches))
	for name := range l.Arches {
		arches = append(arches, name)
	}
	sort.Strings(arches)
	for i, name := range arches {
		w.separate(i, "\n  ")
		w.value(name)
		w.text(": {")
		for j, set := range l.Arches[name].sets() {
			w.separate(j, "\n   ")
			w.value(set.name)
			w.text(": [")
			for k, p := range set.packages {
				w.separate(k, "\n    ")
				w.value(packageLine(p))
			}
			w.end(len(set.packages), "\n   ]")
		}
		w.text("\n  }")
	}
	w.end(len(arches), "\n }")
	w.text(",\n \"definition\": ")
	w.value(l.Definition)
	w.text(",\n \"encoder\": ")
	w.value(l.Encoder)
	w.text(",\n \"epoch\": ")
	w.value(l.Epoch)
	w.text(",\n \"name\": ")
	w.value(l.Name)
	w.text(",\n \"releases\": [")
	for i, r := range l.Releases {
		w.separate(i, "\n  ")
		w.value(releaseLine(r))
	}
	w.end(len(l.Releases), "\n ]")
	w.text(",\n \"version\": ")
	w.value(l.Version)
	w.text("\n}\n")
	return w.buf.Bytes()
}

// set is a list of packages and its key.
type set struct {
	name     string
	packages []Package
}

// sets gives the lists of an architecture in the order of their keys.
func (a Arch) sets() []set {
	return []set{{"boot", a.Boot}, {"kernel", a.Kernel}, {"packages", a.Packages}, {"tools", a.Tools}}
}

// A map marshals with sorted keys. Lists are never null.
func packageLine(p Package) map[string]any {
	return map[string]any{
		"arch": p.Arch, "archive": p.Archive, "name": p.Name, "path": p.Path,
		"sha256": p.Digest, "size": p.Size, "version": p.Version,
	}
}

func releaseLine(r Release) map[string]any {
	return map[string]any{
		"archive": r.Archive, "date": r.Date, "mirrors": append([]string{}, r.Mirrors...),
		"sha256": r.Digest, "signers": append([]string{}, r.Signers...), "suite": r.Suite,
	}
}

// writer puts JSON values between text of its own.
type writer struct{ buf bytes.Buffer }

func (w *writer) text(s string) { w.buf.WriteString(s) }

// separate begins element i of a list.
func (w *writer) separate(i int, indent string) {
	if i > 0 {
		w.text(",")
	}
	w.text(indent)
}

// end closes a list or table of n elements; an empty one on its own line.
func (w *writer) end(n int, closing string) {
	if n == 0 {
		closing = closing[len(closing)-1:]
	}
	w.text(closing)
}

// value writes strings, numbers, digests, and maps and lists of them: nothing
// that JSON cannot say.
func (w *writer) value(v any) {
	enc := json.NewEncoder(&w.buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic("marshal lock: " + err.Error())
	}
	w.buf.Truncate(w.buf.Len() - 1) // the newline
}
