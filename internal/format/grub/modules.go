package grub

import (
	"fmt"
	"slices"
	"strings"
)

// maxDepth bounds chains of dependencies; GRUB's longest has about ten.
const maxDepth = 64

// parseDependencies reads moddep.lst: a line a module, "name: needed needed".
func parseDependencies(list []byte) (map[string][]string, error) {
	needs := map[string][]string{}
	for number, line := range strings.Split(string(list), "\n") {
		if strings.TrimSpace(line) == "" {
			continue
		}
		name, rest, ok := strings.Cut(line, ":")
		if !ok || !validModule(name) {
			return nil, fmt.Errorf("moddep.lst:%d: %q is not NAME: NAME…", number+1, line)
		}
		for _, need := range strings.Fields(rest) {
			if !validModule(need) {
				return nil, fmt.Errorf("moddep.lst:%d: %q is not a module's name", number+1, need)
			}
			needs[name] = append(needs[name], need)
		}
		if _, ok := needs[name]; !ok {
			needs[name] = nil
		}
	}
	return needs, nil
}

// validModule keeps names from being paths.
func validModule(name string) bool {
	return name != "" && !strings.ContainsAny(name, "/ \t\x00") && !strings.HasPrefix(name, ".")
}

// closure lists the modules and all they depend on, each after what it needs,
// as GRUB must load them.
func (in Input) closure() ([]string, error) {
	list, err := in.read("moddep.lst")
	if err != nil {
		return nil, err
	}
	needs, err := parseDependencies(list)
	if err != nil {
		return nil, err
	}
	var order []string
	done := map[string]bool{}
	var visit func(name string, chain []string) error
	visit = func(name string, chain []string) error {
		if done[name] {
			return nil
		}
		if len(chain) > maxDepth || slices.Contains(chain, name) {
			return fmt.Errorf("moddep.lst: modules depend on each other: %s", strings.Join(append(chain, name), " → "))
		}
		dependencies, known := needs[name]
		if !known {
			return fmt.Errorf("module %q: not in moddep.lst", name)
		}
		// Any order would load; from the last to the first is grub-mkimage's, so
		// that its images can be compared byte for byte.
		for _, need := range slices.Backward(dependencies) {
			if err := visit(need, append(chain, name)); err != nil {
				return err
			}
		}
		done[name] = true
		order = append(order, name)
		return nil
	}
	for _, name := range in.Modules {
		if err := visit(name, nil); err != nil {
			return nil, err
		}
	}
	return order, nil
}
