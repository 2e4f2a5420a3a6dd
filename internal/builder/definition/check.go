package definition

import (
	"fmt"
	"net/netip"
	"path"
	"strings"
)

// network is what a service may be after besides other services.
const network = "network"

// check reports what is wrong between keys. Values that were refused on their
// own are left out.
func (d *decoder) check(def *Definition) {
	for _, step := range []func(*Definition){
		d.checkBase, d.checkPins, d.checkImage, d.checkRules, d.checkUsers, d.checkState,
		d.checkServices, d.checkOrder, d.checkInterfaces, d.checkTests, d.checkTargets, d.checkReaper,
	} {
		step(def)
	}
}

// fail reports an error at the key with the path, or at the nearest key above
// it that was given.
func (d *decoder) fail(key, message, hint string) {
	at := key
	for {
		if place, ok := d.present[at]; ok {
			d.src.report(place, key, message, hint)
			return
		}
		cut := strings.LastIndexAny(at, ".[")
		if cut < 0 {
			d.src.report(span{}, key, message, hint)
			return
		}
		at = at[:cut]
	}
}

func (d *decoder) checkReaper(def *Definition) {
	if def.InitReaper && !strings.HasPrefix(def.Init, "/") && !d.bad["init"] {
		d.fail("init_reaper", "has a meaning only where PID 1 is a program of the image", `write init = "/usr/bin/program", or leave it out`)
	}
}

func (d *decoder) checkBase(def *Definition) {
	names := map[string]bool{}
	for i, extra := range def.Base.Extra {
		key := fmt.Sprintf("base.extra[%d].name", i)
		switch {
		case extra.Name == "":
		case names[extra.Name]:
			d.fail(key, quote(extra.Name)+" is the name of another archive", "")
		case extra.Name == "debian" || extra.Name == "debian-security" || extra.Name == "ubuntu":
			d.fail(key, quote(extra.Name)+" is the name of a base archive", "")
		}
		names[extra.Name] = true
	}
}

func (d *decoder) checkPins(def *Definition) {
	for i, pin := range def.Pins {
		key := fmt.Sprintf("pins[%d]", i)
		if d.whole && !d.given(key+".version") && !d.given(key+".archive") {
			d.fail(key, "says neither version nor archive", `add version = "1.2.*" or archive = "backports"`)
		}
		if pin.Priority == 0 && !d.bad[key+".priority"] {
			d.fail(key+".priority", "is 0, which apt refuses", "1001 installs the version whatever else there is, -1 never")
		}
	}
}

func (d *decoder) checkImage(def *Definition) {
	if size, err := ParseSize(def.Image.BlockSize); err == nil && size&(size-1) != 0 {
		d.fail("image.block_size", quote(def.Image.BlockSize)+" is not a power of two", "4K, 8K, … 1M")
	}
	d.checkCompressor(def.Image)
}

// highest is the highest level of a compressor, by format; those that a format
// does not have are not named.
var highest = map[string]map[string]int{
	"squashfs": {"zstd": 22, "gzip": 9, "lz4": 12, "none": 0},
	"erofs":    {"zstd": 22, "lz4": 12, "none": 0},
}

func (d *decoder) checkCompressor(i Image) {
	levels, ok := highest[i.Format]
	if !ok || i.Compressor == "" || d.bad["image.compressor"] {
		return
	}
	most, ok := levels[i.Compressor]
	switch {
	case !ok:
		d.fail("image.compressor", quote(i.Compressor)+" is no compressor of "+i.Format, "one of "+strings.Join(sortedKeys(levels), ", "))
	case i.Compressor == "none" && i.Level != 0:
		d.fail("image.level", "has no meaning without compression", "leave it out")
	case i.Compressor == "none" && i.Format == "erofs" && d.given("image.block_size"):
		d.fail("image.block_size", "has no meaning without compression", "blocks of erofs have 4K")
	case i.Level > most && i.Level <= 22:
		d.fail("image.level", fmt.Sprintf("%d is out of bounds", i.Level), fmt.Sprintf("%s has levels 1 to %d; 0 means the best choice", i.Compressor, most))
	}
}

func (d *decoder) checkRules(def *Definition) {
	for i, rule := range def.Files.Rules {
		key := fmt.Sprintf("files.rules[%d]", i)
		if d.whole && rule.Path != "" && !d.given(key+".owner") && !d.given(key+".group") && !d.given(key+".mode") {
			d.fail(key, "says neither owner, group nor mode", "")
		}
	}
}

