// Command recording runs the README's tour on the real ashlar and draws what a
// terminal shows, with the times it took, as an SVG picture that plays in a
// browser. `make recording` renews doc/tour.svg by it.
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"html"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"
)

// commands are the tour, run in an empty directory.
var commands = []string{
	"ashlar init hello",
	"ashlar lock hello",
	"ashlar build hello",
	"echo '<h1>hello</h1><p>It stands.</p>' > hello/files/var/www/html/index.html",
	"ashlar build hello",
	"ashlar test hello",
	"ashlar inspect hello/out/disk.img",
}

// line is a line of the terminal and when it came.
type line struct {
	text   string
	prompt bool
	at     time.Duration
}

func main() {
	out := flag.String("o", "doc/tour.svg", "picture to write")
	program := flag.String("ashlar", "bin/ashlar", "program to record")
	flag.Parse()
	if err := record(*program, *out); err != nil {
		fmt.Fprintln(os.Stderr, "recording:", err)
		os.Exit(1)
	}
}

func record(program, out string) (err error) {
	program, err = filepath.Abs(program)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "recording-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	var lines []line
	began := time.Now()
	for _, command := range commands {
		lines = append(lines, line{command, true, time.Since(began)})
		printed, err := run(program, dir, command, began)
		if err != nil {
			return err
		}
		lines = append(lines, printed...)
	}
	return os.WriteFile(out, []byte(picture(lines)), 0o644)
}

// run runs a command and takes what it prints, both streams as they come.
func run(program, dir, command string, began time.Time) ([]line, error) {
	cmd := exec.Command("/bin/sh", "-c", command)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(program)+":"+os.Getenv("PATH"), "NO_COLOR=1")
	r, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	done := make(chan error, 1)
	go func() {
		err := cmd.Wait()
		done <- errors.Join(err, w.Close())
	}()
	var lines []line
	scan := bufio.NewScanner(r)
	for scan.Scan() {
		if text, ok := shown(scan.Text()); ok {
			lines = append(lines, line{text, false, time.Since(began)})
		}
	}
	if err := errors.Join(scan.Err(), <-done); err != nil {
		return nil, fmt.Errorf("%s: %w", command, err)
	}
	return folded(lines), nil
}

// folded leaves out the middle of what is long.
func folded(lines []line) []line {
	const head, tail = 8, 6
	left := len(lines) - head - tail
	if left <= 1 {
		return lines
	}
	note := line{fmt.Sprintf("… %d lines", left), false, lines[head].at}
	return append(append(lines[:head:head], note), lines[len(lines)-tail:]...)
}

var (
	escapes = regexp.MustCompile(`\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>()][0-9A-Za-z]?|[\x00-\x08\x0b-\x1f\x7f]`)
	// What firmware, loader and kernel say fills pages and is not the tour.
	ofKernel = regexp.MustCompile(`^\[ *\d+\.\d+\]`)
	ofInit   = regexp.MustCompile(`ashlar: .*`)
)

// shown makes plain text of a line; not ok: the picture goes without it.
func shown(text string) (string, bool) {
	screen := strings.Contains(text, "\x1b")
	text = strings.TrimRight(escapes.ReplaceAllString(text, ""), " ")
	switch {
	case screen && ofInit.MatchString(text):
		text = ofInit.FindString(text)
	case screen, text == "", ofKernel.MatchString(text):
		return "", false
	}
	const width = 110
	if utf8.RuneCountInString(text) > width {
		text = string([]rune(text)[:width-1]) + "…"
	}
	return text, true
}

// Measures of the picture, in pixels; a character is 7.2 wide at this size.
const (
	fontSize  = 12
	rowHeight = 17
	margin    = 16
	pictWidth = 980
)

// picture draws the lines below each other; each appears at its time, a wait
// of more than two seconds being shown as two. Without animation all are there.
func picture(lines []line) string {
	var b strings.Builder
	height := 2*margin + rowHeight*len(lines)
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img">
<title>A tour of ashlar, recorded by make recording</title>
<style>
text { font: %dpx ui-monospace, Menlo, Consolas, monospace; fill: #c9d1d9; white-space: pre; animation: show .1s backwards }
.p { fill: #7ee787; font-weight: bold }
.t { fill: #6e7681 }
@keyframes show { from { opacity: 0 } }
</style>
<rect width="100%%" height="100%%" rx="8" fill="#0d1117"/>
`, pictWidth, height, pictWidth, height, fontSize)
	const longest = 2 * time.Second
	var shownAt, before time.Duration
	for n, l := range lines {
		shownAt += min(l.at-before, longest)
		before = l.at
		y := margin + rowHeight*n + fontSize
		class, text := "", l.text
		if l.prompt {
			class, text = ` class="p"`, "$ "+l.text
		}
		delay := fmt.Sprintf(` style="animation-delay:%.1fs"`, shownAt.Seconds())
		fmt.Fprintf(&b, "<text x=\"%d\" y=\"%d\"%s%s>%s</text>\n", margin, y, class, delay, html.EscapeString(text))
		fmt.Fprintf(&b, "<text x=\"%d\" y=\"%d\" class=\"t\" text-anchor=\"end\"%s>%.1f s</text>\n", pictWidth-margin, y, delay, l.at.Seconds())
	}
	b.WriteString("</svg>\n")
	return b.String()
}
