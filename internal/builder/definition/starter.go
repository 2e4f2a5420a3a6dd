package definition

import (
	_ "embed" // the starter's files
	"strings"
	"unicode"
)

//go:embed starter.toml
var starterDefinition string

//go:embed starter.html
var starterPage string

// Starter gives a commented definition of a web server. What a name must not
// have becomes a dash.
func Starter(name string) []byte {
	return []byte(strings.ReplaceAll(starterDefinition, "NAME", validName(name)))
}

// StarterFiles gives the directory that ashlar init makes, by relative path: the
// definition, the page that the server shows, and a .gitignore.
func StarterFiles(name string) map[string][]byte {
	return map[string][]byte{
		FileName:                        Starter(name),
		"files/var/www/html/index.html": []byte(strings.ReplaceAll(starterPage, "NAME", validName(name))),
		".gitignore":                    []byte("/out/\n/vendor/\n"),
	}
}

// validName turns the name of a directory into one of a definition.
func validName(text string) string {
	name := strings.Map(func(r rune) rune {
		if r < 0x80 && (r == '-' || r == '.' || unicode.IsLetter(r) || unicode.IsDigit(r)) {
			return r
		}
		return '-'
	}, text)
	name = strings.Trim(name[:min(len(name), maxHostname)], "-.")
	if forms["name"].why(name, false) != "" {
		return "server"
	}
	return name
}
