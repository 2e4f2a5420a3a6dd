// Package e2e drives the real ashlar as a user would: it locks, builds,
// verifies and boots the examples, and breaks things on purpose.
package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ashlar/internal/machine/qemu"
)

// ashlar is the program under test, built by TestMain.
var ashlar string

// repository is the checkout's root.
var repository string

func TestMain(m *testing.M) {
	code, err := setUp(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func setUp(m *testing.M) (int, error) {
	var err error
	if repository, err = filepath.Abs(".."); err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp("", "ashlar-e2e-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	ashlar = filepath.Join(dir, "ashlar")
	build := exec.Command("make", "-s", "device", "examples")
	build.Dir = repository
	if out, err := build.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("make device examples: %w\n%s", err, out)
	}
	build = exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", ashlar, "./cmd/ashlar")
	build.Dir = repository
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("build ashlar: %w\n%s", err, out)
	}
	// Other users of this machine run the program in some of the tests.
	if err := os.Chmod(dir, 0o755); err != nil {
		return 0, err
	}
	code := m.Run()
	if code == 0 {
		err = page.check(wholeRun())
	}
	return code, err
}

// result is what a run of ashlar gave.
type result struct {
	code           int
	stdout, stderr string
}

// command is a run of ashlar to be.
type command struct {
	args   []string
	env    []string // besides the test's
	prefix []string // program and arguments that run it: unshare, setpriv
	dir    string
}

func (c command) run(t *testing.T) result {
	t.Helper()
	const patience = 10 * time.Minute
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	words := append(append([]string{}, c.prefix...), ashlar)
	words = append(words, c.args...)
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Env = append(os.Environ(), c.env...)
	cmd.Dir = c.dir
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("run %s: %v", strings.Join(words, " "), err)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// must runs ashlar and ends the test when it fails.
func must(t *testing.T, args ...string) result {
	t.Helper()
	return command{args: args}.must(t)
}

func (c command) must(t *testing.T) result {
	t.Helper()
	r := c.run(t)
	if r.code != 0 {
		t.Fatalf("ashlar %s: exit code %d\n%s", strings.Join(c.args, " "), r.code, r.stderr)
	}
	return r
}

// example gives a private copy of an example, so that tests may change it and
// its output is their own.
func example(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(repository, "examples", name))); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "out")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// replace changes a text in a file.
func replace(t *testing.T, file, old, new string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(data), old) {
		t.Fatalf("%s does not have %q", file, old)
	}
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(string(data), old, new)), 0o644); err != nil {
		t.Fatal(err)
	}
}

// emulator is the locked QEMU of an example, run from the store.
func emulator(t *testing.T, dir string) *qemu.Emulator {
	t.Helper()
	r := must(t, "tools", dir)
	e, err := qemu.FromRoot(strings.TrimSpace(r.stdout))
	if err != nil {
		t.Fatal(err)
	}
	return e
}