func (d *decoder) checkUsers(def *Definition) {
	numbers := map[int]string{}
	for _, name := range sortedKeys(def.Users) {
		if uid := def.Users[name].UID; uid != nil {
			d.number(numbers, *uid, name, joinKey("users", name)+".uid")
		}
	}
	numbers = map[int]string{}
	for _, name := range sortedKeys(def.Groups) {
		if gid := def.Groups[name].GID; gid != nil {
			d.number(numbers, *gid, name, joinKey("groups", name)+".gid")
		}
	}
}

func (d *decoder) number(taken map[int]string, number int, name, key string) {
	if other, ok := taken[number]; ok {
		d.fail(key, fmt.Sprintf("%d is also the number of %s", number, other), "")
		return
	}
	taken[number] = name
}

// volatile are directories that live for one boot and cannot persist.
var volatile = []string{"/dev", "/proc", "/sys", "/run", "/tmp"}

func (d *decoder) checkState(def *Definition) {
	seen := map[string]int{}
	for i, state := range def.State {
		key := fmt.Sprintf("state[%d].path", i)
		if state.Path == "" {
			continue
		}
		if at, ok := seen[state.Path]; ok {
			d.fail(key, quote(state.Path)+" is declared twice", fmt.Sprintf("it is the same as element %d", at))
		}
		seen[state.Path] = i
		if state.Path == "/" {
			d.fail(key, "the whole root cannot persist", "declare the directories that the services write")
		}
		for _, dir := range volatile {
			if state.Path == dir || strings.HasPrefix(state.Path, dir+"/") {
				d.fail(key, quote(state.Path)+" cannot persist", dir+" is made anew at every boot")
			}
		}
	}
}

func (d *decoder) checkInterfaces(def *Definition) {
	for i, n := range def.Network.Interfaces {
		key := fmt.Sprintf("network.interfaces[%d]", i)
		if d.whole && !d.given(key+".name") && !d.given(key+".mac") {
			d.fail(key, "says neither name nor mac", `add name = "en*"`)
		}
		for j, route := range n.Routes {
			to, err1 := netip.ParsePrefix(route.To)
			via, err2 := netip.ParseAddr(route.Via)
			if err1 == nil && err2 == nil && to.Addr().Is4() != via.Is4() {
				d.fail(fmt.Sprintf("%s.routes[%d].via", key, j), fmt.Sprintf("%s is of another family than %s", quote(route.Via), route.To), "a gateway of the same family")
			}
		}
		families := map[bool]string{}
		for j, gateway := range n.Gateways {
			addr, err := netip.ParseAddr(gateway)
			if err != nil {
				continue
			}
			v4 := addr.Unmap().Is4()
			if other := families[v4]; other != "" {
				d.fail(fmt.Sprintf("%s.gateways[%d]", key, j), fmt.Sprintf("%s is a second gateway of its family, beside %s", quote(gateway), other), "at most one for IPv4 and one for IPv6")
			}
			families[v4] = gateway
		}
	}
}

func (d *decoder) checkTests(def *Definition) {
	for i, test := range def.Tests {
		key := fmt.Sprintf("tests[%d]", i)
		var kinds []string
		for _, kind := range []string{"http", "tcp", "service"} {
			if d.given(key + "." + kind) {
				kinds = append(kinds, kind)
			}
		}
		switch {
		case len(kinds) == 0 && d.whole:
			d.fail(key, "says nothing to test", "add one of http, tcp, service")
		case len(kinds) > 1:
			d.fail(key+"."+kinds[1], "one test cannot be of two kinds: "+strings.Join(kinds, " and "), "write two tests")
		case d.given(key+".expect") && !d.given(key+".http") && len(kinds) == 1:
			d.fail(key+".expect", "has a meaning with http only", "")
		}
		if _, declared := def.Services[test.Service]; test.Service != "" && !declared && d.whole {
			d.fail(key+".service", quote(test.Service)+" is not a declared service", didYouMean(test.Service, sortedKeys(def.Services)))
		}
	}
}

// checkProgram reports a command whose program is not an absolute path.
func (d *decoder) checkProgram(key string, command []string) {
	switch {
	case d.bad[key] || d.bad[key+"[0]"]:
	case len(command) == 0:
		if d.given(key) {
			d.fail(key, "is empty", `write ["/usr/sbin/program", "argument"]`)
		}
	case !path.IsAbs(command[0]):
		hint := "services have no search path"
		if strings.ContainsAny(command[0], " \t") {
			hint = "write the program and its arguments as separate strings: [" + quoteWords(command[0]) + "]"
		}
		d.fail(key+"[0]", quote(command[0])+" is not an absolute path", hint)
	case strings.ContainsAny(command[0], " \t"):
		d.fail(key+"[0]", quote(command[0])+" has a space", "write the program and its arguments as separate strings: ["+quoteWords(command[0])+"]")
	}
}
