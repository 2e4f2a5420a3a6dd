package rootfs

import (
	"archive/tar"
	"bytes"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"ashlar/internal/builder/distro/deb"
	"ashlar/internal/builder/store"
	"ashlar/internal/foundation/digest"
)

// fileTime is the time of what test packages ship.
const fileTime = 1_500_000_000

// testDeb is a small package.
type testDeb struct {
	name    string
	version string // "1" when empty
	arch    string // "all" when empty
	fields  string // further control fields, whole lines
	files   []testFile
	members map[string]string // control members but for the control file
}

// testFile is an entry of data.tar.
type testFile struct {
	tar.Header
	content string
}

func file(name, content string) testFile {
	return testFile{tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644}, content}
}

func dir(name string) testFile {
	return testFile{tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755}, ""}
}

func symlink(name, target string) testFile {
	return testFile{tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777}, ""}
}

func hardLink(name, target string) testFile {
	return testFile{tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: "./" + target, Mode: 0o644}, ""}
}

func (f testFile) mode(mode int64) testFile {
	f.Mode = mode
	return f
}

// owned gives numbers and names; either may contradict the other.
func (f testFile) owned(uid, gid int, user, group string) testFile {
	f.Uid, f.Gid, f.Uname, f.Gname = uid, gid, user, group
	return f
}

// script is a member that is run.
func script(lines ...string) string { return "#!/bin/sh\nset -e\n" + strings.Join(lines, "\n") + "\n" }

// build writes the package as dpkg-deb does, but for compression.
func (d testDeb) build(t *testing.T) []byte {
	t.Helper()
	control := fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: %s\nMaintainer: M <m@example.org>\n%sDescription: test\n",
		d.name, d.versionOr1(), d.archOrAll(), d.fields)
	members := []testFile{file("control", control)}
	for _, name := range slices.Sorted(maps.Keys(d.members)) {
		m := file(name, d.members[name])
		if slices.Contains(scriptNames, name) {
			m = m.mode(0o755)
		}
		members = append(members, m)
	}
	var b bytes.Buffer
	b.WriteString("!<arch>\n")
	for _, m := range []struct {
		name string
		data []byte
	}{
		{"debian-binary", []byte("2.0\n")},
		{"control.tar", makeTar(t, members)},
		{"data.tar", makeTar(t, withParents(d.files))},
	} {
		fmt.Fprintf(&b, "%-16s%-12d%-6d%-6d%-8s%-10d`\n%s", m.name, fileTime, 0, 0, "100644", len(m.data), m.data)
		if len(m.data)%2 == 1 {
			b.WriteByte('\n')
		}
	}
	return b.Bytes()
}

func (d testDeb) versionOr1() string {
	if d.version == "" {
		return "1"
	}
	return d.version
}

func (d testDeb) archOrAll() string {
	if d.arch == "" {
		return "all"
	}
	return d.arch
}

// withParents adds the directories above files before the first that needs
// them, and puts links last, as dpkg-deb does.
func withParents(files []testFile) []testFile {
	seen := map[string]bool{}
	var all []testFile
	var parents func(name string)
	parents = func(name string) {
		if seen[name] {
			return
		}
		if name != "." {
			parents(path.Dir(name))
		}
		seen[name] = true
		all = append(all, dir(name))
	}
	parents(".")
	for _, links := range []bool{false, true} {
		for _, f := range files {
			if links == (f.Typeflag == tar.TypeSymlink) {
				parents(path.Dir(f.Name))
				seen[f.Name] = true
				all = append(all, f)
			}
		}
	}
	return all
}

// makeTar writes names and owners as dpkg-deb has GNU tar write them.
func makeTar(t *testing.T, files []testFile) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		h := f.Header
		h.Format, h.ModTime, h.Size = tar.FormatGNU, time.Unix(fileTime, 0), int64(len(f.content))
		if h.Uname == "" && h.Uid == 0 {
			h.Uname = "root"
		}
		if h.Gname == "" && h.Gid == 0 {
			h.Gname = "root"
		}
		if h.Name = "./" + h.Name; h.Name == "./." {
			h.Name = "./"
		} else if h.Typeflag == tar.TypeDir {
			h.Name += "/"
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(f.content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// unpack puts the package into the store.
func (d testDeb) unpack(t *testing.T, st *store.Store) (*deb.Unpacked, digest.Digest) {
	t.Helper()
	sum, err := st.PutBytes(d.build(t))
	if err != nil {
		t.Fatal(err)
	}
	u, err := deb.Unpack(t.Context(), st, d.name, sum)
	if err != nil {
		t.Fatal(err)
	}
	return u, sum
}
