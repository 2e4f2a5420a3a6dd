package definition

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
)

// form is how a string is checked. The pattern also goes into the schema; the
// check sees only what the pattern lets through.
type form struct {
	what    string // completes "… is not …"
	hint    string
	pattern string
	check   func(string) error // nil, or why it is wrong: replaces "is not …"

	compiled *regexp.Regexp // pattern
}

// The patterns use what Go's regular expressions and ECMA's have in common.
const (
	patternAbsPath = `^/[^\u0000-\u001f\u007f]*$`
	patternLine    = `^[^\u0000-\u001f\u007f]*$`
	patternOwner   = `^([A-Za-z_][A-Za-z0-9_.-]{0,31}|[0-9]{1,10})$`
	patternHost    = `^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$`
)

// forms are the values of the form tag. Nothing changes the table.
var forms = compile(map[string]form{
	"name":        {what: "a name", hint: "letters, digits, dots and dashes, at most 64, a letter or digit first and last", pattern: patternHost, check: checkHostname},
	"package":     {what: "a package", hint: "write name or name=version, in lower case", pattern: `^[a-z0-9][a-z0-9+.-]+(:[a-z0-9-]+)?(=[A-Za-z0-9.+:~-]+)?$`},
	"packagename": {what: "a package name", hint: "lower case letters, digits, +, - and dots", pattern: `^[a-z0-9][a-z0-9+.-]+$`},
	"packageglob": {what: "a package name or pattern", hint: `lower case letters, digits, +, - and dots; * and ? match any`, pattern: `^[a-z0-9*?][a-z0-9+.*?-]*$`},
	"versionglob": {what: "a version or pattern", hint: "as dpkg shows it; * and ? match any", pattern: `^[A-Za-z0-9.+:~*?-]+$`},
	"suite":       {what: "a suite", hint: `a name such as "trixie"`, pattern: `^[A-Za-z0-9][A-Za-z0-9._/+-]*$`, check: checkNoDots},
	"component":   {what: "a component", hint: `such as "main" or "non-free-firmware"`, pattern: `^[a-z0-9][a-z0-9._/-]*$`, check: checkNoDots},
	"archive":     {what: "an archive name", hint: "lower case letters, digits, dots and dashes", pattern: `^[a-z0-9][a-z0-9.-]{0,63}$`},
	"snapshot":    {what: "a snapshot date", hint: `write it as "20260131T000000Z"`, pattern: `^[0-9]{8}T[0-9]{6}Z$`, check: checkSnapshot},
	"url":         {what: "a URL", hint: `such as "https://deb.debian.org/debian"`, pattern: `^https?://[^\s\u0000-\u001f\u007f]+$`, check: checkURL},
	"relpath":     {what: "a path below the definition's directory", hint: "relative, without ..", pattern: `^[^/\u0000-\u001f\u007f][^\u0000-\u001f\u007f]*$`, check: checkRelPath},
	"abspath":     {what: "an absolute path", hint: "it begins with /", pattern: patternAbsPath, check: checkAbsPath},
	"pathglob":    {what: "an absolute path or pattern", hint: "it begins with /", pattern: patternAbsPath, check: checkPathGlob},
	"init":        {what: "a kind of init", hint: `"ashlar", "systemd" or the absolute path of a program`, pattern: `^(ashlar|systemd|/[^\u0000-\u001f\u007f]+)$`, check: checkInit},
	"hostname":    {what: "a host name", hint: "letters, digits and dashes, in parts of at most 63 separated by dots", pattern: patternHost, check: checkHostname},
	"timezone":    {what: "a time zone", hint: `such as "Etc/UTC" or "Europe/Berlin"`, pattern: `^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$`},
	"locale":      {what: "a locale", hint: `such as "C.UTF-8" or "de_DE.UTF-8"`, pattern: `^[A-Za-z][A-Za-z0-9_.@-]*$`},
	"account":     {what: "an account or group name", hint: "lower case letters, digits, _ and -, at most 32, no digit or - first", pattern: `^[a-z_][a-z0-9_-]{0,31}$`},
	"owner":       {what: "a user or group", hint: "a name or a number", pattern: patternOwner, check: checkOwner},
	"service":     {what: "a service name", hint: "letters, digits, @, _, . and -, at most 64", pattern: `^[A-Za-z0-9][A-Za-z0-9@_.-]{0,63}$`},
	"sysctl":      {what: "a kernel parameter", hint: `such as "net.core.somaxconn"`, pattern: `^[a-z0-9_]+([./][A-Za-z0-9_-]+)+$`},
	"envname":     {what: "the name of an environment variable", hint: "letters, digits and _, no digit first", pattern: `^[A-Za-z_][A-Za-z0-9_]*$`},
	"module":      {what: "a kernel module", hint: `its name without .ko, such as "virtio_net"`, pattern: `^[A-Za-z0-9_-]+$`},
	"mode":        {what: "a mode", hint: `octal digits in quotes, such as "0755"`, pattern: `^[0-7]{3,4}$`},
	"size":        {what: "a size", hint: `digits and at most one of K, M, G, T, such as "64M"`, pattern: `^[0-9]+[KMGT]?$`, check: checkSize},
	"duration":    {what: "a duration", hint: `a number with its unit, such as "90s" or "2m"`, pattern: `^([0-9]+(h|m|s))+$`, check: checkDuration},
	"signal":      {what: "a signal", hint: `such as "SIGTERM" or "SIGQUIT"`, pattern: `^SIG[A-Z0-9]+$`, check: checkSignal},
	"mac":         {what: "a MAC address", hint: `six bytes with colons, such as "52:54:00:12:34:56"`, pattern: `^[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}$`, check: checkMAC},
	"cidr":        {what: "an address with prefix length", hint: `such as "192.0.2.7/24" or "2001:db8::7/64"`, check: checkCIDR},
	"network":     {what: "a network with prefix length", hint: `such as "198.51.100.0/24" or "2001:db8:1::/48"`, check: checkNetwork},
	"address":     {what: "an IP address", hint: `such as "192.0.2.1" or "2001:db8::1"`, check: checkAddress},
	"interface":   {what: "an interface name or pattern", hint: `such as "eth0" or "en*", at most 15 characters`, pattern: `^[A-Za-z0-9_.*?\[\]-]{1,15}$`, check: checkGlob},
	"line":        {what: "one line of text", hint: "without line breaks and control characters", pattern: patternLine},
	"gecos":       {what: "a comment of an account", hint: "one line without colons", pattern: `^[^:\u0000-\u001f\u007f]*$`},
	"arg":         {what: "an argument", hint: "without NUL", pattern: `^[^\u0000]*$`},
	"sshkey":      {what: "an SSH public key", hint: "one line of an id_….pub file", check: checkSSHKey},
	"crypt":       {what: "a password hash", hint: "make one with: openssl passwd -6", pattern: `^(\*|!|!?\$[A-Za-z0-9-]+\$[A-Za-z0-9./$,=+-]+)$`},
	"unit":        {what: "a systemd unit", hint: `such as "nginx.service"`, pattern: `^[A-Za-z0-9:_.\\@-]+\.(service|socket|timer|target|path|mount)$`},
	"exposed":     {what: "a port", hint: `such as "80" or "53/udp"`, pattern: `^[1-9][0-9]{0,4}(/(tcp|udp|sctp))?$`, check: checkExposed},
	"port":        {what: "a port", hint: `such as ":22"`, pattern: `^[A-Za-z0-9.:\[\]-]*:[0-9]{1,5}$`, check: checkPort},
	"httpurl":     {what: "a URL on the machine", hint: `such as "http://:80/"`, pattern: `^http://[^\s\u0000-\u001f\u007f]+$`, check: checkHTTP},
})

