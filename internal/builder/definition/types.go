// Package definition reads ashlar.toml: the text from which a server is built.
//
// Parse is strict: it reports every unknown key, wrong type and bad value of a
// file at once, each with its position and a hint. The types below are the
// source of the JSON Schema and of the reference manual. Their tags:
//
//	doc       the field's entry in the manual and in the schema
//	enum      the values allowed, of each element if the field is a list;
//	          @targets are the names of the table in targets.go, and all
//	default   the value of a key that is left out; a list is separated by commas
//	example   a value for the manual
//	form      how a string is checked (see forms.go): the value, each element of
//	          a list, or each value of a map
//	keyform   the same for the keys of a map
//	min, max  bounds of a number, or of a string whose form is size
//	required  the key must be there
//	nonempty  a list must have an element
//	unique    a list must not name an element twice
//	secret    the value is never shown in a message
package definition

// Definition is a whole ashlar.toml with defaults filled in.
type Definition struct {
	Name       string             `toml:"name" doc:"Name of the machine image: letters, digits, dots and dashes." example:"web" form:"name" required:"true"`
	Arch       []string           `toml:"arch" doc:"Debian architectures to lock and build." enum:"amd64" default:"amd64" unique:"true" nonempty:"true"`
	Base       Base               `toml:"base" doc:"Where packages come from."`
	Packages   []string           `toml:"packages" doc:"Packages to install, as names or name=version." example:"nginx" form:"package" unique:"true"`
	Pins       []Pin              `toml:"pins" doc:"Single packages taken from elsewhere or at another version than the suites give."`
	Essential  bool               `toml:"essential" doc:"Install what Debian calls essential: a shell and the usual tools. Without it an image can hold a static program and nothing else." default:"true"`
	Recommends bool               `toml:"recommends" doc:"Also install what packages recommend." default:"false"`
	Kernel     Kernel             `toml:"kernel" doc:"Kernel package and command line."`
	Init       string             `toml:"init" doc:"PID 1: ashlar, systemd, or the absolute path of a program in the image." default:"ashlar" form:"init"`
	InitReaper bool               `toml:"init_reaper" doc:"With init = \"/path\": a small PID 1 starts the program, which then need be no init: it mounts /proc, /sys, /dev and /run, loads network drivers, does what ip= on the kernel's command line says, hands signals on and collects orphans." default:"false"`
	Root       Root               `toml:"root" doc:"How the running system sees the image."`
	Hostname   string             `toml:"hostname" doc:"Host name; default: the name." form:"hostname"`
	Timezone   string             `toml:"timezone" doc:"Time zone, as in /usr/share/zoneinfo." default:"Etc/UTC" form:"timezone"`
	Locale     string             `toml:"locale" doc:"LANG of services and logins." default:"C.UTF-8" form:"locale"`
	Files      Files              `toml:"files" doc:"Overlay tree copied into the root."`
	Users      map[string]User    `toml:"users" doc:"Accounts, by name." keyform:"account"`
	Groups     map[string]Group   `toml:"groups" doc:"Groups, by name." keyform:"account"`
	Services   map[string]Service `toml:"services" doc:"What runs, by name." keyform:"service"`
	State      []State            `toml:"state" doc:"Paths that persist; all else is volatile."`
	Network    Network            `toml:"network" doc:"Addresses; default: DHCP and router advertisements on every Ethernet interface."`
	Sysctl     map[string]string  `toml:"sysctl" doc:"Kernel parameters set at boot, by name with dots, in quotes." example:"net.core.somaxconn" keyform:"sysctl" form:"line"`
	Prune      Prune              `toml:"prune" doc:"What is left out of the image. Everything listed is on unless set to false."`
	Image      Image              `toml:"image" doc:"Format and compression of the root image and of the modules' image."`
	Disk       Disk               `toml:"disk" doc:"The disk image."`
	Container  Container          `toml:"container" doc:"Images for containers."`
	Targets    []string           `toml:"targets" doc:"What to make of it, see the table below; all is everything that the definition can serve. Default: disk, without a kernel root." enum:"@targets" unique:"true" nonempty:"true"`
	Tests      []Test             `toml:"tests" doc:"Checks that ashlar test makes against the booted machine."`
}

