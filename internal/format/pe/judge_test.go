package pe

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ashlar/internal/testenv"
)

// ukiSections are what a unified kernel image has, with contents that tell
// them apart.
func ukiSections() []NewSection {
	return []NewSection{
		section(".osrel", "ID=ashlar\nVERSION_ID=\"1\"\n"), section(".cmdline", "console=ttyS0 panic=10"), section(".uname", "6.12.1-test"),
		section(".initrd", strings.Repeat("initrd", 99_999)), section(".linux", strings.Repeat("kernel", 77_777)),
	}
}

// uki writes a program of systemd's stub to a file and gives its path.
func uki(t *testing.T, root string) string {
	t.Helper()
	stub, err := os.ReadFile(filepath.Join(root, "usr/lib/systemd/boot/efi/linuxx64.efi.stub"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "uki.efi")
	if err := os.WriteFile(path, added(t, stub, ukiSections()...), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(testenv.RequireTool(t, name), args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "PATH=/usr/bin:"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// TestForeignReaders lets other programs read what we make of systemd's stub.
func TestForeignReaders(t *testing.T) {
	root := testenv.Debian(t, "trixie").Unpack(t, "systemd-boot-efi", "systemd-ukify")
	path := uki(t, root)

	if got := run(t, "file", path); !strings.Contains(got, "PE32+ executable (EFI application) x86-64") || !strings.Contains(got, "11 sections") {
		t.Errorf("file says: %s", got)
	}
	sections := run(t, "objdump", "-h", path)
	for _, s := range append(ukiSections(), section(".sbat", ""), section(".text", "")) {
		if !strings.Contains(sections, " "+s.Name+" ") {
			t.Errorf("objdump sees no section %s:\n%s", s.Name, sections)
		}
	}
	for _, s := range ukiSections() {
		copied := filepath.Join(t.TempDir(), "section")
		run(t, "objcopy", "--dump-section", s.Name+"="+copied, path, copied+".efi")
		got, err := os.ReadFile(copied)
		want, _ := s.Content.ReadAll(1 << 20)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("objcopy takes %d bytes out of %s, want %d, %v", len(got), s.Name, len(want), err)
		}
	}

	const python = "/usr/bin/python3" // Debian's, which has pefile
	run(t, python, "-c", `
import pefile, sys
pe = pefile.PE(sys.argv[1])
assert pe.verify_checksum(), "checksum"
assert not [w for w in pe.get_warnings() if "makes up" not in w], pe.get_warnings()
assert pe.OPTIONAL_HEADER.SizeOfImage % pe.OPTIONAL_HEADER.SectionAlignment == 0
`, path)
	inspected := run(t, python, filepath.Join(root, "usr/bin/ukify"), "inspect", path)
	for _, want := range []string{".osrel:", "ID=ashlar", ".cmdline:", "console=ttyS0 panic=10", ".uname:", "6.12.1-test", ".linux:", "466662 bytes", ".initrd:", "599994 bytes", ".sbat:", "sbat,1,SBAT Version"} {
		if !strings.Contains(inspected, want) {
			t.Errorf("ukify inspect does not show %q:\n%s", want, inspected)
		}
	}
}

// TestSigned signs what we make, as Secure Boot wants it, and has the signature
// verified: the signer warns of gaps and of data outside all sections.
func TestSigned(t *testing.T) {
	path := uki(t, testenv.Debian(t, "trixie").Unpack(t, "systemd-boot-efi"))
	key, cert, signed := path+".key", path+".crt", path+".signed"
	run(t, "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=test/", "-days", "2", "-keyout", key, "-out", cert)
	if got := run(t, "sbsign", "--key", key, "--cert", cert, "--output", signed, path); strings.Contains(got, "warning") {
		t.Errorf("sbsign says: %s", got)
	}
	if got := run(t, "sbverify", "--cert", cert, signed); !strings.Contains(got, "Signature verification OK") {
		t.Errorf("sbverify says: %s", got)
	}
	data, err := os.ReadFile(signed)
	if err != nil {
		t.Fatal(err)
	}
	if !open(t, data).Signed {
		t.Error("the signature is not seen")
	}
	if _, err := Add(data, []NewSection{section(".more", "x")}); err == nil {
		t.Error("a section is added to a signed program")
	}
}
