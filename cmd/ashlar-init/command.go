package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"ashlar/internal/contract/control"
	"ashlar/internal/contract/layout"
	"ashlar/internal/device/agent"
)

// Exit codes.
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2
)

const usage = `usage: ashlar COMMAND [--json]
  status                    what this machine is and how it does
  ps                        the services
  start|stop|restart NAME   a service
  logs [-f] [-n BYTES] NAME what a service printed; -f: and prints from now on
  poweroff|reboot           the machine
  agent                     serve the control socket under another init
  network                   configure the interfaces under another init
`

// errUsage tells that the arguments are not understood.
var errUsage = errors.New("arguments not understood")

// command runs one of the commands and gives the exit code.
func command(args []string, stdout, stderr io.Writer) int {
	opt, err := parseArgs(args)
	if err == nil {
		err = opt.run(stdout)
	}
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errUsage):
		fmt.Fprintf(stderr, "ashlar: %v\n%s", err, usage)
		return exitUsage
	default:
		fmt.Fprintf(stderr, "ashlar: %v\n", err)
		return exitError
	}
}

func (o options) run(out io.Writer) error {
	switch o.command {
	case "help":
		_, err := io.WriteString(out, usage)
		return err
	case "agent":
		return runAgent()
	case "network":
		return runNetwork()
	}
	resp, err := ask(control.Request{Op: o.command, Service: o.service, Bytes: o.bytes})
	if err != nil {
		return err
	}
	if o.json {
		return printJSON(out, o.command, resp)
	}
	switch o.command {
	case control.OpStatus:
		return printStatus(out, resp.Status)
	case control.OpPS:
		return printServices(out, resp.Services)
	case control.OpLogs:
		if _, err := io.WriteString(out, resp.Text); err != nil || !o.follow {
			return err
		}
		return follow(out, layout.LogDir+"/"+o.service+".log")
	}
	return nil
}

func ask(req control.Request) (control.Response, error) {
	conn, err := agent.Dial(layout.ControlSocket)
	if err != nil {
		return control.Response{}, err
	}
	defer conn.Close()
	resp, err := agent.Call(conn, req)
	if err == nil && resp.Error != "" {
		err = errors.New(resp.Error)
	}
	return resp, err
}

// printJSON gives what the command is about as one value on one line.
func printJSON(out io.Writer, command string, resp control.Response) error {
	var v any = resp
	switch command {
	case control.OpStatus:
		v = resp.Status
	case control.OpPS:
		v = resp.Services
	}
	return json.NewEncoder(out).Encode(v)
}

func printStatus(out io.Writer, st *control.Status) error {
	if st == nil {
		return errors.New("the machine gave no status")
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "name\t%s\nstate\t%s\nhost name\t%s\ngeneration\t%s\nroot mode\t%s\n",
		st.Name, st.State, st.Hostname, st.Generation, st.RootMode)
	fmt.Fprintf(w, "machine id\t%s\nboot id\t%s\nuptime\t%.0f s\n", st.MachineID, st.BootID, st.Uptime)
	fmt.Fprintf(w, "memory\t%d MiB of %d MiB available\n", st.MemAvail>>20, st.MemTotal>>20)
	if st.StateBytes > 0 {
		fmt.Fprintf(w, "state\t%d MiB\n", st.StateBytes>>20)
	} else {
		fmt.Fprintln(w, "state\tvolatile")
	}
	for _, a := range st.Addresses {
		fmt.Fprintf(w, "address\t%s\n", a)
	}
	return w.Flush()
}

func printServices(out io.Writer, list []control.Service) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tSTATE\tPID\tRESTARTS\tSINCE\tLAST END")
	for _, s := range list {
		pid := "-"
		if s.PID != 0 {
			pid = fmt.Sprint(s.PID)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%.1f s\t%s\n", s.Name, s.State, pid, s.Restarts, s.Since, s.Exit)
	}
	return w.Flush()
}
