package definition

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files, the schema and the manual")

// goldenPart is a named part of a golden file, which is in txtar's form: a comment,
// then each part below a line "-- NAME --".
type goldenPart struct{ name, text string }

func readGolden(t *testing.T, file string) (comment string, sections []goldenPart) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.SplitAfter(string(data), "\n") {
		name, ok := strings.CutPrefix(strings.TrimSuffix(line, " --\n"), "-- ")
		switch {
		case ok && strings.HasSuffix(line, " --\n"):
			sections = append(sections, goldenPart{name: name})
		case len(sections) == 0:
			comment += line
		default:
			sections[len(sections)-1].text += line
		}
	}
	return comment, sections
}

// TestErrors compares the whole text of every error with what testdata/errors
// holds: a NAME.toml and after it, in NAME.want, what Parse says.
func TestErrors(t *testing.T) {
	files, err := filepath.Glob("testdata/errors/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		comment, sections := readGolden(t, file)
		if *update {
			rewrite(t, file, comment, sections)
			continue
		}
		for i := 0; i+1 < len(sections); i += 2 {
			in, want := sections[i], sections[i+1]
			name := strings.TrimSuffix(in.name, ".toml")
			t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar")+"/"+name, func(t *testing.T) {
				if want.name != name+".want" {
					t.Fatalf("after %s stands %s", in.name, want.name)
				}
				// A new target changes no expected text.
				text := strings.ReplaceAll(want.text, "TARGETS", strings.Join(append(TargetNames(), TargetAll), ", "))
				if got := errorText(in); got != text {
					t.Errorf("got:\n%s\nwant:\n%s", got, text)
				}
			})
		}
	}
}

func errorText(in goldenPart) string {
	_, err := Parse(in.name, []byte(in.text))
	var all Errors
	if !errors.As(err, &all) {
		return "no errors\n"
	}
	return all.Text()
}

func rewrite(t *testing.T, file, comment string, sections []goldenPart) {
	t.Helper()
	out := comment
	for _, in := range sections {
		if name, ok := strings.CutSuffix(in.name, ".toml"); ok {
			out += "-- " + in.name + " --\n" + in.text + "-- " + name + ".want --\n" + errorText(in)
		}
	}
	if err := os.WriteFile(file, []byte(out), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestErrorsAreData(t *testing.T) {
	_, err := Parse("dir/ashlar.toml", []byte("name = \"web\"\nbase.suit = \"trixie\"\n"))
	var all Errors
	if !errors.As(err, &all) || len(all) != 2 {
		t.Fatalf("want two errors, got %v", err)
	}
	data, err := json.Marshal(all[1])
	if err != nil {
		t.Fatal(err)
	}
	want := `{"position":{"file":"dir/ashlar.toml","line":2,"column":6},"key":"base.suit","message":"unknown key \"suit\"","hint":"did you mean \"suite\"? allowed: components, distro, extra, keyring, mirrors, security, snapshot, suite, updates","source":"base.suit = \"trixie\""}`
	if string(data) != want {
		t.Errorf("got  %s\nwant %s", data, want)
	}
	var one Error
	if !errors.As(error(all), &one) || one.Key != "base.suite" {
		t.Errorf("errors.As gives %v", one)
	}
}

// A secret must not reach a terminal or a log by way of an error.
func TestSecretsStaySecret(t *testing.T) {
	_, err := Parse(FileName, []byte(minimal+"[users.me]\npassword = \"hunter2\"\nkeys = [\"-----BEGIN OPENSSH PRIVATE KEY-----\\nb3BlbnNz\"]\n"))
	var all Errors
	if !errors.As(err, &all) || len(all) != 2 {
		t.Fatalf("want two errors, got %v", err)
	}
	data, jsonErr := json.Marshal(all)
	if jsonErr != nil {
		t.Fatal(jsonErr)
	}
	for _, shown := range []string{all.Error(), all.Text(), string(data)} {
		if strings.Contains(shown, "hunter2") || strings.Contains(shown, "b3Blb") {
			t.Errorf("a secret is shown: %s", shown)
		}
	}
}

func TestErrorsAreBounded(t *testing.T) {
	for name, text := range map[string]string{
		"keys":     strings.Repeat("x = 1\n", 10000),
		"one line": minimal + "packages = [" + strings.Repeat("1,", 100000) + "]\n",
		"broken":   strings.Repeat("x = y\n", 100000),
		"deep":     "x = " + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + "\n",
		"dotted":   strings.Repeat("a.", 50000) + "a = 1\n",
		"large":    strings.Repeat("#\n", MaxSize),
	} {
		_, err := Parse(FileName, []byte(text))
		var all Errors
		if !errors.As(err, &all) || len(all) > maxErrors+1 {
			t.Errorf("%s: %d errors", name, len(all))
			continue
		}
		if size := len(all.Text()); size > 200*(maxErrors+1)+2*maxSource*(maxErrors+1) {
			t.Errorf("%s: the text has %d bytes", name, size)
		}
	}
}
