// Package ui shows what programs say: progress of long work on standard error,
// tables on standard output, sizes and times as people read them.
//
// It decides nothing and knows no room: it takes progress.Event values, strings
// and numbers.
package ui

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"

	"golang.org/x/term"
)

// IsTerminal reports whether a person looks at the file.
func IsTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// Bytes writes a number of bytes with a binary unit and one decimal: "23.4 MiB".
func Bytes(n int64) string {
	sign := ""
	size := float64(n)
	if n < 0 {
		sign, size = "-", -size
	}
	const unit = 1024
	if size < unit {
		return sign + strconv.FormatFloat(size, 'f', 0, 64) + " B"
	}
	prefixes := "KMGTPE"
	i := 0
	for size /= unit; size >= unit-0.05 && i < len(prefixes)-1; i++ { // 1023.96 KiB would be written 1024.0
		size /= unit
	}
	return fmt.Sprintf("%s%.1f %ciB", sign, size, prefixes[i])
}

// Duration writes a time in whole seconds: "4s", "1m32s", "2h05m".
func Duration(d time.Duration) string {
	s := int64(d.Round(time.Second) / time.Second)
	switch {
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 3600:
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	}
	return fmt.Sprintf("%dh%02dm", s/3600, s/60%60)
}

// amount writes a number of units: bytes as a size, others with their name.
func amount(n int64, unit string) string {
	switch unit {
	case "bytes":
		return Bytes(n)
	case "":
		return strconv.FormatInt(n, 10)
	}
	return strconv.FormatInt(n, 10) + " " + unit
}

// plain takes out what would move a terminal's cursor or change its colours.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, text)
}

// cut shortens a text to a number of characters.
func cut(text string, width int) string {
	runes := []rune(text)
	switch {
	case len(runes) <= width:
		return text
	case width <= 0:
		return ""
	}
	return string(runes[:width-1]) + "…"
}
