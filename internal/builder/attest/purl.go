package attest

import (
	"fmt"
	"net/url"
	"strings"
)

// purl is a package URL of type "deb" (github.com/package-url/purl-spec). A
// package from an archive that is not the distribution's says whence it is.
func (in *Input) purl(p Package) string {
	q := []string{"arch=" + escape(p.Arch), "distro=" + escape(in.Suite)}
	if !p.Own {
		if base, ok := strings.CutSuffix(p.URL, "/"+(&url.URL{Path: p.Path}).EscapedPath()); ok {
			q = append(q, "repository_url="+escape(base))
		}
	}
	return fmt.Sprintf("pkg:deb/%s/%s@%s?%s", in.Distro, escape(strings.ToLower(p.Name)), escape(p.Version), strings.Join(q, "&"))
}

// sourcePURL names the source package that a package was built from.
func (in *Input) sourcePURL(p Package) string {
	return fmt.Sprintf("pkg:deb/%s/%s@%s?arch=source&distro=%s", in.Distro, escape(strings.ToLower(p.source())), escape(p.sourceVersion()), escape(in.Suite))
}

// purl names one of our own programs by its bytes.
func (p Program) purl() string {
	return fmt.Sprintf("pkg:generic/%s@%s?checksum=sha256:%s", escape(p.Name), escape(p.Version), p.Digest)
}

func (m Module) purl() string {
	parts := strings.Split(m.Path, "/")
	for i, part := range parts {
		parts[i] = escape(part)
	}
	return "pkg:golang/" + strings.Join(parts, "/") + "@" + escape(m.Version)
}

// escape percent-encodes all but what a purl leaves as it is: letters, digits,
// ".-_~" and the colon.
func escape(text string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		switch {
		case 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte(".-_~:", c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
