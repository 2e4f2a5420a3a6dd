package debfile_test

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"ashlar/internal/format/debfile"
	"ashlar/internal/foundation/tree"
	"ashlar/internal/testenv"
)

// listing is what a package holds, one line an entry.
func listing(name string, r io.Reader, limits debfile.Limits) ([]string, error) {
	var got []string
	err := debfile.Read(name, r, limits, debfile.Visitor{
		Control: func(name string, data []byte) error {
			got = append(got, fmt.Sprintf("control %s %d", name, len(data)))
			return nil
		},
		Entry: func(e debfile.Entry, content io.Reader) error {
			data, err := io.ReadAll(content)
			if err != nil {
				return err
			}
			if e.Kind == tree.File && int64(len(data)) != e.Size {
				return fmt.Errorf("%d bytes, header says %d", len(data), e.Size)
			}
			got = append(got, fmt.Sprintf("%s %s %04o %s/%s %d %q %s", e.Kind, e.Path, e.Mode, e.User, e.Group, e.MTime, data, e.Target))
			return nil
		},
	})
	return got, err
}

// build has dpkg-deb make a package of all kinds of files.
func build(t *testing.T, args ...string) []byte {
	t.Helper()
	tool := testenv.RequireTool(t, "dpkg-deb")
	dir := t.TempDir()
	root := filepath.Join(dir, "root")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Join(root, "DEBIAN"), 0o755))
	must(os.MkdirAll(filepath.Join(root, "usr", "bin"), 0o755))
	must(os.WriteFile(filepath.Join(root, "DEBIAN", "control"), []byte("Package: x\nVersion: 1\nArchitecture: all\nMaintainer: m <m@x>\nDescription: x\n"), 0o644))
	must(os.WriteFile(filepath.Join(root, "DEBIAN", "postinst"), []byte("#!/bin/sh\n"), 0o755))
	must(os.WriteFile(filepath.Join(root, "usr", "bin", "tool"), []byte("tool"), 0o755))
	must(os.Chmod(filepath.Join(root, "usr", "bin", "tool"), 0o755|os.ModeSetuid))
	must(os.Link(filepath.Join(root, "usr", "bin", "tool"), filepath.Join(root, "usr", "bin", "zlink")))
	must(os.Symlink("tool", filepath.Join(root, "usr", "bin", "sym")))
	must(os.WriteFile(filepath.Join(root, "usr", strings.Repeat("long", 60)), nil, 0o644))
	out := filepath.Join(dir, "x.deb")
	cmd := exec.Command(tool, append(append([]string{"--root-owner-group"}, args...), "-b", root, out)...)
	cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH=1700000000")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("dpkg-deb: %v: %s", err, text)
	}
	data, err := os.ReadFile(out)
	must(err)
	return data
}

func TestRead(t *testing.T) {
	want := []string{
		"control control 75",
		"control postinst 10",
		"dir . 0755 root/root 1700000000 \"\" ",
		"dir usr 0755 root/root 1700000000 \"\" ",
		"dir usr/bin 0755 root/root 1700000000 \"\" ",
		"file usr/bin/tool 4755 root/root 1700000000 \"tool\" ",
		"hardlink usr/bin/zlink 4755 root/root 1700000000 \"\" usr/bin/tool",
		"file usr/" + strings.Repeat("long", 60) + " 0644 root/root 1700000000 \"\" ",
		"symlink usr/bin/sym 0777 root/root 1700000000 \"\" tool",
	}
	for _, kind := range []string{"none", "gzip", "xz", "zstd"} {
		data := build(t, "-Z"+kind)
		got, err := listing("x", bytes.NewReader(data), debfile.Limits{})
		if err != nil {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", kind, diff)
		}
	}
}

// TestCorrupt changes bytes all over a package: every change is an error that
// names the package and, past the headers, the member.
func TestCorrupt(t *testing.T) {
	for _, kind := range []string{"gzip", "xz", "zstd"} {
		good := build(t, "-Z"+kind, "--uniform-compression")
		at := bytes.Index(good, []byte("data.tar"))
		for _, pos := range []int{at + 60 + 20, at + 60 + 100, len(good) - 30} {
			bad := bytes.Clone(good)
			bad[pos] ^= 0x55
			_, err := listing("x_1_all.deb", bytes.NewReader(bad), debfile.Limits{})
			if err == nil || !strings.Contains(err.Error(), "read package x_1_all.deb: member data.tar.") {
				t.Errorf("%s, byte %d of %d changed: %v", kind, pos, len(good), err)
			}
		}
		for _, n := range []int{0, 5, 50, at + 30, at + 100, len(good) - 2} {
			if _, err := listing("x_1_all.deb", bytes.NewReader(good[:n]), debfile.Limits{}); err == nil || !strings.Contains(err.Error(), "x_1_all.deb") {
				t.Errorf("%s, cut to %d of %d: %v", kind, n, len(good), err)
			}
		}
	}
}

