package rootfs

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"ashlar/internal/builder/definition"
	"ashlar/internal/contract/layout"
	"ashlar/internal/contract/machine"
	"ashlar/internal/foundation/tree"
	"ashlar/internal/testenv"
)

// hardArgs are arguments that a unit file can get wrong.
var hardArgs = []string{
	"/usr/bin/printf", "%s\\n", "two words", "", "$HOME", "${HOME}", "$$", "100%", "%%i", `"quoted"`, `it's`, `back\slash`, `\x41`, ";", ";x",
	"a\nb", "tab\there", "-", "@", "+x", "ä€", "#", "trailing\\",
}

// parse reads a definition as a user writes it.
func parse(t *testing.T, text string) *definition.Definition {
	t.Helper()
	dir := t.TempDir()
	head := "name = \"m\"\n"
	if err := os.WriteFile(filepath.Join(dir, "ashlar.toml"), []byte(head+text), 0o644); err != nil {
		t.Fatal(err)
	}
	def, err := definition.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return def
}

const systemdServices = `
init = "systemd"
[base]
suite = "trixie"
[services.app]
exec = ["/usr/bin/true", "an argument", "$x"]
exec_pre = [["/usr/bin/true", "first"], ["/usr/bin/true", "second"]]
exec_reload = ["/usr/bin/true", "again"]
type = "notify"
user = "daemon"
after = ["network", "web"]
requires = ["db"]
work_dir = "/srv"
restart = "on-failure"
stop_signal = "SIGQUIT"
start_timeout = "7s"
stop_timeout = "3s"
[services.app.environment]
B = "two words"
A = "$HOME %h \"x\""
[[services.app.directories]]
path = "/run/app dir"
mode = "0750"
[services.db]
exec = ["/usr/bin/true"]
type = "oneshot"
restart = "never"
[services.web]
unit = "nginx.service"
`

