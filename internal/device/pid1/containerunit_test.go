package pid1

import (
	"slices"
	"syscall"
	"testing"

	"ashlar/internal/device/power"
)

func TestInContainer(t *testing.T) {
	env := func(value string) func(string) string { return func(string) string { return value } }
	if !InContainer([]string{"container"}, env("")) || !InContainer(nil, env("lxc")) || InContainer([]string{"status"}, env("")) {
		t.Error("a container is told by its argument or by $container")
	}
}

func TestContainerSignals(t *testing.T) {
	for _, c := range []struct {
		maker string
		sig   syscall.Signal
		want  power.Action
	}{
		{"", syscall.SIGTERM, power.Off}, {"", syscall.SIGINT, power.Off}, {"oci", signalReboot, power.Reboot},
		{"lxc", syscall.SIGPWR, power.Off}, {"lxc", syscall.SIGINT, power.Reboot}, {"systemd-nspawn", signalHalt, power.Off},
	} {
		if got := (&container{maker: c.maker}).meaning(c.sig); got != c.want {
			t.Errorf("%s by %q means %s, want %s", c.sig, c.maker, got, c.want)
		}
	}
}

func TestUnconfigured(t *testing.T) {
	lo, bare, ready, tunnel := link{loopback: true}, link{ethernet: true}, link{ethernet: true, global: true}, link{}
	for _, c := range []struct {
		links []link
		want  bool
	}{
		{nil, false}, {[]link{lo}, false}, {[]link{lo, tunnel}, false}, {[]link{lo, bare}, true}, {[]link{lo, bare, ready}, false},
		{[]link{lo, bare, {global: true}}, false},
	} {
		if got := unconfigured(c.links); got != c.want {
			t.Errorf("%+v: %v", c.links, got)
		}
	}
}

func TestServiceEnvironment(t *testing.T) {
	got := serviceEnvironment([]string{"PATH=/bin", "LANG=C.UTF-8"}, []string{"LANG=de_DE.UTF-8", "container=lxc", "TOKEN=a=b", "HOME=/", "=x", networkVariable + "=leave"})
	if want := []string{"PATH=/bin", "LANG=de_DE.UTF-8", "TOKEN=a=b"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestHoldsMounts(t *testing.T) {
	const mounts = "22 1 0:20 / /proc rw - proc proc rw\n23 1 254:2 / /run/ashlar/state rw - ext4 /dev/vda2 rw\n24 1 0:2 / /running rw - tmpfs t rw\n"
	if !holdsMounts(mounts, "/run") || holdsMounts(mounts, "/proc") || holdsMounts(mounts, "/tmp") || holdsMounts("", "/run") {
		t.Error("what is mounted below a directory is not told")
	}
}