func compile(table map[string]form) map[string]form {
	for name, f := range table {
		if f.pattern != "" {
			f.compiled = regexp.MustCompile(goPattern(f.pattern))
			table[name] = f
		}
	}
	return table
}

// why says what is wrong with a value, "" when nothing is.
func (f form) why(value string, secret bool) string {
	shown := quote(value) + " "
	if secret {
		shown = ""
	}
	if f.compiled != nil && !f.compiled.MatchString(value) {
		return shown + "is not " + f.what
	}
	if f.check == nil {
		return ""
	}
	if err := f.check(value); err != nil {
		return shown + err.Error()
	}
	return ""
}

// goPattern turns \uHHHH of the schema into Go's \x{HHHH}.
func goPattern(pattern string) string {
	return regexp.MustCompile(`\\u([0-9a-f]{4})`).ReplaceAllString(pattern, `\x{$1}`)
}

func checkNoDots(text string) error {
	for _, p := range strings.Split(text, "/") {
		if p == "." || p == ".." || p == "" {
			return errors.New("has an empty or dotted part")
		}
	}
	return nil
}

func checkSnapshot(text string) error {
	if _, err := time.Parse("20060102T150405Z", text); err != nil {
		return errors.New("is not a date that exists")
	}
	return nil
}

func checkURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Hostname() == "":
		return errors.New("is not a URL with a host")
	case u.RawQuery != "" || u.Fragment != "":
		return errors.New("has a query or fragment, which a mirror cannot have")
	}
	return nil
}

