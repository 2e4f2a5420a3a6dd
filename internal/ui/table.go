package ui

import (
	"io"
	"regexp"
	"strings"
	"unicode/utf8"
)

// number matches what stands to the right in a column.
var number = regexp.MustCompile(`^([+±-]?[0-9][0-9.,]*( ?([KMGTPE]i)?B|%|s)?|-?)$`)

// Table writes rows below a header, two spaces between columns, numbers and
// sizes to the right. Every character counts as one cell wide.
func Table(w io.Writer, header []string, rows [][]string) error {
	widths := make([]int, len(header))
	right := make([]bool, len(header))
	for i, name := range header {
		widths[i] = utf8.RuneCountInString(name)
		right[i] = len(rows) > 0
	}
	for _, row := range rows {
		for i := range header {
			text := cell(row, i)
			widths[i] = max(widths[i], utf8.RuneCountInString(text))
			right[i] = right[i] && number.MatchString(text)
		}
	}
	var out strings.Builder
	for _, row := range append([][]string{header}, rows...) {
		var line strings.Builder
		for i := range header {
			text := cell(row, i)
			space := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(text))
			if right[i] {
				line.WriteString(space + text)
			} else {
				line.WriteString(text + space)
			}
			line.WriteString("  ")
		}
		out.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// cell gives a row's text in a column; a short row ends in empty cells.
func cell(row []string, i int) string {
	if i >= len(row) {
		return ""
	}
	return plain(row[i])
}
