package ashlar

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

// layers are the rooms' floors, lowest first; a package may import what lies
// on a lower floor. The builder and the device never meet.
var layers = []string{"foundation", "format", "contract", "builder", "device", "machine", "ui"}

// allowedFloors says which floors a floor may look down upon.
var allowedFloors = map[string][]string{
	"foundation": {},
	"format":     {"foundation"},
	"contract":   {"foundation", "format"},
	"builder":    {"foundation", "format", "contract"},
	"device":     {"foundation", "format", "contract"},
	"machine":    {"foundation", "format", "contract"},
	"ui":         {"foundation"},
	"cmd":        {"foundation", "format", "contract", "builder", "device", "machine", "ui"},
	"testenv":    {"foundation"},
}

// allowedRooms are the edges between rooms of one floor: importer → imported.
var allowedRooms = map[string][]string{
	"foundation/tree":    {"foundation/digest"},
	"contract/imageinfo": {},
	"builder/lock":       {},
	"builder/store":      {},
	"builder/distro/deb": {"builder/store", "builder/definition", "builder/lock"},
	"builder/rootfs":     {"builder/definition", "builder/distro/deb", "builder/sandbox", "builder/store"},
	"builder/target":     {},
	"builder/boot":       {},
	"builder/initramfs":  {},
	"builder/sandbox":    {},
	"builder/pipeline":   {"*"},
}

func TestImportsGoDownOnly(t *testing.T) {
	for _, p := range listPackages(t) {
		from := roomOf(p.ImportPath)
		if from == "" {
			continue
		}
		for _, imported := range append(append(p.Imports, p.TestImports...), p.XTestImports...) {
			to := roomOf(imported)
			if to == "" || to == from || contains(p.Imports, imported) == false && strings.HasPrefix(to, "testenv") {
				continue
			}
			if !contains(p.Imports, imported) {
				continue // tests may look sideways, at judges of the same floor
			}
			if !edgeAllowed(from, to) {
				t.Errorf("%s imports %s: not in the table of allowed edges", from, to)
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

func edgeAllowed(from, to string) bool {
	fromFloor, toFloor := floorOf(from), floorOf(to)
	if fromFloor != toFloor {
		return contains(allowedFloors[fromFloor], toFloor)
	}
	if fromFloor == "device" || fromFloor == "format" {
		return within(from, to) || fromFloor == "device" // the device's rooms are one wing under pid1
	}
	allowed := allowedRooms[topRoom(from)]
	return contains(allowed, "*") || contains(allowed, topRoom(to)) || topRoom(from) == topRoom(to)
}

// within reports whether one room lies inside the other.
func within(a, b string) bool {
	return strings.HasPrefix(a+"/", b+"/") || strings.HasPrefix(b+"/", a+"/")
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

// topRoom folds the rooms below distro/deb into it.
func topRoom(room string) string {
	const deb = "builder/distro/deb"
	if strings.HasPrefix(room, deb) {
		return deb
	}
	return room
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

type goPackage struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
}

func listPackages(t *testing.T) []goPackage {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports,TestImports,XTestImports", "./...").Output()
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
	if len(list) < len(layers) {
		t.Fatalf("go list gave %d packages", len(list))
	}
	return list
}
