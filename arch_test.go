package ashlar

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// floorEdges says which floors a floor looks down upon. Each entry is in use:
// one that no import needs is an error, as is an import that is not here.
var floorEdges = map[string][]string{
	"foundation": {},
	"format":     {"foundation"},
	"contract":   {"foundation"},
	"builder":    {"contract", "format", "foundation"},
	"device":     {"contract", "format", "foundation"},
	"machine":    {"contract"},
	"ui":         {"foundation"},
	"testenv":    {},
	"cmd":        {"builder", "contract", "device", "machine", "ui"},
}

// roomEdges are the edges between rooms of one floor, importer → imported, as
// complete as floorEdges.
var roomEdges = map[string][]string{
	"foundation/tree":             {"foundation/digest"},
	"format/bzimage":              {"format/lz4"},
	"format/debfile":              {"format/ar"},
	"format/erofs":                {"format/imagetree", "format/lz4"},
	"format/iso9660":              {"format/imagetree"},
	"format/oci":                  {"format/tarball"},
	"format/qcow2":                {"format/chunked", "format/zstdblock"},
	"format/squashfs":             {"format/imagetree", "format/lz4", "format/zstdblock"},
	"format/tarball":              {"format/imagetree"},
	"format/vhd":                  {"format/chunked"},
	"format/vmdk":                 {"format/chunked"},
	"builder/attest":              {"builder/lock"},
	"builder/container":           {"builder/definition"},
	"builder/distro/deb":          {"builder/definition", "builder/distro/deb/pkginfo", "builder/lock", "builder/store"},
	"builder/distro/deb/relation": {"builder/distro/deb/version"},
	"builder/distro/deb/resolve":  {"builder/distro/deb/pkginfo", "builder/distro/deb/relation", "builder/distro/deb/version"},
	"builder/rootfs":              {"builder/definition", "builder/distro/deb", "builder/distro/deb/relation", "builder/sandbox", "builder/store"},
	"builder/pipeline":            {"builder/attest", "builder/boot", "builder/container", "builder/definition", "builder/devicebin", "builder/distro/deb", "builder/distro/deb/pkginfo", "builder/distro/deb/relation", "builder/distro/deb/resolve", "builder/initramfs", "builder/lock", "builder/rootfs", "builder/sizes", "builder/store", "builder/target"},
	"device/supervise":            {"device/account"},
	"device/reaper":               {"device/ipparam", "device/module", "device/mount", "device/power"},
	"device/units":                {"device/facts"},
	"device/pid1":                 {"device/account", "device/agent", "device/block", "device/console", "device/facts", "device/ipparam", "device/module", "device/mount", "device/network", "device/power", "device/state", "device/supervise", "device/units"},
}

// TestImportsGoDownOnly compares the two tables with the import graph. Tests
// may look sideways, at judges of the same floor, so their imports don't count.
func TestImportsGoDownOnly(t *testing.T) {
	floors, rooms := map[string]map[string]bool{}, map[string]map[string]bool{}
	note := func(graph map[string]map[string]bool, from, to string) {
		if graph[from] == nil {
			graph[from] = map[string]bool{}
		}
		graph[from][to] = true
	}
	for _, p := range listPackages(t) {
		from := roomOf(p.ImportPath)
		if from == "" || strings.Contains(from, "/testguest") || forTests(from) {
			continue
		}
		note(floors, floorOf(from), floorOf(from))
		for _, imported := range p.Imports {
			to := roomOf(imported)
			switch {
			case to == "":
			case forTests(to):
				t.Errorf("%s imports %s, which is for tests only", from, to)
			case floorOf(from) != floorOf(to):
				note(floors, floorOf(from), floorOf(to))
			default:
				note(rooms, from, to)
			}
		}
	}
	for floor, seen := range floors {
		delete(seen, floor)
		if _, ok := floorEdges[floor]; !ok {
			t.Errorf("floor %s is not in the table", floor)
		}
	}
	compareEdges(t, "floor", floorEdges, floors)
	compareEdges(t, "room", roomEdges, rooms)
}

// forTests reports whether a room is for tests only, which may look anywhere.
func forTests(room string) bool { return strings.HasSuffix(room, "/imagetest") }

func compareEdges(t *testing.T, kind string, table map[string][]string, seen map[string]map[string]bool) {
	t.Helper()
	for from, list := range seen {
		for to := range list {
			if !slices.Contains(table[from], to) {
				t.Errorf("%s %s imports %s: not in the table of edges", kind, from, to)
			}
		}
	}
	for from, list := range table {
		if !slices.IsSorted(list) {
			t.Errorf("%s %s: its row is not sorted", kind, from)
		}
		for _, to := range list {
			if !seen[from][to] {
				t.Errorf("%s %s does not import %s any more: remove it from the table of edges", kind, from, to)
			}
		}
	}
}

