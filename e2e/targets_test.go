package e2e

import (
	"os"
	"path/filepath"
	"testing"
)

// machines are the targets that `ashlar run` starts here, but for disks, which
// TestExamples starts. Each answers with the example's page.
var machines = []struct {
	row   shown
	flags []string
}{
	{shown{"kernel", "amd64", "kernel and initrd by the emulator, images as disks", "answers HTTP"}, []string{"-m", "128"}},
}

// TestTargets starts the targets of one definition.
func TestTargets(t *testing.T) {
	dir := example(t, "web")
	want, err := os.ReadFile(filepath.Join(dir, "files/var/www/html/index.html"))
	if err != nil {
		t.Fatal(err)
	}
	must(t, "build", dir, "--target", "all")
	for _, m := range machines {
		t.Run(m.row.target+" "+m.row.how, func(t *testing.T) {
			if got := runTarget(t, dir, m.row, m.flags...); got != string(want) {
				t.Errorf("it answers %q", got)
			}
		})
	}
}
