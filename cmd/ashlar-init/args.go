package main

import (
	"fmt"
	"strconv"
	"strings"

	"ashlar/internal/contract/control"
)

// options is what the arguments say.
type options struct {
	command string
	service string
	json    bool
	follow  bool
	bytes   int
}

// takesService says which commands there are, and whether one wants a service.
func takesService(command string) (takes, known bool) {
	switch command {
	case control.OpStart, control.OpStop, control.OpRestart, control.OpLogs:
		return true, true
	case control.OpStatus, control.OpPS, control.OpPowerOff, control.OpReboot, "agent", "network", "help":
		return false, true
	}
	return false, false
}

// parseArgs takes flags before, between and after the words.
func parseArgs(args []string) (options, error) {
	var o options
	var words []string
	for i := 0; i < len(args); i++ {
		switch arg := args[i]; arg {
		case "--json", "-json":
			o.json = true
		case "-f", "--follow":
			o.follow = true
		case "-n":
			if i++; i == len(args) {
				return o, fmt.Errorf("%w: -n wants a number of bytes", errUsage)
			}
			n, err := strconv.Atoi(args[i])
			if err != nil || n <= 0 {
				return o, fmt.Errorf("%w: -n %q: want a number of bytes", errUsage, args[i])
			}
			o.bytes = n
		case "-h", "--help":
			return options{command: "help"}, nil
		default:
			if strings.HasPrefix(arg, "-") {
				return o, fmt.Errorf("%w: no flag %q", errUsage, arg)
			}
			words = append(words, arg)
		}
	}
	if len(words) == 0 {
		return o, fmt.Errorf("%w: a command is missing", errUsage)
	}
	o.command = words[0]
	takes, known := takesService(o.command)
	switch {
	case !known:
		return o, fmt.Errorf("%w: no command %q", errUsage, o.command)
	case takes && len(words) != 2:
		return o, fmt.Errorf("%w: %s wants the name of one service", errUsage, o.command)
	case !takes && len(words) != 1:
		return o, fmt.Errorf("%w: %s takes no name", errUsage, o.command)
	case o.follow && o.command != control.OpLogs:
		return o, fmt.Errorf("%w: -f is for logs", errUsage)
	}
	if takes {
		o.service = words[1]
	}
	return o, nil
}