// TestWingsNeverMeet looks at all that the device binary is linked from.
func TestWingsNeverMeet(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "./cmd/ashlar-init").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range strings.Fields(string(out)) {
		if strings.HasPrefix(p, "ashlar/internal/builder") || strings.HasPrefix(p, "ashlar/internal/machine") {
			t.Errorf("cmd/ashlar-init is linked from %s", p)
		}
	}
}

// TestArchitectureNamesEveryRoom compares the rows of ARCHITECTURE.md's table
// of rooms with the packages that there are, both ways.
func TestArchitectureNamesEveryRoom(t *testing.T) {
	const room = "`([a-z0-9/]+)`"
	_, section, found := strings.Cut(architecture(t), "## Rooms")
	section, _, ended := strings.Cut(section, "\n## ")
	if !found || !ended {
		t.Fatal("ARCHITECTURE.md has no section on rooms")
	}
	named := map[string]int{}
	for _, line := range strings.Split(section, "\n") {
		cells := strings.Split(line, "|")
		if len(cells) != 4 {
			continue
		}
		for _, match := range regexp.MustCompile(room).FindAllStringSubmatch(cells[1], -1) {
			named[match[1]]++
		}
	}
	for _, p := range listPackages(t) {
		name, ok := strings.CutPrefix(p.ImportPath, "ashlar/internal/")
		if !ok {
			continue
		}
		if named[name] != 1 {
			t.Errorf("ARCHITECTURE.md names room %s %d times", name, named[name])
		}
		if p.Doc == "" {
			t.Errorf("room %s has no package comment", name)
		}
		delete(named, name)
	}
	for _, name := range slices.Sorted(maps.Keys(named)) {
		t.Errorf("ARCHITECTURE.md names a room %s that is not there", name)
	}
}

// TestArchitectureNamesRealThings looks up every room.Function of the data's
// way and every source file that ARCHITECTURE.md points to.
func TestArchitectureNamesRealThings(t *testing.T) {
	text := architecture(t)
	dirs := map[string]string{}
	for _, p := range listPackages(t) {
		if room := roomOf(p.ImportPath); room != "" && room != "cmd" {
			dirs[filepath.Base(room)] = "internal/" + room
		}
	}
	blocks := strings.Split(text, "```")
	if len(blocks) != 3 {
		t.Fatalf("ARCHITECTURE.md has %d fences, want one block", len(blocks)-1)
	}
	functions := regexp.MustCompile(`\b([a-z0-9]+)\.([A-Z][A-Za-z0-9]+)`).FindAllStringSubmatch(blocks[1], -1)
	const least = 12
	if len(functions) < least {
		t.Errorf("the way of the data names %d functions, at least %d are expected", len(functions), least)
	}
	for _, f := range functions {
		dir := dirs[f[1]]
		if dir == "" || !declares(t, dir, f[2]) {
			t.Errorf("ARCHITECTURE.md names %s: no such declaration", f[0])
		}
	}
	for _, f := range regexp.MustCompile("`((?:builder|contract|device|cmd)/[a-z0-9/]+\\.go)`").FindAllStringSubmatch(text, -1) {
		name := f[1]
		if !strings.HasPrefix(name, "cmd/") {
			name = "internal/" + name
		}
		if _, err := os.Stat(name); err != nil {
			t.Errorf("ARCHITECTURE.md points to %s: %v", f[1], err)
		}
	}
}

// declares reports whether a package has an exported function, method or type
// of the name.
func declares(t *testing.T, dir, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	declaration := regexp.MustCompile(`(?m)^(func (\([^)]*\) )?|type )` + regexp.QuoteMeta(name) + `\b`)
	for _, file := range files {
		if data, err := os.ReadFile(file); err == nil && !strings.HasSuffix(file, "_test.go") && declaration.Match(data) {
			return true
		}
	}
	return false
}

func architecture(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// roomOf gives "builder/store" for ashlar/internal/builder/store, "cmd" for
// commands and "" for packages that are not ours.
func roomOf(importPath string) string {
	if strings.HasPrefix(importPath, "ashlar/cmd/") {
		return "cmd"
	}
	room, ok := strings.CutPrefix(importPath, "ashlar/internal/")
	if !ok {
		return ""
	}
	return room
}

func floorOf(room string) string {
	floor, _, _ := strings.Cut(room, "/")
	return floor
}

type goPackage struct {
	ImportPath, Doc string
	Imports         []string
}

func listPackages(t *testing.T) []goPackage {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Doc,Imports", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	var list []goPackage
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
	if len(list) < len(floorEdges) {
		t.Fatalf("go list gave %d packages", len(list))
	}
	return list
}
