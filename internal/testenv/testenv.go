// Package testenv says what a test may need from the machine it runs on.
//
// A laptop may lack a judge (a foreign tool, a mirror): there the test is
// skipped. CI may not: there the same lack fails the test.
package testenv

import (
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// CI reports whether the tests run in continuous integration.
func CI() bool { return os.Getenv("CI") == "true" }

// Lack ends the test: a skip on a laptop, a failure in CI.
func Lack(t testing.TB, format string, args ...any) {
	t.Helper()
	if CI() {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// RequireTool gives the path of a foreign program that judges our work.
func RequireTool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		for _, dir := range []string{"/usr/sbin/", "/sbin/"} {
			if found, err := exec.LookPath(dir + name); err == nil {
				return found
			}
		}
		Lack(t, "needs %s on PATH: %v", name, err)
	}
	return path
}

// RequireRoot ends the test unless it runs as root.
func RequireRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		Lack(t, "needs root")
	}
}

// Mirror gives the base URL of a Debian mirror that answers:
// $ASHLAR_MIRROR_DEBIAN, or the public default.
func Mirror(t testing.TB) string {
	t.Helper()
	base := os.Getenv("ASHLAR_MIRROR_DEBIAN")
	if base == "" {
		base = "http://deb.debian.org/debian"
	}
	client := http.Client{Timeout: 20 * time.Second}
	resp, err := client.Head(strings.TrimRight(base, "/") + "/dists/stable/InRelease")
	if err != nil {
		Lack(t, "needs a Debian mirror: %v", err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		Lack(t, "needs a Debian mirror: %s answers %s", base, resp.Status)
	}
	return base
}
