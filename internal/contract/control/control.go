// Package control is the language of the control socket and of the agent port:
// one JSON object a line in each direction, a Response for every Request, in
// order. A line is at most MaxLine bytes.
package control

// MaxLine bounds a line, the newline included.
const MaxLine = 1 << 20

// The operations.
const (
	OpStatus   = "status"   // Response.Status
	OpPS       = "ps"       // Response.Services
	OpStart    = "start"    // Request.Service
	OpStop     = "stop"     // Request.Service
	OpRestart  = "restart"  // Request.Service
	OpSignal   = "signal"   // Request.Service, Request.Signal: sent to the main process
	OpLogs     = "logs"     // Request.Service, Request.Bytes from the end; Response.Text
	OpReady    = "ready"    // answers when every service is ready or failed, or after Request.Timeout
	OpPowerOff = "poweroff" // answers, then shuts down
	OpReboot   = "reboot"   // answers, then shuts down and starts again
)

// Request asks for one operation.
type Request struct {
	Op      string `json:"op"`
	Service string `json:"service,omitempty"`
	Signal  string `json:"signal,omitempty"`  // "SIGKILL"
	Bytes   int    `json:"bytes,omitempty"`   // 0: 64 KiB
	Timeout int    `json:"timeout,omitempty"` // seconds; 0: 60
}

// Response answers one request; Error is empty when it went well.
type Response struct {
	Error    string    `json:"error,omitempty"`
	Text     string    `json:"text,omitempty"`
	Services []Service `json:"services,omitempty"`
	Status   *Status   `json:"status,omitempty"`
}

// The states of a service.
const (
	StateWaiting  = "waiting"  // for what it is after
	StateStarting = "starting" // started, not ready yet
	StateRunning  = "running"  // ready
	StateDone     = "done"     // a oneshot that has exited with 0
	StateBackoff  = "backoff"  // ended, to be started again
	StateStopping = "stopping"
	StateStopped  = "stopped" // on request
	StateFailed   = "failed"  // ended and not to be started again
)

// Service is what ps shows of one service.
type Service struct {
	Name     string  `json:"name"`
	State    string  `json:"state"`
	PID      int     `json:"pid,omitempty"`
	Restarts int     `json:"restarts"`
	Exit     string  `json:"exit,omitempty"`  // last end: "exit status 1", "signal: killed"
	Since    float64 `json:"since,omitempty"` // seconds after boot of the last change of state
}

// Status is what the machine says of itself.
type Status struct {
	Name       string   `json:"name"`
	Hostname   string   `json:"hostname"`
	Generation string   `json:"generation"`
	RootMode   string   `json:"root_mode"`
	State      string   `json:"state"` // "ready", "starting", "degraded"
	BootID     string   `json:"boot_id"`
	MachineID  string   `json:"machine_id"`
	Uptime     float64  `json:"uptime"` // seconds
	Addresses  []string `json:"addresses,omitempty"`
	StateBytes int64    `json:"state_bytes"` // size of the state file system; 0 without one
	MemTotal   int64    `json:"mem_total"`   // bytes
	MemAvail   int64    `json:"mem_available"`
}