// Base is the distribution that packages come from.
type Base struct {
	Distro     string    `toml:"distro" doc:"Distribution." enum:"debian,ubuntu" default:"debian"`
	Suite      string    `toml:"suite" doc:"Release name." example:"trixie" form:"suite" required:"true"`
	Components []string  `toml:"components" doc:"Archive components." default:"main" form:"component" unique:"true" nonempty:"true"`
	Snapshot   string    `toml:"snapshot" doc:"Date of a dated archive, as 20260131T000000Z; the mirrors are then the distribution's snapshot service." form:"snapshot"`
	Mirrors    []string  `toml:"mirrors" doc:"URLs of the archive, tried in order. The environment variable ASHLAR_MIRROR_DEBIAN (or _UBUNTU) goes before them." form:"url" unique:"true"`
	Security   bool      `toml:"security" doc:"Add the security suite." default:"true"`
	Updates    bool      `toml:"updates" doc:"Add the -updates suite." default:"true"`
	Keyring    string    `toml:"keyring" doc:"OpenPGP public keys that may sign the archive, a file below the definition's directory; default: the distribution's, which ashlar carries." form:"relpath"`
	Extra      []Archive `toml:"extra" doc:"Further archives or suites."`
}

// Archive is a further source of packages.
type Archive struct {
	Name       string   `toml:"name" doc:"Name for messages and pins." example:"backports" form:"archive" required:"true"`
	Mirrors    []string `toml:"mirrors" doc:"URLs; default: the base's." form:"url" unique:"true"`
	Suite      string   `toml:"suite" doc:"Suite." example:"trixie-backports" form:"suite" required:"true"`
	Components []string `toml:"components" doc:"Components; default: the base's." form:"component" unique:"true"`
	Keyring    string   `toml:"keyring" doc:"OpenPGP public keys; default: the base's." form:"relpath"`
	Priority   int      `toml:"priority" doc:"Pin priority, as in apt_preferences(5)." default:"500" min:"-32768" max:"32767"`
}

// Pin takes packages from elsewhere.
type Pin struct {
	Package  string `toml:"package" doc:"Package name or shell pattern." example:"nginx*" form:"packageglob" required:"true"`
	Version  string `toml:"version" doc:"Version or shell pattern." example:"1.26.*" form:"versionglob"`
	Archive  string `toml:"archive" doc:"Name of an archive in base.extra, or a suite." form:"suite"`
	Priority int    `toml:"priority" doc:"Pin priority, as in apt_preferences(5)." default:"1001" min:"-32768" max:"32767"`
}

// Kernel chooses the kernel. Package is empty when the definition says none.
type Kernel struct {
	Package string   `toml:"package" doc:"Kernel package; none leaves the kernel out. Default: linux-image-cloud-amd64 on Debian, linux-image-virtual on Ubuntu." form:"packagename"`
	Cmdline string   `toml:"cmdline" doc:"Added to the kernel command line." example:"quiet" form:"line"`
	Modules []string `toml:"modules" doc:"Modules put into the initramfs beside the usual disk and file system drivers." form:"module" unique:"true"`

	Microcode bool `toml:"microcode" doc:"Microcode for AMD's and Intel's processors, applied before the kernel starts. On Debian its packages are in the component non-free-firmware; arm64 has none." default:"false"`
}

// Root says how the running system sees the image.
type Root struct {
	Mode string `toml:"mode" doc:"overlay: a volatile overlay over the image." enum:"overlay" default:"overlay"`
}

// Files is the overlay tree.
type Files struct {
	Dir   string     `toml:"dir" doc:"Directory copied over the root, below the definition's directory; left out if it does not exist." default:"files" form:"relpath"`
	List  string     `toml:"list" doc:"List of files in the form of the kernel's gen_init_cpio (file, dir, slink, nod, pipe, sock), below the definition's directory, applied after dir; locations in it are below that directory too." example:"initramfs.list" form:"relpath"`
	Rules []FileRule `toml:"rules" doc:"Owner and mode of overlay paths; the last match counts. Without one: root, 0644 or 0755 by the execute bit."`
}

// FileRule sets owner and mode.
type FileRule struct {
	Path  string `toml:"path" doc:"Path or shell pattern in the image; ** matches any depth." example:"/srv/www/**" form:"pathglob" required:"true"`
	Owner string `toml:"owner" doc:"User name or number." default:"root" form:"owner"`
	Group string `toml:"group" doc:"Group name or number; default: the owner's name if such a group exists, else root." form:"owner"`
	Mode  string `toml:"mode" doc:"Octal mode of files and, with search bits added, of directories." example:"0640" form:"mode"`
}

