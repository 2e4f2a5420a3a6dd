package definition

import (
	"errors"
	"strings"
	"testing"

	"ashlar/internal/contract/machine"

	"github.com/google/go-cmp/cmp"
)

// ids knows three accounts of an image.
func ids(user, group string) (uid, gid uint32, err error) {
	users := map[string][2]uint32{"root": {0, 0}, "git": {1000, 1001}, "www-data": {33, 33}}
	groups := map[string]uint32{"root": 0, "git": 1001, "www-data": 33, "adm": 4}
	u, ok := users[user]
	if !ok {
		return 0, 0, errors.New("no user " + user)
	}
	if group == "" {
		return u[0], u[1], nil
	}
	g, ok := groups[group]
	if !ok {
		return 0, 0, errors.New("no group " + group)
	}
	return u[0], g, nil
}

const fullMachine = minimal + `
hostname = "web.example.org"
sysctl = { "vm.swappiness" = "10", "net.core.somaxconn" = "1024" }
[services.web]
exec = ["/usr/sbin/nginx", "-g", "daemon off;"]
exec_pre = [["/usr/sbin/nginx", "-t"]]
exec_reload = ["/bin/reload"]
user = "git"
after = ["network", "db"]
requires = ["db", "app"]
restart = "on-failure"
start_timeout = "1m30s"
stop_timeout = "5s"
stop_signal = "SIGQUIT"
log_size = "64K"
environment = { B = "2", A = "1" }
[[services.web.directories]]
path = "/run/web"
[[services.web.directories]]
path = "/run/web/log"
owner = "www-data"
group = "adm"
mode = "2750"
[services.db]
exec = ["/bin/db"]
type = "notify"
[services.app]
exec = ["/bin/app"]
type = "oneshot"
[[state]]
path = "/var/log/nginx"
owner = "www-data"
group = "adm"
mode = "0750"
[[state]]
path = "/etc/machine-key"
kind = "file"
mode = "0600"
[network]
dns = ["192.0.2.53"]
search = ["example.org"]
[[network.interfaces]]
mac = "52:54:00:AB:CD:EF"
addresses = ["192.0.2.7/24", "2001:db8::7/64"]
gateways = ["192.0.2.1"]
routes = [{ to = "198.51.100.0/24", via = "192.0.2.9" }, { to = "203.0.113.0/24" }]
ra = false
mtu = 9000
`

func TestMachine(t *testing.T) {
	got, err := mustParse(t, fullMachine).Machine(ids)
	if err != nil {
		t.Fatal(err)
	}
	plain := machine.Service{User: "root", WorkDir: "/", StartLimit: 90, StopLimit: 10, StopSignal: "SIGTERM", LogBytes: 2 << 20, After: []string{}, Requires: []string{}}
	app, db := plain, plain
	app.Name, app.Type, app.Exec, app.Restart = "app", machine.TypeOneshot, []string{"/bin/app"}, machine.RestartOnFailure
	db.Name, db.Type, db.Exec, db.Restart = "db", machine.TypeNotify, []string{"/bin/db"}, machine.RestartAlways
	want := machine.Machine{
		Version: machine.Version, Name: "web", Hostname: "web.example.org",
		State: []machine.State{
			{Path: "/var/log/nginx", Kind: "dir", Mode: 0o750, UID: 33, GID: 4},
			{Path: "/etc/machine-key", Kind: "file", Mode: 0o600},
		},
		Services: []machine.Service{app, db, {
			Name: "web", Type: machine.TypeSimple, Exec: []string{"/usr/sbin/nginx", "-g", "daemon off;"},
			ExecPre: []machine.Command{{"/usr/sbin/nginx", "-t"}}, ExecReload: []string{"/bin/reload"},
			User: "git", WorkDir: "/", Environment: []machine.Setting{{Name: "A", Value: "1"}, {Name: "B", Value: "2"}},
			After: []string{"app", "db", "network"}, Requires: []string{"app", "db"},
			Directories: []machine.State{
				{Path: "/run/web", Kind: "dir", Mode: 0o755, UID: 1000, GID: 1001},
				{Path: "/run/web/log", Kind: "dir", Mode: 0o2750, UID: 33, GID: 4},
			},
			Restart: machine.RestartOnFailure, StartLimit: 90, StopLimit: 5, StopSignal: "SIGQUIT", LogBytes: 64 << 10,
		}},
		Network: machine.Network{
			DNS: []string{"192.0.2.53"}, Search: []string{"example.org"},
			Interfaces: []machine.Interface{{
				MAC: "52:54:00:ab:cd:ef", Addresses: []string{"192.0.2.7/24", "2001:db8::7/64"}, Gateways: []string{"192.0.2.1"}, MTU: 9000,
				Routes: []machine.Route{{To: "198.51.100.0/24", Via: "192.0.2.9"}, {To: "203.0.113.0/24"}},
			}},
		},
		Sysctl: []machine.Setting{{Name: "net.core.somaxconn", Value: "1024"}, {Name: "vm.swappiness", Value: "10"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("machine (-want +got):\n%s", diff)
	}
}

// ashlar-init supervises nothing when it is not PID 1.
func TestMachineOfSystemd(t *testing.T) {
	got, err := mustParse(t, minimal+"init = \"systemd\"\n[services.a]\nunit = \"a.service\"\n[[state]]\npath = \"/srv\"\n").Machine(ids)
	if err != nil || len(got.Services) != 0 || len(got.State) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestMachineUnknownOwner(t *testing.T) {
	for text, want := range map[string]string{
		"[[state]]\npath = \"/srv\"\nowner = \"nobody\"\n":                                                     "declare /srv: no user nobody",
		"[services.a]\nexec = [\"/bin/a\"]\n[[services.a.directories]]\npath = \"/run/a\"\ngroup = \"none\"\n": "service a: declare /run/a: no group none",
	} {
		if _, err := mustParse(t, minimal+text).Machine(ids); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
