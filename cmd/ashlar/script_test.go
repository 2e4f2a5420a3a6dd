package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"ashlar/internal/builder/definition"
	"ashlar/internal/builder/lock"
	"ashlar/internal/builder/pipeline"
	"ashlar/internal/foundation/digest"
	"ashlar/internal/testenv"
)

// TestMain lets scripts run this test binary as ashlar: the real main, in a
// process of its own.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"ashlar": main})
}

// TestScripts runs the scripts that need neither a network nor a machine.
func TestScripts(t *testing.T) { runScripts(t, "testdata/script") }

// TestScriptsWithMirror runs those that lock for real.
func TestScriptsWithMirror(t *testing.T) {
	testenv.Mirror(t)
	runScripts(t, "testdata/mirror")
}

// runScripts gives each script a store of its own, an environment without this
// machine's settings, and in $EXAMPLES the examples with their locks.
func runScripts(t *testing.T, dir string) {
	examples, err := filepath.Abs("../../examples")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 dir,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("EXAMPLES", examples)
			env.Setenv("ASHLAR_STORE", filepath.Join(env.WorkDir, ".store"))
			for _, name := range []string{"http_proxy", "HTTP_PROXY", "ASHLAR_MIRROR_DEBIAN", "ASHLAR_MIRROR_DEBIAN_SECURITY"} {
				if value, ok := os.LookupEnv(name); ok {
					env.Setenv(name, value)
				}
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": scriptExits, "fakelock": scriptFakeLock, "cut": scriptCut, "flip": scriptFlip, "same": scriptSame,
			"bootsector": scriptBootSector,
		},
	})
}

// scriptExits is `exits CODE PROGRAM ARG...`: the program ends with that very code.
func scriptExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%s: %v", strings.Join(args[1:], " "), err)
	}
	if got != want {
		ts.Fatalf("%s: exit code %d, want %d", strings.Join(args[1:], " "), got, want)
	}
}

// scriptFakeLock is `fakelock DIR ROOT NAME...`: it locks the definition in DIR
// to files that serve as packages, ROOT/debian/pool/NAME.deb.
func scriptFakeLock(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: fakelock DIR ROOT NAME...")
	}
	dir := ts.MkAbs(args[0])
	def, err := definition.Load(dir)
	ts.Check(err)
	arch := lock.Arch{Packages: []lock.Package{}, Kernel: []lock.Package{}, Boot: []lock.Package{}, Tools: []lock.Package{}}
	for _, name := range args[2:] {
		data := []byte(ts.ReadFile(filepath.Join(args[1], "debian", "pool", name+".deb")))
		arch.Packages = append(arch.Packages, lock.Package{
			Name: name, Version: "1", Arch: "all", Archive: "debian", Path: "pool/" + name + ".deb", Size: int64(len(data)), Digest: digest.Of(data),
		})
	}
	const epoch = 1577836800
	l := &lock.Lock{
		Version: lock.Version, Name: def.Name, Definition: def.InputDigest(), Epoch: epoch, Encoder: encoderName(ts, def),
		Releases: []lock.Release{{
			Archive: "debian", Mirrors: []string{"file:///nowhere/debian"}, Suite: def.Base.Suite,
			Date: "2020-01-01T00:00:00Z", Digest: digest.Of(nil), Signers: []string{},
		}},
		Arches: map[string]lock.Arch{def.Arch[0]: arch},
	}
	ts.Check(os.WriteFile(filepath.Join(dir, pipeline.LockName), l.Marshal(), 0o644))
}

// encoderName is that of the committed locks, which have the default compressor.
func encoderName(ts *testscript.TestScript, def *definition.Definition) string {
	data, err := os.ReadFile(filepath.Join(ts.Getenv("EXAMPLES"), "web", pipeline.LockName))
	ts.Check(err)
	l, err := lock.Parse(data)
	ts.Check(err)
	return l.Encoder
}

// scriptCut is `cut FILE SIZE`: the file keeps its first bytes.
func scriptCut(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: cut FILE SIZE")
	}
	size, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	ts.Check(os.Truncate(ts.MkAbs(args[0]), size))
}

// scriptFlip is `flip FILE OFFSET`: one byte becomes another.
func scriptFlip(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: flip FILE OFFSET")
	}
	at, err := strconv.Atoi(args[1])
	ts.Check(err)
	data := []byte(ts.ReadFile(args[0]))
	data[at] ^= 0xff
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), data, 0o644))
}

// scriptSame is `[!] same A B`: two directories hold the same names and bytes.
func scriptSame(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: same A B")
	}
	err := ts.Exec("diff", "-r", ts.MkAbs(args[0]), ts.MkAbs(args[1]))
	if (err == nil) == neg {
		ts.Fatalf("%s and %s: the same is %t", args[0], args[1], err == nil)
	}
}

// scriptBootSector is `bootsector FILE`: a disk with nothing but the mark of one.
func scriptBootSector(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: bootsector FILE")
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), append(make([]byte, 510), 0x55, 0xaa), 0o644))
}
