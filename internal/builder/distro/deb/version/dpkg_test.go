package version_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"ashlar/internal/builder/distro/deb/version"
	"ashlar/internal/testenv"
)

// TestAsDpkg compares pairs of real versions, near ones and far ones, with
// what dpkg says. A shell asks about many pairs at once.
func TestAsDpkg(t *testing.T) {
	dpkg := testenv.RequireTool(t, "dpkg")
	versions := testenv.Debian(t, "trixie").Values("Version")
	for _, v := range versions {
		parsed, err := version.Parse(v)
		if err != nil {
			t.Error(err)
		} else if parsed.String() != strings.TrimPrefix(v, "0:") {
			t.Errorf("%s is written %s", v, parsed)
		}
	}
	pairs := 3000
	if testing.Short() {
		pairs = 400
	}
	rng := rand.New(rand.NewPCG(5, 6))
	scripts := make([]bytes.Buffer, 2)
	want := make([]bytes.Buffer, 2)
	for i := range pairs {
		at := rng.IntN(len(versions) - 3)
		a, b := versions[at], versions[at+1+rng.IntN(2)]
		if i%3 == 0 {
			b = versions[rng.IntN(len(versions))]
		}
		if i%2 == 1 {
			a, b = b, a
		}
		fmt.Fprintf(&scripts[i%2], "%s --compare-versions '%s' '%s' '%s' && echo '%s %s'\n", dpkg, a, relationOf(version.Compare(a, b)), b, a, b)
		fmt.Fprintf(&want[i%2], "%s %s\n", a, b)
	}
	var wg sync.WaitGroup
	for i := range scripts {
		wg.Go(func() {
			cmd := exec.Command("sh")
			cmd.Stdin = &scripts[i]
			got, err := cmd.Output()
			if err != nil && len(got) == 0 {
				t.Error(err)
			}
			agreed := strings.Split(string(got), "\n")
			for line := range strings.Lines(want[i].String()) {
				pair := strings.TrimSpace(line)
				if agreed[0] != pair {
					t.Errorf("dpkg orders %s otherwise", pair)
					continue
				}
				agreed = agreed[1:]
			}
		})
	}
	wg.Wait()
	t.Logf("%d pairs of %d versions compared", pairs, len(versions))
}

func relationOf(c int) string { return []string{"lt", "eq", "gt"}[c+1] }
