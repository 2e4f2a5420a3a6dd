package boot

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ashlar/internal/contract/layout"
	"ashlar/internal/foundation/tree"
	"ashlar/internal/testenv"
)

const sampleUUID = "01234567-89ab-cdef-0123-456789abcdef"

func sample() Input {
	return Input{
		SystemUUID: sampleUUID, Generation: "00112233aabbccdd", Title: "web, generation 1", Timeout: 1, Epoch: 1700000000,
		Cmdline: "console=ttyS0 ashlar.system=UUID=" + sampleUUID + " odd=$HOME;x quiet panic=-1 no_timer_check",
	}
}

func dirReader(dir string) func(string) ([]byte, error) {
	return func(path string) ([]byte, error) { return os.ReadFile(filepath.Join(dir, path)) }
}

// without hides the files below a prefix.
func without(read func(string) ([]byte, error), prefix string) func(string) ([]byte, error) {
	return func(path string) ([]byte, error) {
		if strings.HasPrefix(path, prefix) {
			return nil, fs.ErrNotExist
		}
		return read(path)
	}
}

func loader(t *testing.T, suite string, more ...string) func(string) ([]byte, error) {
	t.Helper()
	return dirReader(testenv.Debian(t, suite).Unpack(t, append(Packages("amd64"), more...)...))
}

func TestMenu(t *testing.T) {
	const want = `if [ "$grub_platform" = pc ]; then
  if serial --unit=0 --speed=115200; then
    terminal_input serial console
    terminal_output serial console
  fi
fi
set default=0
set timeout=1
menuentry 'web, generation 1' --id 00112233aabbccdd {
  linux /ashlar/generations/00112233aabbccdd/vmlinuz console=ttyS0 ashlar.system=UUID=01234567-89ab-cdef-0123-456789abcdef 'odd=$HOME;x' quiet panic=-1 no_timer_check
  initrd /ashlar/generations/00112233aabbccdd/initrd
}
`
	if diff := cmp.Diff(want, sample().menu()); diff != "" {
		t.Error(diff)
	}
}

// TestScriptsAreValid has GRUB's own parser read what we write.
func TestScriptsAreValid(t *testing.T) {
	check := testenv.RequireTool(t, "grub-script-check")
	cd := sample()
	cd.SystemUUID, cd.CDLabel = "", "ASHLAR_0123"
	for _, script := range []string{sample().menu(), sample().findSystem(), cd.findSystem()} {
		cmd := exec.Command(check)
		cmd.Stdin = strings.NewReader(script)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v: %s in\n%s", err, out, script)
		}
	}
}

