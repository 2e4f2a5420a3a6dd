package rootfs

import (
	"strings"
	"testing"

	"ashlar/internal/foundation/tree"
)

// TestStandIns: scripts find the stand-ins, and what comes of them has the
// files that these stood for, unless a script has made others.
func TestStandIns(t *testing.T) {
	const compiler, helper, key = "usr/lib/python3.13/py_compile.py", "usr/bin/py3compile", "etc/ssh/ssh_host_rsa_key"
	given := func(names ...string) *tree.Tree {
		tr := &tree.Tree{}
		for _, name := range names {
			e := tree.NewFile(name, 0o755, []byte("original "+name))
			e.MTime = 42
			if err := tr.AddParents(name, 0o755, 0); err != nil {
				t.Fatal(err)
			}
			if err := tr.Put(e); err != nil {
				t.Fatal(err)
			}
		}
		return tr
	}
	text := func(tr *tree.Tree, name string) string {
		e := tr.Get(name)
		if e == nil {
			return "none"
		}
		data, err := e.ReadAll(1000)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}

	tr := given(compiler, helper, "usr/sbin/sshd")
	leave, err := putStandIns(tr)
	if err != nil {
		t.Fatal(err)
	}
	if got := text(tr, helper); got != "#!/bin/sh\nexit 0\n" || tr.Get(helper).Mode != 0o755 {
		t.Errorf("scripts find %q, mode %o", got, tr.Get(helper).Mode)
	}
	if got := text(tr, compiler); !strings.HasSuffix(got, "\noriginal "+compiler) {
		t.Errorf("as a module the compiler is %q", got)
	}
	if got := text(tr, key); got != "" {
		t.Errorf("the host key is %q", got)
	}
	other := tree.NewFile(helper, 0o755, []byte("a script's own"))
	if err := tr.Put(other); err != nil {
		t.Fatal(err)
	}
	leave(tr)
	if text(tr, compiler) != "original "+compiler || tr.Get(compiler).MTime != 42 || text(tr, helper) != "a script's own" || text(tr, key) != "none" {
		t.Errorf("there is left %q, %q, %q", text(tr, compiler), text(tr, helper), text(tr, key))
	}

	tr = given("usr/bin/prog")
	before := tr.Len()
	if _, err := putStandIns(tr); err != nil || tr.Len() != before {
		t.Errorf("a tree that needs none got %q: %v", tr.Paths(), err)
	}
	tr = given("usr/sbin/sshd", key)
	if _, err := putStandIns(tr); err != nil || text(tr, key) != "original "+key {
		t.Errorf("a key that is there became %q: %v", text(tr, key), err)
	}
}
