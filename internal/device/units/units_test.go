package units

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"ashlar/internal/contract/control"
)

func TestJoin(t *testing.T) {
	// As systemctl 257 prints them.
	const list = `[{"unit":"nginx.service","load":"loaded","active":"active","sub":"running","description":"web"},
{"unit":"dead.service","load":"not-found","active":"inactive","sub":"dead","description":"dead.service"},
{"unit":"again.service","load":"loaded","active":"activating","sub":"auto-restart","description":"x"},
{"unit":"stopped.service","load":"loaded","active":"inactive","sub":"dead","description":"x"},
{"unit":"rescue.service","load":"loaded","active":"inactive","sub":"dead","description":"x"},
{"unit":"vm-only.service","load":"loaded","active":"inactive","sub":"dead","description":"x"},
{"unit":"once.service","load":"loaded","active":"active","sub":"exited","description":"x"}]`
	const show = `MainPID=70
NRestarts=2
ExecMainCode=2
ExecMainStatus=9
StateChangeTimestampMonotonic=2500000
Id=nginx.service

MainPID=0
NRestarts=0
ExecMainCode=1
ExecMainStatus=0
Id=once.service

Id=stopped.service
UnitFileState=enabled
ConditionResult=yes

Id=rescue.service
UnitFileState=static

Id=vm-only.service
UnitFileState=enabled
ConditionResult=no
`
	units, err := parseUnits([]byte(list))
	if err != nil {
		t.Fatal(err)
	}
	want := []control.Service{
		{Name: "again", State: control.StateBackoff},
		{Name: "nginx", State: control.StateRunning, PID: 70, Restarts: 2, Exit: "signal: 9", Since: 2.5},
		{Name: "once", State: control.StateDone, Exit: "exit status 0"},
		{Name: "stopped", State: control.StateStopped},
	}
	if diff := cmp.Diff(want, join(units, parseShow(show))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := parseUnits([]byte("Failed")); err == nil {
		t.Error("text that is no JSON is read")
	}
}

func TestUnitName(t *testing.T) {
	for name, want := range map[string]string{"nginx": "nginx.service", "a@b.service": "a@b.service"} {
		if got, err := unitName(name); err != nil || got != want {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
	for _, name := range []string{"", "-H evil", "../x", "a b", "*"} {
		if got, err := unitName(name); err == nil {
			t.Errorf("%q gives %q", name, got)
		}
	}
}