// systemdTree has what applySystemd looks for.
func systemdTree(t *testing.T) *tree.Tree {
	t.Helper()
	root := &tree.Tree{}
	for _, name := range []string{"usr/lib/systemd/systemd", "usr/lib/systemd/system/nginx.service", "usr/bin/true", "usr/lib/x86_64-linux-gnu/libkmod.so.2"} {
		if err := putFile(root, name, 0o755, ""); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func textOf(t *testing.T, root *tree.Tree, name string) string {
	t.Helper()
	e := root.Get(name)
	if e == nil {
		t.Fatalf("no /%s", name)
	}
	if e.Kind == tree.Symlink {
		return "-> " + e.Target
	}
	data, err := e.ReadAll(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func testAccounts() *accounts {
	return &accounts{
		users:  []account{{name: "root"}, {name: "daemon", uid: 1, gid: 1}, {name: "www-data", uid: 33, gid: 33}},
		groups: []accountGroup{{name: "root"}, {name: "daemon", gid: 1}, {name: "adm", gid: 4}, {name: "www-data", gid: 33}},
		shadow: map[string]string{},
	}
}

// TestSystemdUnits has declared services become units.
func TestSystemdUnits(t *testing.T) {
	root := systemdTree(t)
	if err := applySystemd(root, parse(t, systemdServices), testAccounts()); err != nil {
		t.Fatal(err)
	}
	want := `[Unit]
Description=app
After=db.service network-online.target ashlar-network.service nginx.service
Requires=db.service
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStartPre=+"/usr/bin/install" "-d" "-m" "750" "-o" "1" "-g" "1" "/run/app dir"
ExecStartPre="/usr/bin/true" "first"
ExecStartPre="/usr/bin/true" "second"
ExecStart="/usr/bin/true" "an argument" "$$x"
ExecReload="/usr/bin/true" "again"
User=daemon
WorkingDirectory=/srv
Environment="A=$HOME %%h \"x\""
Environment="B=two words"
Restart=on-failure
RestartSec=1
TimeoutStartSec=7
TimeoutStopSec=3
KillSignal=SIGQUIT

[Install]
WantedBy=multi-user.target
`
	if got := textOf(t, root, unitDir+"app.service"); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	for link, target := range map[string]string{
		"multi-user.target.wants/app.service":            "-> /etc/systemd/system/app.service",
		"multi-user.target.wants/db.service":             "-> /etc/systemd/system/db.service",
		"multi-user.target.wants/nginx.service":          "-> /usr/lib/systemd/system/nginx.service",
		"multi-user.target.wants/ashlar-network.service": "-> /etc/systemd/system/ashlar-network.service",
		"multi-user.target.wants/ashlar-agent.service":   "-> /etc/systemd/system/ashlar-agent.service",
		"default.target":            "-> /usr/lib/systemd/system/multi-user.target",
		"systemd-firstboot.service": "-> /dev/null",
		"serial-getty@.service":     "-> /dev/null",
	} {
		if got := textOf(t, root, unitDir+link); got != target {
			t.Errorf("%s %s, want %s", link, got, target)
		}
	}
	if root.Get(unitDir+"web.service") != nil || root.Get(unitDir+"systemd-modules-load.service") != nil {
		t.Error("a unit too many")
	}
	if db := textOf(t, root, unitDir+"db.service"); !strings.Contains(db, "Type=oneshot\nRemainAfterExit=yes\n") || !strings.Contains(db, "\nRestart=no\n") {
		t.Errorf("db.service:\n%s", db)
	}
}

func TestSystemdRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"[services.a]\nexec = [\"/usr/bin/absent\"]\n":                    "services.a: the image has no /usr/bin/absent",
		"[services.a]\nexec = [\"/usr/bin/true\"]\nuser = \"stranger\"\n": `services.a: no user "stranger" in the image`,
		"[services.a]\nunit = \"absent.service\"\n":                       "services.a: unit absent.service is in no package of the image",
	} {
		def := parse(t, "init = \"systemd\"\n[base]\nsuite = \"trixie\"\n"+text)
		if err := applySystemd(systemdTree(t), def, testAccounts()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	def := parse(t, "init = \"systemd\"\n[base]\nsuite = \"trixie\"\n")
	if err := applySystemd(&tree.Tree{}, def, testAccounts()); err == nil || !strings.Contains(err.Error(), "add the package systemd") {
		t.Errorf("no systemd: %v", err)
	}
	root := systemdTree(t)
	root.Remove("usr/lib/x86_64-linux-gnu/libkmod.so.2")
	password := parse(t, "init = \"systemd\"\n[base]\nsuite = \"trixie\"\n[users.u]\npassword = \"$6$abcdefgh$"+strings.Repeat("x", 86)+"\"\n")
	if err := applySystemd(root, password, testAccounts()); err != nil {
		t.Fatal(err)
	}
	if root.Get(unitDir+"getty@.service") != nil {
		t.Error("consoles are closed though a user has a password")
	}
	if textOf(t, root, unitDir+"systemd-modules-load.service") != "-> /dev/null" {
		t.Error("systemd-modules-load runs without its library")
	}
}

// writeUnits puts our units into a directory in which all that they name is.
func writeUnits(t *testing.T) string {
	t.Helper()
	root := systemdTree(t)
	if err := applySystemd(root, parse(t, systemdServices), testAccounts()); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "ashlar-units-") // others must get in
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	hard := machine.Service{
		Name: "hard", Type: machine.TypeSimple, Exec: hardArgs, ExecPre: []machine.Command{hardArgs}, Restart: machine.RestartAlways, WorkDir: "/",
		Environment: []machine.Setting{{Name: "X", Value: strings.Join(hardArgs[1:], " ")}}, StartLimit: 1, StopLimit: 1,
	}
	units := map[string]string{"nginx.service": "[Service]\nExecStart=/usr/bin/true\n", "hard.service": unitOf(hard, nil)}
	for _, name := range []string{"app.service", "db.service", "ashlar-network.service", "ashlar-agent.service"} {
		text := textOf(t, root, unitDir+name)
		units[name] = strings.ReplaceAll(text, "/"+layout.InitBinary, "/usr/bin/true") // not on this machine
	}
	for name, text := range units {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestSystemdVerify has systemd judge our units.
func TestSystemdVerify(t *testing.T) {
	tool := testenv.RequireTool(t, "systemd-analyze")
	dir := writeUnits(t)
	for _, unit := range []string{"app.service", "db.service", "hard.service", "ashlar-network.service", "ashlar-agent.service"} {
		cmd := exec.Command(tool, "verify", "--man=no", filepath.Join(dir, unit))
		cmd.Env = append(os.Environ(), "SYSTEMD_UNIT_PATH="+dir+":")
		if out, err := cmd.CombinedOutput(); err != nil || bytes.Contains(out, []byte(dir)) {
			t.Errorf("%s: %v\n%s", unit, err, out)
		}
	}
}

// TestSystemdReadsBack compares the arguments that systemd reads from a unit
// with those that were declared.
func TestSystemdReadsBack(t *testing.T) {
	testenv.RequireTool(t, "systemd-analyze")
	testenv.RequireRoot(t)
	dir := writeUnits(t)
	cmd := exec.Command("/lib/systemd/systemd", "--test", "--system", "--unit=hard.service")
	cmd.Env = []string{"SYSTEMD_UNIT_PATH=" + dir + ":", "XDG_RUNTIME_DIR=" + dir, "PATH=/usr/bin:/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}} // it tests for users only
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	_, unit, _ := strings.Cut(string(out), "-> Unit hard.service:")
	unit, _, _ = strings.Cut(unit, "-> Unit ")
	var lines int
	for _, line := range strings.Split(unit, "\n") {
		if command, ok := strings.CutPrefix(strings.TrimSpace(line), "Command Line: "); ok {
			lines++
			if got := systemdWords(t, command); !slices.Equal(got, hardArgs) {
				t.Errorf("read back %q\nwant      %q", got, hardArgs)
			}
		}
	}
	if lines != 2 {
		t.Errorf("%d commands read back, want 2\n%s", lines, unit)
	}
}

// systemdWords takes a dumped command line apart: words that need it stand in
// quotes with escapes as in C. "$$" is what execution makes a "$" of.
func systemdWords(t *testing.T, line string) []string {
	t.Helper()
	var words []string
	for line = strings.TrimSpace(line); line != ""; line = strings.TrimLeft(line, " ") {
		if line[0] != '"' {
			word, rest, _ := strings.Cut(line, " ")
			words, line = append(words, word), rest
			continue
		}
		end := 1
		for line[end] != '"' {
			if line[end] == '\\' {
				end++
			}
			end++
		}
		quoted := strings.NewReplacer(`\\`, `\\`, `\$`, `$`, "\\`", "`").Replace(line[:end+1])
		word, err := strconv.Unquote(quoted)
		if err != nil {
			t.Fatalf("%s: %v", quoted, err)
		}
		words, line = append(words, word), line[end+1:]
	}
	for i := range words {
		words[i] = strings.ReplaceAll(words[i], "$$", "$")
	}
	return words
}
