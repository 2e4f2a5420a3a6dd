package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"ashlar/internal/foundation/tree"
	"ashlar/internal/testenv"
)

// scenario does what maintainer scripts do, and everything that depends on who
// owns files.
const scenario = `
	useradd --system --create-home --home-dir /var/lib/daemon daemon2 -u 123
	groupadd -g 200 extra; passwd -l man >/dev/null
	echo changed >> /etc/issue; touch /etc/issue.net; chmod 600 /etc/motd 2>/dev/null || true
	rm -r /usr/share/doc/base-files; mkdir /usr/share/doc/base-files; echo new > /usr/share/doc/base-files/new
	rm /etc/host.conf; ln /usr/bin/gzip /usr/bin/gzip2
	mkdir -m 0 /srv/closed; echo x > /srv/closed/f; chmod 0 /srv/closed/f; echo y > /srv/ro; chmod 0444 /srv/ro; chown 5:6 /srv/ro
	cd /srv; mknod c c 5 1; chown 0:5 c; mkfifo p; ln -s x l; chown -h 3:4 l
	cp /bin/true t; setcap cap_net_raw+ep t; cp /bin/su su; chown root:man su; chmod 2755 su
	mkdir -p d/e; chown -R 9:9 d; chmod 2770 d; touch d/f; perl -e 'print "a" x 100000' > big
	ldconfig; rm /var/cache/ldconfig/aux-cache # it holds inode numbers
	dpkg-divert --version >/dev/null; tar -C /etc -cf - . | tar -C d/e -xf -; rm /usr/bin/perl
`

// printScenario is the scenario in a process of its own: the tar and the
// binary lie in dir, which the user owns.
func printScenario(dir string) (err error) {
	lower, err := readTar(filepath.Join(dir, "root.tar"), blobs(filepath.Join(dir, "blobs")))
	if err != nil {
		return err
	}
	addOddities(lower)
	s, err := New(context.Background(), Options{Dir: filepath.Join(dir, "work"), Pool: filepath.Join(dir, "pool"), Lower: lower, Log: os.Stderr})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := s.Run(context.Background(), Command{Args: []string{"sh", "-euc", scenario}}); err != nil {
		return err
	}
	r, err := s.Result(blobs(filepath.Join(dir, "blobs")).put)
	if err != nil {
		return err
	}
	_, err = io.WriteString(os.Stdout, listing(r))
	return err
}

// addOddities adds what a tree may hold and no unprivileged user can make.
func addOddities(t *tree.Tree) {
	for _, e := range []tree.Entry{
		{Path: "odd", Kind: tree.Dir, Mode: 0o1750, UID: 1000, GID: 1001},
		{Path: "odd/null", Kind: tree.CharDevice, Mode: 0o666, Major: 1, Minor: 3},
		{Path: "odd/secret", Kind: tree.File, Mode: 0, UID: 7, Size: 1, Source: tree.Bytes("s")},
		{Path: "odd/link", Kind: tree.Symlink, Mode: 0o777, Target: "x", UID: 8, GID: 9},
		{Path: "odd/fifo", Kind: tree.Fifo, Mode: 0o640, UID: 8},
		{Path: "odd/sock", Kind: tree.Socket, Mode: 0o660},
		{Path: "odd/cap", Kind: tree.File, Mode: 0o755, Size: 1, Source: tree.Bytes("c"), Xattrs: []tree.Xattr{
			{Name: capabilityXattr, Value: append([]byte{1, 0, 0, 2, 0, 4}, make([]byte, 14)...)}}},
		{Path: "odd/second", Kind: tree.HardLink, Target: "odd/secret"},
	} {
		if err := t.Put(e); err != nil {
			panic(err)
		}
	}
}