func TestMakeRefuses(t *testing.T) {
	for want, spoil := range map[string]func(*Input){
		"no loader files":           func(in *Input) { in.Loader = nil },
		`CD label "a;reboot"`:       func(in *Input) { in.CDLabel = "a;reboot" },
		`system UUID "1234;reboot"`: func(in *Input) { in.SystemUUID = "1234;reboot" },
		`system UUID ""`:            func(in *Input) { in.SystemUUID = "" },
		`generation "../x"`:         func(in *Input) { in.Generation = "../x" },
		"title \"it's\"":            func(in *Input) { in.Title = "it's" },
		`title "a\nb"`:              func(in *Input) { in.Title = "a\nb" },
		`command line "a=\"b c\""`:  func(in *Input) { in.Cmdline = `a="b c"` },
		`command line "a\nb"`:       func(in *Input) { in.Cmdline = "a\nb" },
		"timeout -1":                func(in *Input) { in.Timeout = -1 },
		"no UEFI loader":            func(in *Input) { in.Loader = FromTree(&tree.Tree{}) },
	} {
		in := sample()
		in.Loader = func(string) ([]byte, error) { return []byte("x"), nil }
		spoil(&in)
		if _, err := Make(in); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "make boot files: ") {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

func TestFiles(t *testing.T) {
	all := loader(t, "trixie", "grub-efi-amd64-unsigned")
	for _, c := range []struct {
		name string
		read func(string) ([]byte, error)
		want string
	}{
		{"signed", all, "EFI/BOOT/BOOTX64.EFI EFI/BOOT/grub.cfg EFI/BOOT/grubx64.efi EFI/BOOT/mmx64.efi EFI/debian/grub.cfg EFI/ubuntu/grub.cfg"},
		{"unsigned", without(all, "usr/lib/shim/"), "EFI/BOOT/BOOTX64.EFI EFI/BOOT/grub.cfg EFI/debian/grub.cfg EFI/ubuntu/grub.cfg"},
	} {
		in := sample()
		in.Loader = c.read
		files, err := Make(in)
		if err != nil {
			t.Fatal(err)
		}
		if got := fileNames(t, files.ESP); got != c.want {
			t.Errorf("%s: ESP has %s, want %s", c.name, got, c.want)
		}
		if got := fileNames(t, files.System); got != layout.GrubConfig {
			t.Errorf("%s: system partition has %s", c.name, got)
		}
		mbr, core, err := files.BootCode(2048)
		if err != nil || len(mbr) != 440 || len(core)%512 != 0 || len(core) > 1<<20 {
			t.Errorf("%s: boot code %d, core image %d bytes, %v", c.name, len(mbr), len(core), err)
		}
		again, err := Make(in)
		if err != nil {
			t.Fatal(err)
		}
		if _, second, err := again.BootCode(2048); err != nil || string(second) != string(core) {
			t.Errorf("%s: a second core image differs, %v", c.name, err)
		}
	}
}

// fileNames lists the files and checks that every entry has the epoch.
func fileNames(t *testing.T, files *tree.Tree) string {
	t.Helper()
	var names []string
	for _, path := range files.Paths() {
		entry := files.Get(path)
		if entry.MTime != sample().Epoch {
			t.Errorf("%s: time %d", path, entry.MTime)
		}
		if entry.Kind == tree.File {
			names = append(names, path)
		}
	}
	return strings.Join(names, " ")
}

func TestPackages(t *testing.T) {
	if got := Packages("arm64"); got != nil {
		t.Errorf("arm64: %q", got)
	}
	archive := testenv.Debian(t, "bookworm")
	for _, name := range Packages("amd64") {
		if archive.Field(t, name, "Filename") == "" {
			t.Errorf("%s: not in bookworm", name)
		}
	}
}

// FuzzMenu looks for input that passes the check and breaks out of its place
// in the script: the lines must stay the same but for the values.
func FuzzMenu(f *testing.F) {
	f.Add("0123-abcd", "gen1", "A title", "console=ttyS0 quiet")
	f.Add("0", "..", "{}", "a;b $(c) # {d}")
	f.Add("", "", "", "\x00")
	f.Fuzz(func(t *testing.T, uuid, generation, title, cmdline string) {
		in := Input{Loader: FromTree(&tree.Tree{}), SystemUUID: uuid, Generation: generation, Title: title, Cmdline: cmdline}
		if in.check() != nil {
			return
		}
		menu := in.menu()
		if lines := strings.Count(menu, "\n"); lines != strings.Count(sample().menu(), "\n") {
			t.Errorf("%d lines:\n%s", lines, menu)
		}
		if quotes := strings.Count(menu, "'"); quotes%2 != 0 {
			t.Errorf("%d quotes:\n%s", quotes, menu)
		}
		if outside := strings.ContainsAny(unquoted(menu[strings.Index(menu, "  linux"):]), "$;&|<>#\"\\`"); outside {
			t.Errorf("a character with a meaning to GRUB stands outside quotes:\n%s", menu)
		}
	})
}

// unquoted gives the parts outside single quotes.
func unquoted(text string) string {
	var out strings.Builder
	for i, part := range strings.Split(text, "'") {
		if i%2 == 0 {
			out.WriteString(part)
		}
	}
	return out.String()
}