// User is an account.
type User struct {
	UID      *int     `toml:"uid" doc:"Number; default: the next free one from 1000, or below 1000 for system accounts." min:"0" max:"4294967293"`
	Group    string   `toml:"group" doc:"Primary group; default: one of the user's name." form:"owner"`
	Groups   []string `toml:"groups" doc:"Further groups." form:"owner" unique:"true"`
	Home     string   `toml:"home" doc:"Home directory; default: the one that a package has given the account, else /home/NAME, or /nonexistent for system accounts." form:"abspath"`
	Shell    string   `toml:"shell" doc:"Login shell; default: the one that a package has given the account, else /bin/bash, or /usr/sbin/nologin for system accounts." form:"abspath"`
	Comment  string   `toml:"comment" doc:"Full name." form:"gecos"`
	System   bool     `toml:"system" doc:"An account for a service." default:"false"`
	Keys     []string `toml:"keys" doc:"SSH public keys that may log in." example:"ssh-ed25519 AAAA… me@home" form:"sshkey" unique:"true" secret:"true"`
	Password string   `toml:"password" doc:"Password hash as in shadow(5); default: none, and no login by password." form:"crypt" secret:"true"`
}

// Group is a group.
type Group struct {
	GID    *int `toml:"gid" doc:"Number; default: the next free one." min:"0" max:"4294967293"`
	System bool `toml:"system" doc:"A group for a service." default:"false"`
}

// Service is a supervised program.
type Service struct {
	Exec         []string          `toml:"exec" doc:"Program and arguments; it must stay in the foreground unless the type is oneshot." example:"/usr/sbin/nginx" form:"arg"`
	Type         string            `toml:"type" doc:"simple: ready when started; oneshot: ready when it has exited with 0; notify: ready when it says so on $NOTIFY_SOCKET." enum:"simple,oneshot,notify" default:"simple"`
	ExecPre      [][]string        `toml:"exec_pre" doc:"Commands run in order before exec; each must succeed." form:"arg"`
	ExecReload   []string          `toml:"exec_reload" doc:"Command that makes the service read its configuration again." form:"arg"`
	User         string            `toml:"user" doc:"User to run as." default:"root" form:"owner"`
	Group        string            `toml:"group" doc:"Group to run as; default: the user's." form:"owner"`
	WorkDir      string            `toml:"work_dir" doc:"Working directory." default:"/" form:"abspath"`
	Environment  map[string]string `toml:"environment" doc:"Environment variables." keyform:"envname" form:"arg"`
	After        []string          `toml:"after" doc:"Services, or network, that must be ready first." form:"service" unique:"true"`
	Requires     []string          `toml:"requires" doc:"Services without which this one is not started; implies after." form:"service" unique:"true"`
	Directories  []Directory       `toml:"directories" doc:"Volatile directories made before the start."`
	Restart      string            `toml:"restart" doc:"When to start it again after it ended. Default: always; on-failure for a oneshot, which cannot be always." enum:"always,on-failure,never"`
	StartTimeout string            `toml:"start_timeout" doc:"Time to become ready." default:"90s" form:"duration"`
	StopTimeout  string            `toml:"stop_timeout" doc:"Time to end before it is killed." default:"10s" form:"duration"`
	StopSignal   string            `toml:"stop_signal" doc:"Signal that asks it to end." default:"SIGTERM" form:"signal"`
	LogSize      string            `toml:"log_size" doc:"Bound of the log kept on the machine." default:"2M" form:"size" min:"4K" max:"1G"`
	Unit         string            `toml:"unit" doc:"With init = \"systemd\": enable this unit of a package instead of declaring exec." example:"nginx.service" form:"unit"`
}

// Directory is a volatile directory of a service.
type Directory struct {
	Path  string `toml:"path" doc:"Absolute path." example:"/run/sshd" form:"abspath" required:"true"`
	Owner string `toml:"owner" doc:"User name or number; default: the service's user." form:"owner"`
	Group string `toml:"group" doc:"Group name or number; default: the service's group, else the owner's." form:"owner"`
	Mode  string `toml:"mode" doc:"Octal mode." default:"0755" form:"mode"`
}

// State is a path that persists.
type State struct {
	Path  string `toml:"path" doc:"Absolute path." example:"/var/log/nginx" form:"abspath" required:"true"`
	Kind  string `toml:"kind" doc:"What it is." enum:"dir,file" default:"dir"`
	Owner string `toml:"owner" doc:"User name or number, for a path that the image does not have." default:"root" form:"owner"`
	Group string `toml:"group" doc:"Group name or number." default:"root" form:"owner"`
	Mode  string `toml:"mode" doc:"Octal mode." default:"0755" form:"mode"`
}

// Network is the machine's configuration.
type Network struct {
	DNS        []string    `toml:"dns" doc:"Name servers, before those learnt." form:"address" unique:"true"`
	Search     []string    `toml:"search" doc:"Search domains." form:"hostname" unique:"true"`
	Interfaces []Interface `toml:"interfaces" doc:"Interfaces; none: all Ethernet interfaces by DHCP and router advertisements."`
}