func checkRelPath(text string) error {
	if clean := path.Clean(text); clean != strings.TrimSuffix(text, "/") {
		return fmt.Errorf("is not in its shortest form, %q", clean)
	} else if clean == ".." || strings.HasPrefix(clean, "../") {
		return errors.New("leaves the definition's directory")
	}
	return nil
}

func checkAbsPath(text string) error {
	if clean := path.Clean(text); clean != text {
		return fmt.Errorf("is not in its shortest form, %q", clean)
	}
	return nil
}

func checkPathGlob(text string) error {
	if err := checkAbsPath(text); err != nil {
		return err
	}
	return checkGlob(text)
}

func checkGlob(text string) error {
	if _, err := path.Match(text, ""); err != nil {
		return errors.New("is not a shell pattern")
	}
	return nil
}

func checkInit(text string) error {
	if strings.HasPrefix(text, "/") {
		return checkAbsPath(text)
	}
	return nil
}

// maxHostname is the kernel's bound, HOST_NAME_MAX.
const maxHostname = 64

func checkHostname(text string) error {
	if len(text) > maxHostname {
		return fmt.Errorf("is longer than %d characters", maxHostname)
	}
	return nil
}

func checkOwner(text string) error {
	if text[0] >= '0' && text[0] <= '9' {
		if n, err := strconv.ParseUint(text, 10, 32); err != nil || n > 4294967293 {
			return errors.New("is too large for a user or group number")
		}
	}
	return nil
}

func checkSize(text string) error {
	if _, err := ParseSize(text); err != nil {
		return errors.New("is too large a size")
	}
	return nil
}

func checkDuration(text string) error {
	if _, err := ParseDuration(text); err != nil {
		return errors.New("is not between one second and 24 hours")
	}
	return nil
}

func checkSignal(text string) error {
	if unix.SignalNum(text) == 0 {
		return errors.New("is not a signal of Linux")
	}
	return nil
}

func checkMAC(text string) error {
	mac, err := net.ParseMAC(text)
	if err != nil {
		return errors.New("is not a MAC address")
	}
	if mac[0]&1 != 0 {
		return errors.New("is a multicast address")
	}
	return nil
}

func checkNetwork(text string) error {
	p, err := netip.ParsePrefix(text)
	switch {
	case err != nil && !strings.Contains(text, "/"):
		return errors.New("has no prefix length")
	case err != nil:
		return errors.New("is not a network with prefix length")
	case p != p.Masked():
		return fmt.Errorf("has bits behind its prefix; %s is meant", p.Masked())
	}
	return nil
}

func checkCIDR(text string) error {
	p, err := netip.ParsePrefix(text)
	switch {
	case err != nil && !strings.Contains(text, "/"):
		return errors.New("has no prefix length")
	case err != nil:
		return errors.New("is not an address with prefix length")
	case p.Addr().IsMulticast() || p.Addr().IsUnspecified():
		return errors.New("is not an address of a machine")
	}
	return nil
}

func checkAddress(text string) error {
	a, err := netip.ParseAddr(text)
	if err != nil || a.IsMulticast() || a.IsUnspecified() {
		return errors.New("is not an IP address of a machine")
	}
	return nil
}

func checkSSHKey(text string) error {
	if strings.Contains(text, "PRIVATE KEY") {
		return errors.New("is a private key, which must not be in a definition")
	}
	if strings.ContainsAny(text, "\n\r") {
		return errors.New("is more than one line")
	}
	if _, _, _, _, err := ssh.ParseAuthorizedKey([]byte(text)); err != nil {
		return errors.New("is not an SSH public key")
	}
	return nil
}

func checkPort(text string) error {
	_, port, err := net.SplitHostPort(text)
	if err != nil {
		return errors.New("is not a port")
	}
	return checkPortNumber(port)
}

func checkExposed(text string) error {
	port, _, _ := strings.Cut(text, "/")
	return checkPortNumber(port)
}

func checkPortNumber(port string) error {
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return errors.New("has a port that is not between 1 and 65535")
	}
	return nil
}

func checkHTTP(text string) error {
	u, err := url.Parse(text)
	if err != nil {
		return errors.New("is not a URL")
	}
	if u.Port() == "" {
		return nil
	}
	return checkPortNumber(u.Port())
}
