package rootfs

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"ashlar/internal/builder/distro/deb/relation"
	"ashlar/internal/foundation/tree"
)

// adminDir is dpkg's database.
const adminDir = "var/lib/dpkg"

// keptInInfo reports the control members that dpkg keeps in its info directory,
// under the same name; the control file itself goes to status.
func keptInInfo(member string) bool { return member != "control" }

// The states of a package that maintainer scripts may see, each after the
// word that says whether it must be installed again.
const (
	stateHalfInstalled  = "reinstreq half-installed"
	stateUnpacked       = "ok unpacked"
	stateHalfConfigured = "ok half-configured"
	stateInstalled      = "ok installed"
)

// database writes dpkg's database for packages as they move from one state to
// the next: dpkg-query, dpkg-divert, dpkg-trigger and update-alternatives read
// it while maintainer scripts run.
type database struct {
	packages []*pkg // sorted by name, as in dpkg's own file
	stanza   map[*pkg]stanza
	state    map[*pkg]string
}

// stanza is a status paragraph with a gap for the state.
type stanza struct{ before, after string }

// statusOrder is the order of fields in dpkg's status file (dpkg's
// lib/dpkg/parse.c, fieldinfos); others follow as the package has them.
var statusOrder = []string{
	"Package", "Essential", "Protected", "Status", "Priority", "Section", "Installed-Size", "Origin", "Maintainer", "Bugs",
	"Architecture", "Multi-Arch", "Source", "Version", "Replaces", "Provides", "Depends", "Pre-Depends", "Recommends", "Suggests",
	"Breaks", "Conflicts", "Enhances", "Conffiles", "Description",
}

func newDatabase(packages []*pkg, conffiles map[*pkg]string) *database {
	db := &database{packages: packages, stanza: map[*pkg]stanza{}, state: map[*pkg]string{}}
	for _, p := range packages {
		db.stanza[p] = newStanza(p, conffiles[p])
		db.state[p] = stateUnpacked
	}
	return db
}

func newStanza(p *pkg, conffiles string) stanza {
	var parts [2]strings.Builder
	part := 0
	fields := verbatimFields(p.member("control"))
	put := func(wanted func(name string) bool) {
		for _, f := range fields {
			if wanted(strings.ToLower(f.name)) {
				parts[part].WriteString(f.name + ":" + f.value)
			}
		}
	}
	ordered := map[string]bool{}
	for _, name := range statusOrder {
		lower := strings.ToLower(name)
		ordered[lower] = true
		switch name {
		case "Status":
			part = 1
		case "Conffiles":
			if conffiles != "" {
				parts[part].WriteString("Conffiles:\n" + conffiles)
			}
		default:
			put(func(name string) bool { return name == lower })
		}
	}
	put(func(name string) bool { return !ordered[name] })
	return stanza{parts[0].String(), parts[1].String()}
}

// verbatimField is a field of a control file; the value has its line ends and
// the blanks that stand before them, as dpkg keeps them.
type verbatimField struct{ name, value string }

// verbatimFields splits a control file that has been parsed before: nothing in
// it can be wrong. Spaces before a value become one, if it has a first line.
func verbatimFields(control []byte) []verbatimField {
	var fields []verbatimField
	for _, line := range strings.SplitAfter(strings.Trim(string(control), "\n")+"\n", "\n") {
		last := len(fields) - 1
		name, value, ok := strings.Cut(line, ":")
		switch {
		case line == "" || line[0] == '#':
		case (line[0] == ' ' || line[0] == '\t') && last >= 0:
			fields[last].value += line
		case ok:
			if value = strings.TrimLeft(value, " \t"); value != "\n" {
				value = " " + value
			}
			fields = append(fields, verbatimField{name, value})
		}
	}
	for i, f := range fields {
		if slices.Contains(relationFields, strings.ToLower(f.name)) {
			if list, err := relation.Parse(f.value); err == nil {
				fields[i].value = " " + list.String() + "\n"
			}
		}
	}
	return fields
}

// relationFields are those that dpkg reads and writes anew, in lower case.
var relationFields = []string{"replaces", "provides", "depends", "pre-depends", "recommends", "suggests", "breaks", "conflicts", "enhances"}

// list gives the package's list file.
func (p *pkg) list() []byte { return []byte(strings.Join(p.paths, "\n") + "\n") }

// status gives the status file.
func (db *database) status() []byte {
	var b bytes.Buffer
	for _, p := range db.packages {
		s := db.stanza[p]
		fmt.Fprintf(&b, "%sStatus: install %s\n%s\n", s.before, db.state[p], s.after)
	}
	return b.Bytes()
}

