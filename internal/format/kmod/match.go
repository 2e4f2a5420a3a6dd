package kmod

import "strings"

// wild are the bytes that mean something else than themselves in an alias.
const wild = `*?[\`

// Match reports whether a name matches an alias: * is any text, ? any byte,
// [a-cx] a byte of the ranges, [!…] one that is not, \ makes the next byte
// plain. It is fnmatch(3) without flags.
func Match(pattern, name string) bool {
	// The last * that was passed, and where the text it stands for ends so far.
	star, at := -1, 0
	p, n := 0, 0
	for n < len(name) {
		if p < len(pattern) && pattern[p] == '*' {
			star, at = p, n
			p++
			continue
		}
		if size, ok := matchByte(pattern[p:], name[n]); ok {
			p += size
			n++
			continue
		}
		if star < 0 {
			return false
		}
		at++
		p, n = star+1, at
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// matchByte matches one byte with the pattern's beginning, of which it gives
// the size.
func matchByte(pattern string, c byte) (size int, ok bool) {
	switch {
	case pattern == "":
		return 0, false
	case pattern[0] == '?':
		return 1, true
	case pattern[0] == '[':
		if size, ok, whole := matchBrackets(pattern, c); whole {
			return size, ok
		}
	case pattern[0] == '\\' && len(pattern) > 1:
		return 2, pattern[1] == c
	}
	return 1, pattern[0] == c
}

// matchBrackets matches "[…]"; whole tells whether the brackets are closed.
func matchBrackets(pattern string, c byte) (size int, ok, whole bool) {
	at, not := 1, false
	if len(pattern) > 1 && (pattern[1] == '!' || pattern[1] == '^') {
		at, not = 2, true
	}
	for first := at; at < len(pattern); {
		if pattern[at] == ']' && at > first {
			return at + 1, ok != not, true
		}
		low := pattern[at]
		high := low
		if at+2 < len(pattern) && pattern[at+1] == '-' && pattern[at+2] != ']' {
			high = pattern[at+2]
			at += 2
		}
		at++
		ok = ok || low <= c && c <= high
	}
	return 0, false, false
}
