package boot

import (
	"fmt"
	"path"
	"strings"

	"ashlar/internal/contract/layout"
)

// findSystem makes the system partition GRUB's root and $prefix a directory
// on it. Only plain commands: the core image's first parser knows no others.
func (in Input) findSystem() string {
	what := "--fs-uuid --set=root " + in.SystemUUID
	if in.CDLabel != "" {
		what = "--label --set=root " + in.CDLabel
	}
	return "search --no-floppy " + what + "\n" +
		"set prefix=($root)/" + path.Dir(layout.GrubConfig) + "\n"
}

// menu is layout.GrubConfig. On the BIOS GRUB talks on the first serial port,
// if there is one, and on the screen; UEFI's own console does both.
func (in Input) menu() string {
	dir := "/" + layout.GenerationsDir + "/" + in.Generation + "/"
	return strings.Join([]string{
		"if [ \"$grub_platform\" = pc ]; then",
		"  if serial --unit=0 --speed=115200; then",
		"    terminal_input serial console",
		"    terminal_output serial console",
		"  fi",
		"fi",
		"set default=0",
		fmt.Sprintf("set timeout=%d", in.Timeout),
		"menuentry '" + in.Title + "' --id " + in.Generation + " {",
		"  linux " + dir + layout.GenKernel + cmdlineWords(in.Cmdline),
		"  initrd " + dir + layout.GenInitrd,
		"}",
	}, "\n") + "\n"
}

// cmdlineWords quotes each word, so that GRUB changes nothing in it.
func cmdlineWords(cmdline string) string {
	var out strings.Builder
	for _, word := range strings.Fields(cmdline) {
		if strings.Trim(word, plain) == "" {
			out.WriteString(" " + word)
		} else {
			out.WriteString(" '" + word + "'")
		}
	}
	return out.String()
}

const (
	digits = "0123456789"
	lower  = "abcdefghijklmnopqrstuvwxyz"
	upper  = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	plain  = digits + lower + upper + "-_=.,:/+@%"
)

// check refuses what could not stand in a GRUB script as it is.
func (in Input) check() error {
	if in.Loader == nil {
		return fmt.Errorf("no loader files")
	}
	system := field{"system UUID", in.SystemUUID, digits + "abcdefABCDEF-"}
	if in.CDLabel != "" {
		system = field{"CD label", in.CDLabel, digits + upper + "_"}
	}
	if err := system.check(); err != nil {
		return err
	}
	return in.checkEntry()
}

// field is a value that is written without quotes, and the bytes it may have.
type field struct{ name, value, allowed string }

func (f field) check() error {
	if f.value == "" || strings.Trim(f.value, f.allowed) != "" {
		return fmt.Errorf("%s %q: want one or more of %s", f.name, f.value, f.allowed)
	}
	return nil
}

// checkEntry is check for the menu alone.
func (in Input) checkEntry() error {
	if err := (field{"generation", in.Generation, digits + lower + upper + "-_."}).check(); err != nil {
		return err
	}
	if in.Title == "" || !printable(in.Title) || strings.Contains(in.Title, "'") {
		return fmt.Errorf("title %q: want printable text without a quote", in.Title)
	}
	// GRUB hands quotes and backslashes to the kernel with a backslash before them.
	if !printable(in.Cmdline) || strings.ContainsAny(in.Cmdline, `'"\`) {
		return fmt.Errorf("command line %q: GRUB cannot pass quotes, backslashes and control characters", in.Cmdline)
	}
	if in.Timeout < 0 {
		return fmt.Errorf("timeout %d: want 0 or more seconds", in.Timeout)
	}
	return nil
}

func printable(text string) bool {
	for _, r := range text {
		if r < ' ' || r == 0x7f || r == '�' {
			return false
		}
	}
	return true
}
