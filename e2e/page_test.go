package e2e

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ashlar/internal/builder/definition"
	"ashlar/internal/testenv"
)

var update = flag.Bool("update", false, "write what the tests have shown to doc/targets.md")

// shown is a row of doc/targets.md: that a target did what it is for.
type shown struct {
	target string // of definition.Targets
	arch   string
	how    string // "by BIOS", "as a CD by UEFI", "read back by qemu-img": as the page has it
	what   string // "answers HTTP"; nothing that differs from run to run
}

func (r shown) line() string {
	return fmt.Sprintf("| `%s` | %s | %s | %s |", r.target, r.arch, r.how, r.what)
}

// shownRows are the rows of this run of the tests.
type shownRows struct {
	mu   sync.Mutex
	rows map[string]shown // by line
}

var page = shownRows{rows: map[string]shown{}}

// note adds a row when the test that showed it ends well.
func (p *shownRows) note(t *testing.T, r shown) {
	t.Helper()
	if _, ok := definition.FindTarget(r.target); !ok {
		t.Fatalf("there is no target %q", r.target)
	}
	t.Cleanup(func() {
		if !t.Failed() && !t.Skipped() {
			p.mu.Lock()
			p.rows[r.line()] = r
			p.mu.Unlock()
		}
	})
}

const pageHead = "# What every target was seen to do\n\n" +
	"This page is written by the tests (`go test ./e2e -update`): a row stands here when a test has shown it, and the whole\n" +
	"suite fails when they differ. Machines run in the locked QEMU, by software emulation, and what answers is\n" +
	"`examples/web` unless the row says else. What the targets are says [the reference](reference/definition.md#targets).\n\n" +
	"| target | architecture | how | what was shown |\n|---|---|---|---|\n"

// pagePath is the page in the repository.
func pagePath() string { return filepath.Join(repository, "doc", "targets.md") }

// check compares the page with what this run has shown: a row that is not on it
// is an error, and in a whole run one on it that nothing has shown.
func (p *shownRows) check(whole bool) error {
	old, err := os.ReadFile(pagePath())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	lines := map[string]bool{}
	for line := range p.rows {
		lines[line] = true
	}
	if !whole {
		for line := range strings.Lines(string(old)) {
			if line = strings.TrimSuffix(line, "\n"); strings.HasPrefix(line, "| `") {
				lines[line] = true
			}
		}
	}
	text := renderPage(slices.Collect(maps.Keys(lines)))
	if bytes.Equal(text, old) {
		return nil
	}
	if *update {
		return os.WriteFile(pagePath(), text, 0o644)
	}
	return fmt.Errorf("doc/targets.md is not what the tests have shown: run go test ./e2e -update\n--- it should be\n%s", text)
}

// renderPage puts rows into the order of the table of targets.
func renderPage(lines []string) []byte {
	slices.Sort(lines)
	var text bytes.Buffer
	text.WriteString(pageHead)
	for _, name := range definition.TargetNames() {
		for _, line := range lines {
			if strings.HasPrefix(line, "| `"+name+"` |") {
				fmt.Fprintln(&text, line)
			}
		}
	}
	return text.Bytes()
}

// wholeRun reports whether every test was to run, and none could be left out.
func wholeRun() bool {
	return testenv.CI() && flag.Lookup("test.run").Value.String() == "" && flag.Lookup("test.skip").Value.String() == ""
}

func TestRenderPage(t *testing.T) {
	disk, root := shown{"disk", "amd64", "by UEFI", "answers"}.line(), shown{"root", "amd64", "read back", "equal"}.line()
	bios := shown{"disk", "amd64", "by BIOS", "answers"}.line()
	if got := string(renderPage([]string{root, disk, bios})); got != pageHead+bios+"\n"+disk+"\n"+root+"\n" {
		t.Errorf("the page is\n%s", got)
	}
	if got := string(renderPage([]string{"| `gone` | amd64 | x | y |"})); got != pageHead {
		t.Errorf("a target that there is no more: %s", got)
	}
}

// runTarget starts a target of the definition in dir by `ashlar run`, notes the
// row and gives what port 80 answers. The machine ends with the test.
func runTarget(t *testing.T, dir string, row shown, flags ...string) string {
	t.Helper()
	args := append([]string{ashlar, "run", dir, "--target", row.target, "--publish", "0:80"}, flags...)
	r := start(t, "", os.Environ(), args...)
	url := r.ready80(t)
	page.note(t, row)
	var body string
	eventually(t, "get "+url, func() (err error) {
		client := http.Client{Timeout: 20 * time.Second}
		resp, err := client.Get(url)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		data, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
		if body = string(data); err == nil && resp.StatusCode != http.StatusOK {
			err = fmt.Errorf("answers %s", resp.Status)
		}
		return err
	})
	r.end(t)
	return body
}
