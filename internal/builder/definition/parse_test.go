package definition

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/pelletier/go-toml/v2"
)

// minimal is the shortest definition.
const minimal = "name = \"web\"\nbase.suite = \"trixie\"\n"

func mustParse(t *testing.T, text string) *Definition {
	t.Helper()
	def, err := Parse(FileName, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return def
}

func TestDefaults(t *testing.T) {
	got := mustParse(t, minimal+`
[services.a]
exec = ["/bin/a"]
[services.b]
exec = ["/bin/b"]
type = "oneshot"
[[services.b.directories]]
path = "/run/b"
[[state]]
path = "/srv"
[users.me]
[users.daemon]
system = true
[[network.interfaces]]
name = "eth0"
[[pins]]
package = "nginx"
version = "1.*"
[[base.extra]]
name = "backports"
suite = "trixie-backports"
`)
	service := Service{
		Exec: []string{"/bin/a"}, Type: "simple", User: "root", WorkDir: "/", Restart: "always",
		StartTimeout: "90s", StopTimeout: "10s", StopSignal: "SIGTERM", LogSize: "2M",
	}
	oneshot := service
	oneshot.Exec, oneshot.Type, oneshot.Restart = []string{"/bin/b"}, "oneshot", "on-failure"
	oneshot.Directories = []Directory{{Path: "/run/b", Mode: "0755"}}
	want := &Definition{
		Name: "web", Arch: []string{"amd64"}, Init: "ashlar", Hostname: "web", Timezone: "Etc/UTC", Locale: "C.UTF-8",
		Base: Base{Distro: "debian", Suite: "trixie", Components: []string{"main"}, Security: true, Updates: true,
			Extra: []Archive{{Name: "backports", Suite: "trixie-backports", Priority: 500}}},
		Pins: []Pin{{Package: "nginx", Version: "1.*", Priority: 1001}}, Essential: true,
		Kernel:   Kernel{Package: "linux-image-cloud-amd64"},
		Root:     Root{Mode: "overlay"},
		Files:    Files{Dir: "files"},
		Services: map[string]Service{"a": service, "b": oneshot},
		State:    []State{{Path: "/srv", Kind: "dir", Owner: "root", Group: "root", Mode: "0755"}},
		Users: map[string]User{
			"me":     {},
			"daemon": {System: true},
		},
		Network:   Network{Interfaces: []Interface{{Name: "eth0", RA: true}}},
		Prune:     Prune{Docs: true, Copyright: true, Man: true, Locales: true, PackageManager: true},
		Image:     Image{Format: "squashfs", Compressor: "zstd", BlockSize: "256K", Verity: true},
		Disk:      Disk{State: "64M", Grow: true},
		Container: Container{Compressor: "gzip"},
		Targets:   []string{"disk"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("definition (-want +got):\n%s", diff)
	}
}

// A key that is given counts, also when it gives the zero value.
func TestGivenBeatsDefault(t *testing.T) {
	def := mustParse(t, minimal+"base.security = false\nprune = { docs = false, man = true }\n[disk]\ngrow = false\n[[network.interfaces]]\nname = \"e*\"\nra = false\n")
	if def.Base.Security || def.Prune.Docs || def.Disk.Grow || def.Network.Interfaces[0].RA {
		t.Errorf("false was overwritten by a default: %+v", def)
	}
	if !def.Base.Updates || !def.Prune.Man || !def.Prune.Locales {
		t.Errorf("a default of true was not filled in: %+v", def)
	}
}

func TestUbuntuKernel(t *testing.T) {
	def := mustParse(t, minimal+"base.distro = \"ubuntu\"\n")
	if def.Kernel.Package != "linux-image-virtual" {
		t.Errorf("kernel.package = %q", def.Kernel.Package)
	}
}

// Every default must itself be allowed, and every tag must name something that exists.
func TestTagsAreSound(t *testing.T) {
	seen := map[reflect.Type]bool{}
	var walk func(t reflect.Type)
	walk = func(typ reflect.Type) {
		if typ.Kind() == reflect.Slice || typ.Kind() == reflect.Map || typ.Kind() == reflect.Pointer {
			walk(typ.Elem())
			return
		}
		if typ.Kind() != reflect.Struct || seen[typ] {
			return
		}
		seen[typ] = true
		for _, f := range fieldsOf(typ) {
			checkTags(t, typ.Name()+"."+f.name, f)
			walk(f.typ)
		}
	}
	walk(reflect.TypeFor[Definition]())
	if len(seen) != 21 {
		t.Errorf("%d tables were checked", len(seen))
	}
}

func checkTags(t *testing.T, name string, f field) {
	if f.name == "" || f.doc == "" || !strings.HasSuffix(f.doc, ".") {
		t.Errorf("%s: no key, or no sentence that describes it", name)
	}
	for _, formName := range []string{f.form, f.keyForm} {
		if _, ok := forms[formName]; formName != "" && !ok {
			t.Errorf("%s: no form %q", name, formName)
		}
	}
	base := f.typ
	for base.Kind() == reflect.Slice || base.Kind() == reflect.Pointer || base.Kind() == reflect.Map {
		base = base.Elem()
	}
	if base.Kind() == reflect.String && f.form == "" && len(f.enum) == 0 {
		t.Errorf("%s: a string that nothing checks", name)
	}
	if base.Kind() == reflect.Int && (f.min == "" || f.max == "") {
		t.Errorf("%s: a number without bounds", name)
	}
	values := []string{f.example}
	if f.typ.Kind() == reflect.Slice {
		values = append(values, strings.Split(f.def, ",")...)
	} else {
		values = append(values, f.def)
	}
	for _, value := range values {
		if value == "" || base.Kind() != reflect.String {
			continue
		}
		if len(f.enum) > 0 && !contains(f.enum, value) {
			t.Errorf("%s: %q is not in its enum", name, value)
		}
		if f.form == "sshkey" || f.keyForm != "" {
			continue // the example is cut short
		}
		if how, ok := forms[f.form]; ok {
			if why := how.why(value, false); why != "" {
				t.Errorf("%s: %s", name, why)
			}
		}
	}
}

// The forms' hints must not mislead: what they give as an example is allowed.
func TestFormExamples(t *testing.T) {
	for name, f := range forms {
		if !strings.HasPrefix(f.hint, "such as ") {
			continue
		}
		for i, part := range strings.Split(f.hint, `"`) {
			if i%2 == 1 {
				if why := f.why(part, false); why != "" {
					t.Errorf("%s: the hint %q: %s", name, f.hint, why)
				}
			}
		}
	}
}

func TestStarter(t *testing.T) {
	def := mustParse(t, string(Starter("my-server")))
	if def.Name != "my-server" || def.Services["nginx"].Exec[0] != "/usr/sbin/nginx" || def.State[0].Path != "/var/log/nginx" {
		t.Errorf("starter: %+v", def)
	}
	dir := t.TempDir()
	for name, data := range StarterFiles("my-server") {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	loaded, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(def, loaded); diff != "" {
		t.Errorf("loaded (-parsed +loaded):\n%s", diff)
	}
	page, err := os.ReadFile(filepath.Join(dir, def.Files.Dir, "var/www/html/index.html"))
	if err != nil || !bytes.Contains(page, []byte(def.Tests[0].Expect)) {
		t.Errorf("the page does not hold what the test expects: %q, %v", page, err)
	}
}

// The name of any directory gives a starter that parses.
func TestStarterNames(t *testing.T) {
	for text, want := range map[string]string{
		"web": "web", "my_server": "my-server", "Größe 2": "Gr--e-2", ".": "server", "/": "server", "a..b": "server", "-x-": "x", "": "server",
		strings.Repeat("a", 63) + "--b": strings.Repeat("a", 63), strings.Repeat("a", 64): "server",
	} {
		if got := mustParse(t, string(Starter(text))).Name; got != want {
			t.Errorf("%q gives the name %q, want %q", text, got, want)
		}
	}
}

func TestNoKernel(t *testing.T) {
	with, without := mustParse(t, minimal), mustParse(t, minimal+"kernel.package = \"none\"\n")
	if without.Kernel.Package != "" || with.InputDigest() == without.InputDigest() {
		t.Errorf("kernel.package = %q", without.Kernel.Package)
	}
}

// What the starter shows in comments must be right too.
func TestStarterComments(t *testing.T) {
	text := string(Starter("web"))
	for _, old := range []string{"# snapshot", "# [[files.rules]]", "# path =", "# mode =", "# [[network.interfaces]]", "# name =", "# addresses =", "# gateways ="} {
		if !strings.Contains(text, "\n"+old) {
			t.Errorf("the starter has no %q", old)
		}
		text = strings.ReplaceAll(text, "\n"+old, "\n"+old[2:])
	}
	def := mustParse(t, text)
	if def.Base.Snapshot == "" || def.Files.Rules[0].Mode != "0600" || len(def.Network.Interfaces[0].Gateways) != 2 {
		t.Errorf("%+v", def)
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), "ashlar init "+dir) {
		t.Errorf("without a file: %v", err)
	}
	text := minimal + "base.keyring = \"keys.pgp\"\nfiles.dir = \"overlay\"\n[[base.extra]]\nname = \"own\"\nsuite = \"stable\"\nkeyring = \"overlay\"\n"
	write(t, filepath.Join(dir, FileName), text)
	_, err := Load(dir)
	var all Errors
	if !errors.As(err, &all) || len(all) != 3 {
		t.Fatalf("want three errors, got %v", err)
	}
	for i, want := range []string{`:3:16: base.keyring: "keys.pgp" does not exist`, `:4:13: files.dir: "overlay" does not exist`, `:8:11: base.extra[0].keyring: "overlay" does not exist`} {
		if !strings.Contains(all[i].Error(), want) {
			t.Errorf("error %d: %v, want %s", i, all[i], want)
		}
	}
	write(t, filepath.Join(dir, "keys.pgp"), "")
	if err := os.Mkdir(filepath.Join(dir, "overlay"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, err = Load(dir)
	if !errors.As(err, &all) || len(all) != 1 || !strings.Contains(err.Error(), `"overlay" is not a file`) {
		t.Errorf("a directory as a keyring: %v", err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// decodedOnly fills a Definition without defaults.
func decodedOnly(data []byte) (*Definition, error) {
	src := newSource(FileName, data)
	dec := &decoder{src: src, present: map[string]span{}, bad: map[string]bool{}}
	root, whole := readDocument(src)
	dec.whole = whole
	def := &Definition{}
	dec.structure(root, reflect.ValueOf(def).Elem(), "")
	return def, src.result()
}

// agree compares our reading with go-toml's strict decoder: what we accept, it
// accepts, with the same values.
func agree(t *testing.T, data []byte) {
	t.Helper()
	ours, err := decodedOnly(data)
	if err != nil {
		return
	}
	var theirs Definition
	if err := toml.NewDecoder(bytes.NewReader(data)).DisallowUnknownFields().Decode(&theirs); err != nil {
		t.Fatalf("go-toml refuses what we accept: %v\n%s", err, data)
	}
	if diff := cmp.Diff(&theirs, ours, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("we read another value (-go-toml +ours):\n%s\n%s", diff, data)
	}
}

func TestAgreesWithGoTOML(t *testing.T) {
	agree(t, Starter("web"))
	for _, text := range accepted {
		if _, err := decodedOnly([]byte(text)); err != nil {
			t.Errorf("%v\n%s", err, text)
		}
		agree(t, []byte(text))
	}
}

// accepted are the ways to write tables.
var accepted = []string{
	minimal,
	"name = 'web'\r\n[base]\r\nsuite = \"\"\"trixie\"\"\"\r\n",
	"\"name\" = \"web\"\n'base'.\"suite\" = \"trixie\"\nbase.updates = false\n",
	"name = \"w\\u0065b\"\nbase = { suite = \"trixie\", extra = [{ name = \"a\", suite = \"b\" }, { name = \"c\", suite = \"d\", priority = -1_0 }] }\n",
	minimal + "[services.a.environment]\nA = \"1\"\n[services.a]\nexec = [\n  \"/bin/a\", # why\n]\nexec_pre = [ [\"/bin/b\", \"c\"], [\"/bin/d\"] ]\n",
	minimal + "services.a.exec = [\"/bin/a\"]\nservices.b.exec = [\"/bin/a\"]\n[users.x]\nuid = 0x3e8\n",
	minimal + "[[services.a.directories]]\npath = \"/run/a\"\n[services.a]\nexec = []\n",
	minimal + "[sysctl]\n\"net.core.somaxconn\" = \"1024\"\n",
}