// Interface configures what matches.
type Interface struct {
	Name      string   `toml:"name" doc:"Name or shell pattern." example:"en*" form:"interface"`
	MAC       string   `toml:"mac" doc:"MAC address." form:"mac"`
	DHCP4     bool     `toml:"dhcp4" doc:"IPv4 by DHCP." default:"false"`
	DHCP6     bool     `toml:"dhcp6" doc:"IPv6 by stateful DHCP." default:"false"`
	RA        bool     `toml:"ra" doc:"IPv6 by router advertisements." default:"true"`
	Addresses []string `toml:"addresses" doc:"Static addresses with prefix length." example:"192.0.2.7/24" form:"cidr" unique:"true"`
	Gateways  []string `toml:"gateways" doc:"Default gateways, at most one a family." form:"address" unique:"true"`
	Routes    []Route  `toml:"routes" doc:"Further routes."`
	MTU       int      `toml:"mtu" doc:"Largest packet in bytes; 0: the driver's." min:"0" max:"65535"`
}

// Route leads to a network behind an interface.
type Route struct {
	To  string `toml:"to" doc:"Network with prefix length." example:"198.51.100.0/24" form:"network" required:"true"`
	Via string `toml:"via" doc:"Gateway; default: the network is on the link." form:"address"`
}

// Prune says what is left out. Each is true by default.
type Prune struct {
	Docs           bool     `toml:"docs" doc:"/usr/share/doc, but for copyright files." default:"true"`
	Copyright      bool     `toml:"copyright" doc:"Copyright files in /usr/share/doc." default:"true"`
	Man            bool     `toml:"man" doc:"Manual and info pages." default:"true"`
	Locales        bool     `toml:"locales" doc:"Translations and locale data but for the declared locale, and iconv modules other than the common ones." default:"true"`
	PackageManager bool     `toml:"package_manager" doc:"dpkg, apt, debconf and their data; perl when nothing declared needs it." default:"true"`
	Paths          []string `toml:"paths" doc:"Further paths or shell patterns to leave out." example:"/usr/share/icons/**" form:"pathglob" unique:"true"`
	Keep           []string `toml:"keep" doc:"Paths or patterns kept whatever the other rules say." form:"pathglob" unique:"true"`
}

// Image is the format of the root image and of the modules' image.
type Image struct {
	Format     string `toml:"format" doc:"File system of the images: squashfs is smaller; erofs is read faster and has equal files as equal blocks in all images." enum:"squashfs,erofs" default:"squashfs"`
	Compressor string `toml:"compressor" doc:"Compressor: zstd, gzip, lz4 or none for squashfs; zstd (Linux 6.10), lz4 or none for erofs. Default: zstd for squashfs, lz4 for erofs." enum:"zstd,gzip,lz4,none"`
	Level      int    `toml:"level" doc:"Compressor level of the usual scale, zstd 1 to 22, gzip 1 to 9 or lz4 1 to 12; 0: the default, for zstd 10 to 14. 19 is for releases." default:"0" min:"0" max:"22"`
	BlockSize  string `toml:"block_size" doc:"Bytes of a file that squashfs compresses together, or the most that a compressed cluster of erofs has: a power of two from 4K to 1M. Default: 256K for squashfs, 16K for erofs with lz4, 128K with zstd." form:"size" min:"4K" max:"1M"`
	Verity     bool   `toml:"verity" doc:"Append a hash tree by which the kernel checks each block of the images when it reads it (dm-verity); the root hash is on the kernel command line." default:"true"`
}

// Disk is the disk image.
type Disk struct {
	System string `toml:"system" doc:"Size of the system partition; default: room for three generations." form:"size" min:"16M" max:"64T"`
	State  string `toml:"state" doc:"Size of the state partition in the image file; it grows at first boot." default:"64M" form:"size" min:"8M" max:"64T"`
	Grow   bool   `toml:"grow" doc:"Let the state partition grow to the disk at boot." default:"true"`
}

// Container is what images for containers say.
type Container struct {
	Ports      []string `toml:"ports" doc:"Ports that are open to other machines, 53/udp or, for TCP, the number; default: those of the tests." example:"80" form:"exposed" unique:"true"`
	Compressor string   `toml:"compressor" doc:"Compressor of an OCI image's layers; runtimes before 2021 read only gzip." enum:"gzip,zstd" default:"gzip"`
}

// Test is a check against the booted machine; one of http, tcp or service.
type Test struct {
	HTTP    string `toml:"http" doc:"URL on the machine that must answer with 200." example:"http://:80/" form:"httpurl"`
	Expect  string `toml:"expect" doc:"Text that the answer must contain." form:"arg"`
	TCP     string `toml:"tcp" doc:"Port that must accept a connection." example:":22" form:"port"`
	Service string `toml:"service" doc:"Service that must be running." form:"service"`
	Within  string `toml:"within" doc:"Time allowed after boot." default:"120s" form:"duration"`
}
