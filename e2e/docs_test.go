package e2e

import (
	"html"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// documents are the pages whose console blocks are run, each in a directory of
// its own, from top to bottom.
var documents = []string{"README.md", "doc/guide.md"}

var consoleBlock = regexp.MustCompile("(?s)```console\n(.*?)```")

// TestDocuments runs every command of the documents' console blocks. The lines
// below a command must each occur in what it prints.
func TestDocuments(t *testing.T) {
	for _, name := range documents {
		text, err := os.ReadFile(filepath.Join(repository, name))
		if err != nil {
			t.Fatal(err)
		}
		dir, ran := t.TempDir(), 0
		for _, block := range consoleBlock.FindAllStringSubmatch(string(text), -1) {
			ran += runBlock(t, dir, block[1])
		}
		if ran == 0 {
			t.Errorf("%s has no command in a console block", name)
		}
	}
}

func runBlock(t *testing.T, dir, block string) (ran int) {
	output := ""
	for _, line := range strings.Split(strings.TrimSpace(block), "\n") {
		command, ok := strings.CutPrefix(line, "$ ")
		if !ok {
			if !strings.Contains(output, strings.TrimSpace(line)) {
				t.Errorf("%q is not in the output:\n%s", line, output)
			}
			continue
		}
		cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", command)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(ashlar)+":"+os.Getenv("PATH"))
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", command, err, out)
		}
		output = string(out)
		ran++
	}
	return ran
}

// TestRecording holds the README's picture to the commands that it records.
func TestRecording(t *testing.T) {
	source, err := os.ReadFile("recording/main.go")
	if err != nil {
		t.Fatal(err)
	}
	picture, err := os.ReadFile(filepath.Join(repository, "doc/tour.svg"))
	if err != nil {
		t.Fatal(err)
	}
	commands := regexp.MustCompile(`\n\t"(.*)",`).FindAllStringSubmatch(string(source), -1)
	shown := regexp.MustCompile(`class="p"[^>]*>\$ ([^<]*)<`).FindAllStringSubmatch(string(picture), -1)
	if len(commands) == 0 || len(commands) != len(shown) {
		t.Fatalf("%d commands, %d in the picture: run make recording", len(commands), len(shown))
	}
	for n, c := range commands {
		if html.UnescapeString(shown[n][1]) != c[1] {
			t.Errorf("the picture shows %q for %q: run make recording", shown[n][1], c[1])
		}
	}
	if !strings.Contains(string(picture), "ok   http") {
		t.Error("the recorded machine did not answer")
	}
}

// TestExitCodesInReadme holds the README's table to the program's manual page
// of them.
func TestExitCodesInReadme(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(repository, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(filepath.Join(repository, "cmd/ashlar/exit.go"))
	if err != nil {
		t.Fatal(err)
	}
	constants := map[string]string{}
	for _, m := range regexp.MustCompile(`(exit[A-Z]\w+)\s+= (\d+)`).FindAllStringSubmatch(string(source), -1) {
		constants[m[1]] = m[2]
	}
	rows := regexp.MustCompile(`\{(exit\w+), "([^"]+)"`).FindAllStringSubmatch(string(source), -1)
	if len(rows) < 8 {
		t.Fatalf("found %d exit codes in the source", len(rows))
	}
	for _, row := range rows {
		if want := "| " + constants[row[1]] + " | " + row[2] + " |"; !strings.Contains(string(readme), want) {
			t.Errorf("the README lacks the row %q", want)
		}
	}
}
