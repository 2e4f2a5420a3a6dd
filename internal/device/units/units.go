// Package units answers the agent's requests on a machine whose init is
// systemd, by asking systemctl. A service's name is the unit's without its
// ".service".
package units

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"sort"
	"strconv"
	"strings"
	"time"

	"ashlar/internal/contract/control"
	"ashlar/internal/device/facts"
)

// maxOutput bounds what is read of a program.
const maxOutput = 4 << 20

// defaultTimeout is a request's, when it says none.
const defaultTimeout = 60 * time.Second

// Machine answers requests. Name, Generation and RootMode are what the first
// stage of the boot left; Lost tells that the state partition was not mounted.
type Machine struct {
	Name, Generation, RootMode string
	Lost                       bool
	Systemctl                  string // path of the program; empty: /usr/bin/systemctl
}

// Handle implements agent.Handler.
func (m *Machine) Handle(ctx context.Context, req control.Request) control.Response {
	limit := defaultTimeout
	if req.Timeout > 0 {
		limit = time.Duration(min(req.Timeout, 24*60*60)) * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	resp, err := m.handle(ctx, req)
	if err != nil {
		resp.Error = err.Error()
	}
	return resp
}

func (m *Machine) handle(ctx context.Context, req control.Request) (resp control.Response, err error) {
	switch req.Op {
	case control.OpStatus:
		resp.Status, err = m.status(ctx)
	case control.OpPS:
		resp.Services, err = m.list(ctx)
	case control.OpReady:
		// Degraded or not, the state is in the answer; only time is an error.
		if _, _ = m.systemctl(ctx, "is-system-running", "--wait"); ctx.Err() != nil {
			return resp, fmt.Errorf("wait for the machine: %w", ctx.Err())
		}
		if resp.Status, err = m.status(ctx); err == nil {
			resp.Services, err = m.list(ctx)
		}
	case control.OpStart, control.OpStop, control.OpRestart:
		err = m.unit(ctx, req.Service, req.Op)
	case control.OpSignal:
		err = m.unit(ctx, req.Service, "kill", "--kill-whom=main", "--signal="+req.Signal)
	case control.OpLogs:
		resp.Text, err = m.logs(ctx, req)
	case control.OpPowerOff, control.OpReboot:
		_, err = m.systemctl(ctx, "--no-block", req.Op)
	default:
		err = fmt.Errorf("unknown operation %.40q", req.Op)
	}
	return resp, err
}

// unitName makes a service's unit name; what would be a flag or a path is refused.
func unitName(service string) (string, error) {
	if service == "" || strings.HasPrefix(service, "-") || strings.ContainsAny(service, "/\x00\n *?[") {
		return "", fmt.Errorf("no service %.80q", service)
	}
	return strings.TrimSuffix(service, ".service") + ".service", nil
}

func (m *Machine) unit(ctx context.Context, service, verb string, flags ...string) error {
	name, err := unitName(service)
	if err != nil {
		return err
	}
	_, err = m.systemctl(ctx, append(append([]string{verb}, flags...), "--", name)...)
	return err
}

func (m *Machine) systemctl(ctx context.Context, args ...string) ([]byte, error) {
	path := m.Systemctl
	if path == "" {
		path = "/usr/bin/systemctl"
	}
	return run(ctx, path, args...)
}

func run(ctx context.Context, path string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = []string{"LC_ALL=C.UTF-8", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "SYSTEMD_COLORS=0", "SYSTEMD_PAGER="}
	var out, message bytes.Buffer
	cmd.Stdout, cmd.Stderr = &limited{&out, maxOutput}, &limited{&message, 4096}
	if err := cmd.Run(); err != nil {
		text := strings.TrimSpace(message.String())
		if text == "" {
			text = err.Error()
		}
		return out.Bytes(), fmt.Errorf("%s %s: %s", path, args[0], text)
	}
	return out.Bytes(), nil
}

// limited takes at most so many bytes and passes over the rest.
type limited struct {
	w    io.Writer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	take := p[:min(len(p), l.left)]
	l.left -= len(take)
	if _, err := l.w.Write(take); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (m *Machine) status(ctx context.Context) (*control.Status, error) {
	st := facts.Gather()
	st.Name, st.Generation, st.RootMode = m.Name, m.Generation, m.RootMode
	out, err := m.systemctl(ctx, "is-system-running") // exits with 1 unless running
	word := strings.TrimSpace(string(out))
	if word == "" {
		return nil, err
	}
	st.State = machineState(word)
	if m.Lost && st.State == "ready" {
		st.State = "degraded"
	}
	return &st, nil
}

func machineState(word string) string {
	switch word {
	case "running":
		return "ready"
	case "initializing", "starting":
		return "starting"
	}
	return "degraded"
}

// listed is what list-units --output=json gives of a unit.
type listed struct {
	Unit   string `json:"unit"`
	Load   string `json:"load"`
	Active string `json:"active"`
	Sub    string `json:"sub"`
}

func (m *Machine) list(ctx context.Context) ([]control.Service, error) {
	out, err := m.systemctl(ctx, "list-units", "--type=service", "--all", "--full", "--output=json")
	if err != nil {
		return nil, err
	}
	units, err := parseUnits(out)
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(units))
	for _, u := range units {
		names = append(names, u.Unit)
	}
	if len(names) == 0 {
		return nil, nil
	}
	props, err := m.systemctl(ctx, append([]string{"show",
		"--property=Id,UnitFileState,ConditionResult,MainPID,NRestarts,ExecMainCode,ExecMainStatus,StateChangeTimestampMonotonic", "--"}, names...)...)
	if err != nil {
		return nil, err
	}
	return join(units, parseShow(string(props))), nil
}

func parseUnits(out []byte) ([]listed, error) {
	var all, units []listed
	if err := json.Unmarshal(out, &all); err != nil {
		return nil, fmt.Errorf("read list of units: %w", err)
	}
	for _, u := range all {
		if u.Load == "loaded" && strings.HasSuffix(u.Unit, ".service") {
			units = append(units, u)
		}
	}
	sort.Slice(units, func(i, j int) bool { return units[i].Unit < units[j].Unit })
	return units, nil
}

// parseShow reads the KEY=VALUE blocks of systemctl show, by Id.
func parseShow(text string) map[string]map[string]string {
	blocks := map[string]map[string]string{}
	for _, block := range strings.Split(text, "\n\n") {
		props := map[string]string{}
		for _, line := range strings.Split(block, "\n") {
			if key, value, ok := strings.Cut(line, "="); ok {
				props[key] = value
			}
		}
		if id := props["Id"]; id != "" {
			blocks[id] = props
		}
	}
	return blocks
}

// join leaves out what is loaded and not meant to run: units that are idle and
// not enabled, or that their conditions passed over.
func join(units []listed, props map[string]map[string]string) []control.Service {
	list := make([]control.Service, 0, len(units))
	for _, u := range units {
		p := props[u.Unit]
		if u.Active == "inactive" && (p["UnitFileState"] != "enabled" || p["ConditionResult"] == "no") {
			continue
		}
		list = append(list, control.Service{
			Name:     strings.TrimSuffix(u.Unit, ".service"),
			State:    serviceState(u.Active, u.Sub),
			PID:      number(p["MainPID"]),
			Restarts: number(p["NRestarts"]),
			Exit:     exitText(p["ExecMainCode"], p["ExecMainStatus"]),
			Since:    float64(number(p["StateChangeTimestampMonotonic"])) / 1e6,
		})
	}
	return list
}

func number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0
	}
	return n
}

