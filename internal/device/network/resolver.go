package network

import (
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"ashlar/internal/contract/machine"
	"ashlar/internal/foundation/atomicfile"
)

// maxNameServers is what C libraries read (resolv.conf(5), MAXNS).
const maxNameServers = 3

// resolver keeps resolv.conf: declared name servers first, then those learnt,
// by source in order of name.
type resolver struct {
	path   string
	mu     sync.Mutex
	fixed  learnt
	others map[string]learnt
}

type learnt struct{ servers, search []string }

func newResolver(path string, config machine.Network) *resolver {
	return &resolver{path: path, fixed: learnt{config.DNS, config.Search}, others: map[string]learnt{}}
}

// learn replaces what a source says.
func (r *resolver) learn(source string, servers []net.IP, search []string) error {
	said := learnt{search: search}
	for _, ip := range servers {
		said.servers = append(said.servers, ip.String())
	}
	r.mu.Lock()
	r.others[source] = said
	r.mu.Unlock()
	return r.write()
}

func (r *resolver) write() error {
	if r.path == "" {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := os.MkdirAll(filepath.Dir(r.path), 0o755); err != nil {
		return fmt.Errorf("write name servers: %w", err)
	}
	return atomicfile.WriteBytes(r.path, atomicfile.Options{}, r.text())
}

func (r *resolver) text() []byte {
	servers, search := slices.Clone(r.fixed.servers), slices.Clone(r.fixed.search)
	for _, source := range slices.Sorted(maps.Keys(r.others)) {
		servers = append(servers, r.others[source].servers...)
		search = append(search, r.others[source].search...)
	}
	var b strings.Builder
	if search = distinct(search); len(search) > 0 {
		fmt.Fprintf(&b, "search %s\n", strings.Join(search, " "))
	}
	servers = distinct(servers)
	for _, server := range servers[:min(len(servers), maxNameServers)] {
		fmt.Fprintf(&b, "nameserver %s\n", server)
	}
	return []byte(b.String())
}

// distinct drops repetitions and what would break a line.
func distinct(list []string) []string {
	var out []string
	for _, s := range list {
		if s != "" && !strings.ContainsAny(s, " \t\r\n\x00") && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}