// conffileList gives the value of the Conffiles field: a line " PATH MD5" a
// file, with the word obsolete behind those that another package has now.
func conffileList(p *pkg, t *tree.Tree) (string, error) {
	var b strings.Builder
	for _, line := range strings.Split(string(p.member("conffiles")), "\n") {
		name := strings.TrimSpace(line)
		if name == "" {
			continue
		}
		if name[0] != '/' { // a flag: no file of this version, but dpkg keeps it in mind (deb-conffiles(5))
			flag, name, _ := strings.Cut(name, " ")
			fmt.Fprintf(&b, " %s newconffile %s\n", strings.TrimSpace(name), flag)
			continue
		}
		e, note := p.entry(name), ""
		switch {
		case slices.Contains(p.lost, name):
			note = " obsolete"
		case slices.Contains(p.ceded, name):
			e, note = t.Lookup(name[1:]), " obsolete"
		}
		switch {
		case e != nil && e.Kind == tree.HardLink:
			e = p.entry("/" + e.Target)
		case e != nil && e.Kind == tree.Symlink:
			e = t.Lookup(name[1:])
		}
		if e == nil {
			fmt.Fprintf(&b, " %s newconffile\n", name)
			continue
		}
		if e.Kind != tree.File {
			continue
		}
		sum, err := md5Of(e)
		if err != nil {
			return "", fmt.Errorf("read conffile %s of %s: %w", name, p.name, err)
		}
		fmt.Fprintf(&b, " %s %s%s\n", name, sum, note)
	}
	return b.String(), nil
}

// md5sums makes the member of that name for a package that has none, of the
// files that dpkg would have put in: a line "MD5  PATH" each, without a leading
// slash.
func md5sums(p *pkg) ([]byte, error) {
	var b bytes.Buffer
	for i := range p.unpacked.Entries {
		e := &p.unpacked.Entries[i].Entry
		name := e.Path
		if e.Kind == tree.HardLink {
			e = p.entry("/" + e.Target)
		}
		if e == nil || e.Kind != tree.File || slices.Contains(p.ceded, "/"+name) {
			continue
		}
		sum, err := md5Of(e)
		if err != nil {
			return nil, fmt.Errorf("read %s of %s: %w", name, p.name, err)
		}
		fmt.Fprintf(&b, "%s  %s\n", sum, name)
	}
	return b.Bytes(), nil
}

// md5Of is the sum that dpkg keeps of a conffile; it protects nothing.
func md5Of(e *tree.Entry) (string, error) {
	r, err := e.Open()
	if err != nil {
		return "", err
	}
	h := md5.New()
	_, err = io.Copy(h, r)
	if err := errors.Join(err, r.Close()); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// install puts the database into the tree, every package unpacked.
func (db *database) install(t *tree.Tree, arch string, mtime int64) error {
	files := map[string][]byte{
		"status":      db.status(),
		"arch":        []byte(arch + "\n"),
		"arch-native": []byte(arch + "\n"),
		"diversions":  nil,
		"info/format": []byte("1\n"),
	}
	for _, dir := range []string{"info", "updates", "triggers", "alternatives", "parts"} {
		d := tree.NewDir(adminDir+"/"+dir, 0o755)
		d.MTime = mtime
		if err := errors.Join(t.AddParents(d.Path, 0o755, mtime), t.Put(d)); err != nil {
			return err
		}
	}
	var interests interestList
	for _, p := range db.packages {
		stem := "info/" + p.dbName() + "."
		files[stem+"list"] = p.list()
		for member, data := range p.unpacked.Members {
			if keptInInfo(member) {
				files[stem+member] = data
			}
		}
		if _, has := p.unpacked.Members["md5sums"]; !has {
			sums, err := md5sums(p)
			if err != nil {
				return err
			}
			files[stem+"md5sums"] = sums
		}
		interests = append(interests, parseTriggers(p)...)
	}
	files["triggers/File"] = interests.fileIndex()
	for name, data := range interests.namedIndex() {
		files["triggers/"+name] = data
	}
	files["triggers/Unincorp"] = nil
	files["triggers/Lock"] = nil
	for name, data := range files {
		mode := uint32(0o644)
		switch {
		case isScript(name):
			mode = 0o755
		case name == "triggers/Lock":
			mode = 0o600
		}
		e := tree.NewFile(adminDir+"/"+name, mode, data)
		e.MTime = mtime
		if err := t.Put(e); err != nil {
			return err
		}
	}
	return nil
}

// dpkgVersion is the upstream version of the dpkg among the packages; scripts
// compare it with the version that brought a feature.
func (db *database) dpkgVersion() string {
	for _, p := range db.packages {
		if p.name == "dpkg" {
			return p.version
		}
	}
	return "1.22.0"
}

var scriptNames = []string{"preinst", "postinst", "prerm", "postrm", "config"}

func isScript(name string) bool {
	for _, s := range scriptNames {
		if strings.HasPrefix(name, "info/") && strings.HasSuffix(name, "."+s) {
			return true
		}
	}
	return false
}
