package resolve_test

import (
	"ashlar/internal/builder/distro/deb/resolve"
	"crypto/sha256"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ashlar/internal/testenv"
)

// apt is real apt-get with a root of its own in which nothing is installed.
type apt struct {
	tool, conf string
}

// suiteFile is an archive for apt to read.
type suiteFile struct {
	suite    string
	packages []byte
}

// newApt gives apt a root whose archives are the given ones, in order.
func newApt(t testing.TB, preferences string, suites ...suiteFile) *apt {
	t.Helper()
	a := &apt{tool: testenv.RequireTool(t, "apt-get")}
	dir := t.TempDir()
	for _, d := range []string{"etc/apt/apt.conf.d", "etc/apt/preferences.d", "etc/apt/trusted.gpg.d", "etc/apt/sources.list.d",
		"var/lib/apt/lists/partial", "var/cache/apt/archives/partial", "var/lib/dpkg"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	var sources strings.Builder
	for _, s := range suites {
		base := "repo/dists/" + s.suite + "/"
		write(base+"main/binary-amd64/Packages", string(s.packages))
		write(base+"Release", fmt.Sprintf("Suite: %s\nCodename: %s\nComponents: main\nArchitectures: amd64\nDate: Thu, 01 Jan 2026 00:00:00 UTC\nSHA256:\n %x %d main/binary-amd64/Packages\n",
			s.suite, s.suite, sha256.Sum256(s.packages), len(s.packages)))
		fmt.Fprintf(&sources, "deb [trusted=yes] file:%s/repo %s main\n", dir, s.suite)
	}
	write("etc/apt/sources.list", sources.String())
	write("etc/apt/preferences", preferences)
	write("var/lib/dpkg/status", "")
	a.conf = write("apt.conf", fmt.Sprintf(`Dir "%s/";
Dir::State::status "%s/var/lib/dpkg/status";
APT::Architecture "amd64";
APT::Architectures { "amd64"; };
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::AllowInsecureRepositories "true";
APT::Get::Assume-Yes "true";
`, dir, dir))
	if out, err := a.run("update"); err != nil {
		t.Fatalf("apt-get update: %v\n%s", err, out)
	}
	return a
}

func (a *apt) run(args ...string) (string, error) {
	cmd := exec.Command(a.tool, args...)
	cmd.Env = []string{"APT_CONFIG=" + a.conf, "LC_ALL=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// install gives "name=version" of what apt would install, sorted; nil and
// apt's words if it refuses. --print-uris does without the simulation of dpkg.
func (a *apt) install(recommends bool, names ...string) ([]string, string) {
	option := "--no-install-recommends"
	if recommends {
		option = "--install-recommends"
	}
	out, err := a.run(append([]string{"-qq", "--print-uris", option, "install"}, names...)...)
	if err != nil {
		return nil, out
	}
	got := []string{}
	for line := range strings.Lines(out) {
		// 'URI' NAME_VERSION_ARCH.deb SIZE [HASH]
		f := strings.Fields(line)
		if len(f) < 3 || f[0][0] != '\'' {
			continue
		}
		parts := strings.Split(f[1], "_")
		version, err := url.PathUnescape(parts[1])
		if len(parts) != 3 || err != nil {
			return nil, "cannot read: " + line
		}
		got = append(got, parts[0]+"="+version)
	}
	slices.Sort(got)
	return got, out
}

// versions gives a result in the same form.
func versions(r *resolve.Result) []string {
	var out []string
	for _, p := range r.Packages {
		out = append(out, p.Name+"="+p.Version)
	}
	slices.Sort(out)
	return out
}