func serviceState(active, sub string) string {
	switch active {
	case "active", "reloading":
		if sub == "exited" {
			return control.StateDone
		}
		return control.StateRunning
	case "activating":
		if sub == "auto-restart" {
			return control.StateBackoff
		}
		return control.StateStarting
	case "deactivating":
		return control.StateStopping
	case "failed":
		return control.StateFailed
	}
	return control.StateStopped
}

// exitText reads si_code of waitid(2): 1 CLD_EXITED, 2 CLD_KILLED, 3 CLD_DUMPED.
func exitText(code, status string) string {
	switch code {
	case "1":
		return "exit status " + status
	case "2", "3":
		return "signal: " + status
	}
	return ""
}

func (m *Machine) logs(ctx context.Context, req control.Request) (string, error) {
	name, err := unitName(req.Service)
	if err != nil {
		return "", err
	}
	n := req.Bytes
	if n <= 0 {
		n = 64 << 10
	}
	n = min(n, control.MaxLine/8)
	lines := strconv.Itoa(n/16 + 1) // few lines are shorter than that
	out, err := run(ctx, "/usr/bin/journalctl", "--no-pager", "--output=short-iso", "--lines="+lines, "--unit="+name)
	if err != nil {
		return "", errors.Join(errors.New("read journal"), err)
	}
	return string(out[max(0, len(out)-n):]), nil
}
