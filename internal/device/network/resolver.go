package network

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"ashlar/internal/contract/machine"
	"ashlar/internal/foundation/atomicfile"
)

// What is written of what is learnt: name servers as many as C libraries read
// (resolv.conf(5), MAXNS), domains as many as fit what older ones read.
const (
	maxNameServers = 3
	maxSearch      = 32
)

// resolver keeps resolv.conf: declared name servers first, then those learnt,
// by source in order of name.
type resolver struct {
	path   string
	mu     sync.Mutex
	last   []byte // as written
	fixed  learnt
	others map[string]learnt // by "INTERFACE METHOD"
}

// learnt is what a source says.
type learnt struct{ servers, search []string }

func newResolver(path string, config machine.Network) *resolver {
	return &resolver{path: path, fixed: learnt{config.DNS, config.Search}, others: map[string]learnt{}}
}

// learn replaces what a source says.
func (r *resolver) learn(source string, said learnt) error {
	r.mu.Lock()
	if len(said.servers)+len(said.search) == 0 {
		delete(r.others, source)
	} else {
		r.others[source] = said
	}
	r.mu.Unlock()
	return r.write()
}

// forget drops what was learnt on an interface.
func (r *resolver) forget(iface string) error {
	r.mu.Lock()
	maps.DeleteFunc(r.others, func(source string, _ learnt) bool { return strings.HasPrefix(source, iface+" ") })
	r.mu.Unlock()
	return r.write()
}

// write makes the file say what is known; it stays untouched when it does.
func (r *resolver) write() error {
	if r.path == "" {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	text := r.text()
	if r.last != nil && bytes.Equal(text, r.last) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(r.path), 0o755); err != nil {
		return fmt.Errorf("write name servers: %w", err)
	}
	if err := atomicfile.WriteBytes(r.path, atomicfile.Options{}, text); err != nil {
		return fmt.Errorf("write name servers: %w", err)
	}
	r.last = text
	return nil
}

func (r *resolver) text() []byte {
	servers, search := slices.Clone(r.fixed.servers), slices.Clone(r.fixed.search)
	for _, source := range slices.Sorted(maps.Keys(r.others)) {
		servers = append(servers, r.others[source].servers...)
		for _, name := range r.others[source].search {
			if name = strings.TrimSuffix(name, "."); isHostname(name) {
				search = append(search, name)
			}
		}
	}
	b := []byte{}
	if search = distinct(search, maxSearch); len(search) > 0 {
		b = fmt.Appendf(b, "search %s\n", strings.Join(search, " "))
	}
	for _, server := range distinct(servers, maxNameServers) {
		b = fmt.Appendf(b, "nameserver %s\n", server)
	}
	return b
}

// distinct drops repetitions and what is more than the limit.
func distinct(list []string, limit int) []string {
	var out []string
	for _, s := range list {
		if len(out) < limit && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}
