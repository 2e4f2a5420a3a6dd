package boot

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ashlar/internal/format/pe"
	"ashlar/internal/foundation/tree"
	"ashlar/internal/testenv"
)

func sampleUKI(t *testing.T) UKI {
	return UKI{
		Loader: dirReader(testenv.Debian(t, "trixie").Unpack(t, UKIPackages("amd64")...)), Arch: "amd64", Name: "web", Version: "00112233aabbccdd",
		Release: "6.12.1-test", Cmdline: "console=ttyS0 quiet", Kernel: tree.NewFile("vmlinuz", 0o644, []byte("kernel")), Initrd: tree.NewFile("initrd", 0o644, []byte("initrd")),
	}
}

func TestUKI(t *testing.T) {
	program, err := sampleUKI(t).Program()
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "uki.efi"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := program.Write(f); err != nil {
		t.Fatal(err)
	}
	file, err := pe.Open(f, program.Size)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		".osrel": "ID=ashlar\nIMAGE_ID=web\nVERSION_ID=00112233aabbccdd\nPRETTY_NAME=\"web\"\n", ".cmdline": "console=ttyS0 quiet",
		".uname": "6.12.1-test", ".linux": "kernel", ".initrd": "initrd",
	} {
		s := file.Section(name)
		if s == nil {
			t.Fatalf("no section %s", name)
		}
		if got, err := io.ReadAll(file.Data(s)); err != nil || string(got) != want {
			t.Errorf("%s is %q, %v", name, got, err)
		}
	}
	if sbat := file.Section(".sbat"); sbat == nil || file.Sections[len(file.Sections)-1].Name != ".linux" {
		t.Errorf("sections %v", file.Sections)
	}
	if sum, err := file.Sum(); err != nil || sum != file.Checksum {
		t.Errorf("checksum %#x, should be %#x, %v", file.Checksum, sum, err)
	}
}

func TestUKIRefuses(t *testing.T) {
	sample := sampleUKI(t)
	for want, spoil := range map[string]func(*UKI){
		"no stub for armhf":   func(u *UKI) { u.Arch = "armhf" },
		"linuxaa64.efi.stub":  func(u *UKI) { u.Arch = "arm64" },
		`"a\nb" is no line`:   func(u *UKI) { u.Cmdline = "a\nb" },
		`"" is no line`:       func(u *UKI) { u.Release = "" },
		"kernel or initramfs": func(u *UKI) { u.Initrd = tree.Entry{} },
	} {
		u := sample
		spoil(&u)
		if _, err := u.Program(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
	if UKIPackages("armhf") != nil {
		t.Error("there are packages for an architecture without a stub")
	}
}
