// Package machine is what an image tells the machine that runs it: plain data,
// written by the builder as JSON, read by ashlar-init.
//
// Boot travels in the initramfs and says how to reach the root; Machine lies in
// the root image and says what to run there. Times are in seconds.
package machine

// Version of the JSON forms; a reader refuses a higher one.
const Version = 1

// The root modes.
const (
	RootOverlay = "overlay" // volatile overlay over the image
)

// Boot is the file layout.InitramfsBoot.
type Boot struct {
	Version  int    `json:"version"`
	Name     string `json:"name"`      // of the definition
	RootMode string `json:"root_mode"` // one of the root modes
	System   string `json:"system"`    // "UUID=…": where the generations are, unless the command line says else
	State    string `json:"state"`     // "UUID=…" or "none"
	Init     string `json:"init"`      // "ashlar", "systemd" or the path of a program
	DiskWait int    `json:"disk_wait"` // how long to wait for the system partition
}

// Machine is the file layout.MachineFile.
type Machine struct {
	Version  int       `json:"version"`
	Name     string    `json:"name"`
	Hostname string    `json:"hostname"`
	State    []State   `json:"state,omitempty"`
	Services []Service `json:"services,omitempty"` // sorted by name
	Network  Network   `json:"network"`
	Sysctl   []Setting `json:"sysctl,omitempty"`
}

// Setting is a name and a value.
type Setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// State is a declared path that persists on the state partition. When it does
// not exist there yet it is copied from the image if the image has it, else made.
type State struct {
	Path string `json:"path"` // absolute
	Kind string `json:"kind"` // "dir" or "file"
	Mode uint32 `json:"mode"` // for a path that is made, not copied
	UID  uint32 `json:"uid"`
	GID  uint32 `json:"gid"`
}

// The restart policies of a service.
const (
	RestartAlways    = "always"
	RestartOnFailure = "on-failure"
	RestartNever     = "never"
)

// The service types; the words are systemd's.
const (
	TypeSimple  = "simple"  // ready when started
	TypeOneshot = "oneshot" // ready when it has exited with 0
	TypeNotify  = "notify"  // ready when it says READY=1 on $NOTIFY_SOCKET
)

// Service is a supervised program. After and Requires name services, or the
// milestone "network" (addresses configured).
type Service struct {
	Name        string    `json:"name"`
	Type        string    `json:"type"`
	Exec        []string  `json:"exec"`
	ExecPre     []Command `json:"exec_pre,omitempty"` // run in order before Exec, each must exit with 0
	ExecReload  []string  `json:"exec_reload,omitempty"`
	User        string    `json:"user,omitempty"` // name in /etc/passwd, or a number; empty: root
	Group       string    `json:"group,omitempty"`
	WorkDir     string    `json:"work_dir,omitempty"`
	Environment []Setting `json:"environment,omitempty"`
	After       []string  `json:"after,omitempty"`
	Requires    []string  `json:"requires,omitempty"`
	Directories []State   `json:"directories,omitempty"` // volatile directories made before the start (below /run)
	Restart     string    `json:"restart"`
	StartLimit  int       `json:"start_timeout"`
	StopLimit   int       `json:"stop_timeout"`
	StopSignal  string    `json:"stop_signal,omitempty"` // "SIGTERM" when empty
	LogBytes    int64     `json:"log_bytes"`             // bound of the log kept on the machine, both files together
}

// Command is a program and its arguments.
type Command []string

// Network is the declared configuration. With no interfaces, every Ethernet
// interface is configured by DHCPv4 and router advertisements.
type Network struct {
	Interfaces []Interface `json:"interfaces,omitempty"`
	DNS        []string    `json:"dns,omitempty"`    // addresses, in order, before those learnt
	Search     []string    `json:"search,omitempty"` // domains
}

// Interface matches by name (shell pattern) or MAC address.
type Interface struct {
	Name      string   `json:"name,omitempty"` // "eth0", "en*"
	MAC       string   `json:"mac,omitempty"`  // lower case, colons
	DHCP4     bool     `json:"dhcp4"`
	RA        bool     `json:"ra"`                  // IPv6 router advertisements (SLAAC)
	DHCP6     bool     `json:"dhcp6"`               // stateful addresses by DHCPv6
	Addresses []string `json:"addresses,omitempty"` // "192.0.2.7/24", "2001:db8::7/64"
	Gateways  []string `json:"gateways,omitempty"`  // one a family
	Routes    []Route  `json:"routes,omitempty"`
	MTU       int      `json:"mtu,omitempty"`
}

// Route is a static route; without To it is a default route, without Via the
// destination is on the link.
type Route struct {
	To  string `json:"to,omitempty"`  // "198.51.100.0/24"
	Via string `json:"via,omitempty"` // "192.0.2.9"
}
