package rootfs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ashlar/internal/builder/definition"
	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/tree"
)

func listInput(t *testing.T, list string) Input {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"the.list": list, "app": "program", "sub/conf": "text"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "outside")); err != nil {
		t.Fatal(err)
	}
	return Input{
		Dir: dir, Definition: &definition.Definition{Files: definition.Files{List: "the.list"}},
		Getenv: func(name string) string { return map[string]string{"WHERE": "sub"}[name] },
	}
}

func hostAdder(path string) (digest.Digest, int64, tree.Content, error) {
	data, err := os.ReadFile(path)
	return digest.Of(data), int64(len(data)), tree.Bytes(data), err
}

func TestFileList(t *testing.T) {
	in := listInput(t, "file /usr/bin/app app 0755 3 4\nfile /etc/conf ${WHERE}/conf 0640 0 0\nnod /dev/x 0600 0 0 c 1 2\n")
	root := &tree.Tree{}
	if err := applyFileList(root, in, hostAdder); err != nil {
		t.Fatal(err)
	}
	app, conf, x := root.Get("usr/bin/app"), root.Get("etc/conf"), root.Get("dev/x")
	if app.Mode != 0o755 || app.UID != 3 || app.Size != 7 || app.Digest != digest.Of([]byte("program")) || conf.Size != 4 || x.Minor != 2 {
		t.Errorf("%+v, %+v, %+v", app, conf, x)
	}
	in.Definition.Files.List = ""
	if err := applyFileList(nil, in, hostAdder); err != nil {
		t.Errorf("without a list: %v", err)
	}
}

func TestFileListRefuses(t *testing.T) {
	for list, want := range map[string]string{
		"dir /a 0755 0 0\nfile /b none 0644 0 0": "line 2: location none, which must be below",
		"file /b /etc/passwd 0644 0 0":           "line 1: location /etc/passwd, which must be below",
		"file /b ../x 0644 0 0":                  "line 1: location ../x",
		"file /b outside 0644 0 0":               "line 1: location outside",
		"file /b sub 0644 0 0":                   "location sub is not a file",
		"file /b ${UNSET} 0644 0 0":              `variable "UNSET" is not set`,
	} {
		err := applyFileList(&tree.Tree{}, listInput(t, list), hostAdder)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "the.list") {
			t.Errorf("%s: got %v, want an error with %q", list, err, want)
		}
	}
	in := listInput(t, "")
	in.Definition.Files.List = "none.list"
	if err := applyFileList(&tree.Tree{}, in, hostAdder); err == nil || !strings.Contains(err.Error(), "files.list") {
		t.Errorf("no list: %v", err)
	}
}
