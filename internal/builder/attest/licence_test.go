package attest

import (
	"strings"
	"testing"

	"github.com/github/go-spdx/v2/spdxexp"

	"ashlar/internal/format/deb822"
)

const head = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nUpstream-Name: x\n"

// TestLicenses: each row is the License lines of the Files paragraphs.
func TestLicenses(t *testing.T) {
	for _, c := range []struct{ lines, want string }{
		{"Expat", "MIT"},
		{"GPL-2+", "GPL-2.0-or-later"},
		{"GPL-2+|GPL-2+|Zlib", "GPL-2.0-or-later AND Zlib"},
		{"GPL-3", "GPL-3.0-only"},
		{"LGPL-2.1+", "LGPL-2.1-or-later"},
		{"LGPL-2.1-only", "LGPL-2.1-only"},
		{"GPL-3.0-or-later", "GPL-3.0-or-later"},
		{"GFDL-NIV-1.3+", "GFDL-1.3-no-invariants-or-later"},
		{"GPL-1+ or Artistic", "GPL-1.0-or-later OR Artistic-1.0"},
		{"GPL-1+ or Artistic|ISC", "(GPL-1.0-or-later OR Artistic-1.0) AND ISC"},
		{"GPL-3+ and ISC|ISC", "GPL-3.0-or-later AND ISC"},
		{"GPL-2 or BSD-3-clause and Expat", "GPL-2.0-only OR BSD-3-Clause AND MIT"},
		{"public-domain", "LicenseRef-src-public-domain"},
		{"GPL-9", "LicenseRef-src-GPL-9"},
		{"GPL-2+ with OpenSSL exception", "LicenseRef-src-GPL-2-with-OpenSSL-exception-a0de130f"},
		{"GPL-2+, or Artistic", "LicenseRef-src-GPL-2-or-Artistic-dfb65760"},
		{"or", "LicenseRef-src-or"},
		{"Expat or", "LicenseRef-src-Expat-or-b6ffa811"},
		{"", ""},
	} {
		text := head
		for _, line := range strings.Split(c.lines, "|") {
			text += "\nFiles: *\nCopyright: somebody\nLicense: " + line + "\n The text\n .\n of it.\n"
		}
		got, texts := licenses("src", []byte(text))
		if got != c.want {
			t.Errorf("%q: %q, want %q", c.lines, got, c.want)
		}
		checkExpression(t, got, texts)
		for ref, body := range texts {
			if body != "The text\n.\nof it." {
				t.Errorf("%s has the text %q", ref, body)
			}
		}
	}
}

// checkExpression asks another parser, and wants a text for every reference.
func checkExpression(t *testing.T, expression string, texts map[string]string) {
	t.Helper()
	if expression == "" {
		return
	}
	if ok, bad := spdxexp.ValidateLicenses([]string{expression}); !ok {
		t.Errorf("%q is no expression: %q", expression, bad)
	}
	for _, word := range strings.Fields(strings.NewReplacer("(", " ", ")", " ").Replace(expression)) {
		if strings.HasPrefix(word, "LicenseRef-") && texts[word] == "" {
			t.Errorf("%s has no text", word)
		}
	}
}

// TestNotMachineReadable: what has not the form says nothing.
func TestNotMachineReadable(t *testing.T) {
	for _, text := range []string{
		"", "This package was debianized by somebody.\n\nIt is free.\n", head,
		"Format: something else\n\nFiles: *\nLicense: Expat\n",
		head + "\nLicense: Expat\n text\n", // of no file
		head + "\nFiles: *\nCopyright: x\n",
		strings.Repeat("x", maxCopyright+1),
	} {
		if got, texts := licenses("src", []byte(text)); got != "" || texts != nil {
			t.Errorf("%.60q: %q, %q", text, got, texts)
		}
	}
}

func TestFactsOf(t *testing.T) {
	control, err := deb822.ReadOne(strings.NewReader("Package: bash\nSource: bash-src (5.2.37-2)\nVersion: 5.2.37-2+b10\nMaintainer: M <m@example.org>\n"+
		"Homepage: http://example.org\nDescription: GNU shell\n Long text.\n"), deb822.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	f := FactsOf(control, []byte(head+"\nFiles: *\nLicense: odd\n"))
	if f.Source != "bash-src" || f.SourceVersion != "5.2.37-2" || f.Summary != "GNU shell" || f.License != "LicenseRef-bash-src-odd" || f.Homepage != "http://example.org" {
		t.Errorf("%+v", f)
	}
	if text := f.Texts[f.License]; !strings.Contains(text, `"odd"`) || !strings.Contains(text, "bash-src") {
		t.Errorf("%q", text)
	}
	if got := originator("M <m@example.org>"); got != "Organization: M (m@example.org)" {
		t.Error(got)
	}
	if got := originator("nobody"); got != "Organization: nobody" {
		t.Error(got)
	}
}

// FuzzLicenses: any text gives nothing or an expression that another parser reads.
func FuzzLicenses(f *testing.F) {
	f.Add("src", head+"\nFiles: *\nLicense: GPL-2+ or Artistic and x, y\n text\n")
	f.Add("a+b", head+"\nFiles: *\nLicense: (\n\nFiles: b\nLicense: GPL-2.1 AND or and\n")
	f.Fuzz(func(t *testing.T, source, text string) {
		expression, texts := licenses(source, []byte(text))
		checkExpression(t, expression, texts)
	})
}