// TestSameResultForEveryone runs the scenario as root, as a user that
// /etc/subuid does not know and as one that it may know. (Subordinate ids are
// never asked for, so the latter two take the same path.)
func TestSameResultForEveryone(t *testing.T) {
	testenv.RequireRoot(t)
	var listings []string
	for _, uid := range []uint32{0, 54321, 65534} {
		out := runScenarioAs(t, uid)
		if len(strings.Split(out, "\n")) < 3000 {
			t.Fatalf("uid %d: only %d bytes:\n%s", uid, len(out), out)
		}
		listings = append(listings, out)
		if out != listings[0] {
			t.Errorf("uid %d gets another result:\n%s", uid, firstDifferences(listings[0], out))
		}
	}
	for _, want := range []string{
		"odd dir 1750 1000:1001", "odd/null chardev 0666 0:0 1:3", "odd/secret file 0000 7:0 1", "odd/link symlink 0777 8:9 -> x",
		"odd/fifo fifo 0640 8:0", "odd/sock socket 0660 0:0", "odd/second hardlink 0000 0:0 -> odd/secret",
		"odd/cap file 0755 0:0 1 00000000 security.capability=0100000200040000",
		"srv/closed dir 0000 0:0", "srv/closed/f file 0000 0:0 2", "srv/ro file 0444 5:6 2", "srv/d/f file 0644 0:9 0",
		"srv/c chardev 0644 0:5 5:1", "etc/shadow file 0640 0:42", "srv/d/e/shadow file 0640 0:42", "srv/su file 2755 0:12",
		"usr/bin/gzip2 hardlink 0000 0:0 -> usr/bin/gzip",
	} {
		if !strings.Contains(listings[0], "\n"+want) {
			name, _, _ := strings.Cut(want, " ")
			_, got, _ := strings.Cut(listings[0], "\n"+name+" ")
			got, _, _ = strings.Cut(got, "\n")
			t.Errorf("want %q, got %q", want, got)
		}
	}
}

func firstDifferences(a, b string) string {
	seen := map[string]int{}
	for l := range strings.SplitSeq(a, "\n") {
		seen[l]++
	}
	var out []string
	for l := range strings.SplitSeq(b, "\n") {
		if seen[l]--; seen[l] < 0 {
			out = append(out, "+ "+l)
		}
	}
	for l := range strings.SplitSeq(a, "\n") {
		if seen[l] > 0 {
			out = append(out, "- "+l)
			seen[l] = 0
		}
	}
	return strings.Join(out[:min(len(out), 20)], "\n")
}

// runScenarioAs copies what is needed to a directory of the user's.
func runScenarioAs(t *testing.T, uid uint32) string {
	t.Helper()
	dir := testDir(t)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{exe: "test", debianTar(t): "root.tar"} {
		in, err := os.Open(from)
		if err != nil {
			t.Fatal(err)
		}
		out, err := os.OpenFile(filepath.Join(dir, to), os.O_CREATE|os.O_WRONLY, 0o755)
		if err == nil {
			_, err = io.Copy(out, in)
		}
		if err := errors.Join(err, in.Close(), out.Close()); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(dir, int(uid), int(uid)); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	cmd := &exec.Cmd{
		Path: filepath.Join(dir, "test"), Args: []string{"test"}, Dir: dir, Env: []string{scenarioEnv + "=" + dir, "PATH=" + os.Getenv("PATH")},
		Stdout: &stdout, Stderr: &stderr,
		SysProcAttr: &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}},
	}
	if err := cmd.Run(); err != nil {
		t.Fatalf("uid %d: %v\n%s", uid, err, stderr.String())
	}
	return stdout.String()
}

// TestRefusal runs New where user namespaces are used up.
func TestRefusal(t *testing.T) {
	if os.Getenv("ASHLAR_TEST_REFUSED") != "" {
		_, err := New(t.Context(), Options{Dir: filepath.Join(t.TempDir(), "w"), Lower: &tree.Tree{}})
		fmt.Println(err)
		return
	}
	unshare := testenv.RequireTool(t, "unshare")
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(unshare, "-Ur", "sh", "-c", `echo 0 > /proc/sys/user/max_user_namespaces && exec "$0" -test.run TestRefusal`, exe)
	cmd.Env = append(os.Environ(), "ASHLAR_TEST_REFUSED=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "make a user namespace") || !strings.Contains(string(out), "sysctl -w user.max_user_namespaces") {
		t.Errorf("%v\n%s", err, out)
	}
}
