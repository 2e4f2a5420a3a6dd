package definition

import (
	_ "embed" // the starter's files
	"strings"
)

//go:embed starter.toml
var starterDefinition string

//go:embed starter.html
var starterPage string

// StarterFile is a file of the directory that ashlar init makes.
type StarterFile struct {
	Path string // relative to the directory
	Data []byte
}

// Starter gives a commented definition of a web server.
func Starter(name string) []byte {
	return []byte(strings.ReplaceAll(starterDefinition, "NAME", name))
}

// StarterFiles gives the whole directory: the definition, the page that the
// server shows, and a .gitignore. The name must be a valid one: see CheckName.
func StarterFiles(name string) []StarterFile {
	return []StarterFile{
		{Path: FileName, Data: Starter(name)},
		{Path: "files/var/www/html/index.html", Data: []byte(strings.ReplaceAll(starterPage, "NAME", name))},
		{Path: ".gitignore", Data: []byte("/out/\n/vendor/\n")},
	}
}
