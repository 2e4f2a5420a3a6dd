package pid1

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseCmdline(t *testing.T) {
	line := ParseCmdline(`quiet root="a b" ashlar.system=LABEL=x "with space=1 2" virtio-blk.queues=2 virtio_blk.poll panic=5 panic=7 =x -- init arg` + "\n")
	want := Cmdline{
		{Key: "quiet"},
		{Key: "root", Value: "a b", HasValue: true},
		{Key: "ashlar.system", Value: "LABEL=x", HasValue: true},
		{Key: "with space", Value: "1 2", HasValue: true},
		{Key: "virtio-blk.queues", Value: "2", HasValue: true},
		{Key: "virtio_blk.poll"},
		{Key: "panic", Value: "5", HasValue: true},
		{Key: "panic", Value: "7", HasValue: true},
	}
	if diff := cmp.Diff(want, line); diff != "" {
		t.Errorf("parsed (-want +got):\n%s", diff)
	}
	if got := line.Or("panic", "0"); got != "7" {
		t.Errorf("panic is %q, the last one should win", got)
	}
	if got := line.Or("missing", "fallback"); got != "fallback" {
		t.Errorf("missing key gives %q", got)
	}
	if got := line.ModuleParams("virtio_blk"); got != "queues=2 poll" {
		t.Errorf("module parameters %q", got)
	}
	if line.Quiet() {
		t.Error("the kernel's quiet is not the services'")
	}
	if !ParseCmdline("ashlar.console=quiet").Quiet() {
		t.Error("ashlar.console=quiet is not seen")
	}
}

func FuzzParseCmdline(f *testing.F) {
	f.Add(`a=b "c d" e="f g" --`)
	f.Add(`"`)
	f.Add(`=`)
	f.Fuzz(func(t *testing.T, text string) {
		for _, p := range ParseCmdline(text) {
			if p.Key == "" {
				t.Errorf("%q: parameter without a key", text)
			}
			if !p.HasValue && p.Value != "" {
				t.Errorf("%q: %q has a value and does not say so", text, p.Key)
			}
		}
	})
}