type file struct {
	name, content string
}

func arFile(members ...file) []byte {
	var b bytes.Buffer
	b.WriteString("!<arch>\n")
	for _, m := range members {
		fmt.Fprintf(&b, "%-16s%-12d%-6d%-6d%-8s%-10d`\n%s%s", m.name, 0, 0, 0, "100644", len(m.content), m.content, strings.Repeat("\n", len(m.content)&1))
	}
	return b.Bytes()
}

func tarFile(headers ...tar.Header) string {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		if err := w.WriteHeader(&h); err != nil {
			panic(err)
		}
		if _, err := w.Write(make([]byte, h.Size)); err != nil {
			panic(err)
		}
	}
	w.Close()
	return b.String()
}

func gz(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write([]byte(text))
	w.Close()
	return b.String()
}

var (
	binary  = file{"debian-binary", "2.0\n"}
	control = file{"control.tar", tarFile(tar.Header{Name: "./control", Size: 5})}
)

func TestHostile(t *testing.T) {
	data := func(headers ...tar.Header) []byte {
		return arFile(binary, control, file{"data.tar", tarFile(headers...)})
	}
	ctl := func(headers ...tar.Header) []byte {
		return arFile(binary, file{"control.tar", tarFile(headers...)}, file{"data.tar", tarFile()})
	}
	nul := data(tar.Header{Name: "./aXb", Size: 0, Typeflag: tar.TypeSymlink, Linkname: "cYd"})
	var enc, _ = zstd.NewWriter(nil)
	bomb := string(enc.EncodeAll(make([]byte, 3<<20), nil))
	cases := map[string]struct {
		data []byte
		want string
	}{
		"dot dot":           {data(tar.Header{Name: "./usr/../../etc/passwd"}), ".. element"},
		"absolute":          {data(tar.Header{Name: "/etc/passwd"}), "absolute"},
		"absolute dot dot":  {data(tar.Header{Name: "../x"}), ".. element"},
		"link out":          {data(tar.Header{Name: "a", Typeflag: tar.TypeLink, Linkname: "../x"}), ".. element"},
		"link absolute":     {data(tar.Header{Name: "a", Typeflag: tar.TypeLink, Linkname: "/etc/x"}), "absolute"},
		"link to nothing":   {data(tar.Header{Name: "a", Typeflag: tar.TypeLink, Linkname: "./b"}), "no such file before"},
		"link to itself":    {data(tar.Header{Name: "a", Typeflag: tar.TypeLink, Linkname: "./a"}), "no such file before"},
		"link to dir":       {data(tar.Header{Name: "b/", Typeflag: tar.TypeDir}, tar.Header{Name: "a", Typeflag: tar.TypeLink, Linkname: "b"}), "no such file before"},
		"name not UTF-8":    {data(tar.Header{Name: "a\xff", Typeflag: tar.TypeReg}), "name is not UTF-8"},
		"symlink not UTF-8": {data(tar.Header{Name: "a", Typeflag: tar.TypeSymlink, Linkname: "\xff"}), "symbolic link to"},
		"empty symlink":     {data(tar.Header{Name: "a", Typeflag: tar.TypeSymlink}), "symbolic link to"},
		"file twice":        {data(tar.Header{Name: "a"}, tar.Header{Name: "./a"}), "stands twice"},
		"root file":         {data(tar.Header{Name: "./", Typeflag: tar.TypeSymlink, Linkname: "x"}), "root must be"},
		"tar type":          {data(tar.Header{Name: "a", Typeflag: 'V'}), "tar type"},
		"control directory": {ctl(tar.Header{Name: "./control"}, tar.Header{Name: "./x/y"}), "only plain files"},
		"control symlink":   {ctl(tar.Header{Name: "./control", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}), "only plain files"},
		"control twice":     {ctl(tar.Header{Name: "./control"}, tar.Header{Name: "control"}), "stands twice"},
		"no control":        {ctl(tar.Header{Name: "./postinst"}), "no file named control"},
		"no data":           {arFile(binary, control), "member data.tar: missing"},
		"order":             {arFile(binary, file{"data.tar", ""}, control), "member data.tar stands where control.tar"},
		"first member":      {arFile(control, binary), "want debian-binary"},
		"version":           {arFile(file{"debian-binary", "3.0\n"}, control), "format \"3.0"},
		"compression":       {arFile(binary, control, file{"data.tar.lzma", "x"}), "compression \".lzma\""},
		"bomb":              {arFile(binary, control, file{"data.tar.zst", bomb}), "unpacks to more than 1048576 bytes"},
		"trailing garbage":  {arFile(binary, control, file{"data.tar.gz", gz(tarFile()) + "garbage"}), "data.tar.gz"},
		"not an ar":         {[]byte("PK\x03\x04 and more"), "not a Debian package"},
		"many entries":      {data(tar.Header{Name: "a"}, tar.Header{Name: "b"}, tar.Header{Name: "c"}, tar.Header{Name: "d"}), "more than 3 entries"},
	}
	limits := debfile.Limits{ControlBytes: 1 << 20, DataBytes: 1 << 20, Entries: 3}
	for name, c := range cases {
		_, err := listing("evil", bytes.NewReader(c.data), limits)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "package evil") {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if _, err := listing("x", bytes.NewReader(nul), limits); err != nil {
		t.Errorf("harmless package: %v", err)
	}
	// Members that begin with '_' and what follows data.tar are passed over.
	extra := arFile(binary, file{"_new", "x"}, control, file{"_newer", "yy"}, file{"data.tar", tarFile(tar.Header{Name: "a"})}, file{"more", "z"})
	if got, err := listing("x", bytes.NewReader(extra), limits); err != nil || len(got) != 2 {
		t.Errorf("further members: %q, %v", got, err)
	}
}

// TestReal reads a package from the archive, as dpkg-deb lists it.
func TestReal(t *testing.T) {
	tool := testenv.RequireTool(t, "dpkg-deb")
	path := testenv.Debian(t, "trixie").Package(t, "base-files")
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got, err := listing(path, f, debfile.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(tool, "-c", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, l := range got {
		if !strings.HasPrefix(l, "control ") {
			paths = append(paths, strings.Fields(l)[1])
		}
	}
	var want []string
	for _, l := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		p := strings.TrimPrefix(strings.TrimSuffix(strings.Fields(l)[5], "/"), "./")
		want = append(want, p)
	}
	if diff := cmp.Diff(want, paths); diff != "" {
		t.Error(diff)
	}
}

func FuzzRead(f *testing.F) {
	seed := arFile(binary, control, file{"data.tar", tarFile(tar.Header{Name: "./a", Size: 3}, tar.Header{Name: "./b", Typeflag: tar.TypeLink, Linkname: "./a"})})
	f.Add(seed)
	f.Add(arFile(binary, file{"control.tar.gz", gz(control.content)}, file{"data.tar.gz", gz(tarFile(tar.Header{Name: "./d/", Typeflag: tar.TypeDir}))}))
	var enc, _ = zstd.NewWriter(nil)
	f.Add(arFile(binary, control, file{"data.tar.zst", string(enc.EncodeAll([]byte(tarFile()), nil))}))
	f.Add(arFile(binary, control, file{"data.tar.xz", "\xfd7zXZ\x00"}))
	f.Add(arFile(binary, control, file{"data.tar.bz2", "BZh9"}))
	f.Fuzz(func(t *testing.T, data []byte) {
		limits := debfile.Limits{ControlBytes: 1 << 20, DataBytes: 1 << 20, Entries: 100}
		var set tree.Tree
		_ = debfile.Read("fuzz", bytes.NewReader(data), limits, debfile.Visitor{Entry: func(e debfile.Entry, content io.Reader) error {
			n, err := io.Copy(io.Discard, content)
			if err == nil && n != e.Size {
				t.Errorf("entry %q: %d bytes, said to be %d", e.Path, n, e.Size)
			}
			if err := set.Put(e.Entry); err != nil {
				t.Errorf("a tree does not take the entry: %v", err)
			}
			if e.Kind == tree.HardLink && set.Get(e.Target) == nil {
				t.Errorf("hard link %q to %q, which is not there", e.Path, e.Target)
			}
			return err
		}})
	})
}
