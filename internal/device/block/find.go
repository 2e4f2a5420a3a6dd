package block

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"
)

// Device is a block device as the kernel and its superblock show it.
type Device struct {
	Name      string // "vda3"; its node is /dev/NAME
	Size      int64  // bytes
	Partition int    // number on its disk; 0 for a disk
	PartName  string // GPT name
	PartUUID  string
	Super     Super // zero when there is none that is known
}

// Node is the path of the device node.
func (d Device) Node() string { return "/dev/" + d.Name }

// String shows the device on one line, for messages.
func (d Device) String() string {
	parts := []string{d.Name, fmt.Sprintf("%d MiB", d.Size>>20)}
	if d.PartName != "" {
		parts = append(parts, "name="+d.PartName)
	}
	if d.Super.Type == "" {
		parts = append(parts, "no known file system")
	} else {
		parts = append(parts, d.Super.Type, "LABEL="+d.Super.Label, "UUID="+d.Super.UUID)
	}
	return strings.Join(parts, " ")
}

// Spec says which device is meant: "UUID=…", "LABEL=…", "PARTUUID=…",
// "PARTLABEL=…" or "/dev/…".
type Spec struct{ Key, Value string }

// ParseSpec reads the text form.
func ParseSpec(text string) (Spec, error) {
	if name, ok := strings.CutPrefix(text, "/dev/"); ok && name != "" {
		return Spec{"DEV", name}, nil
	}
	key, value, ok := strings.Cut(text, "=")
	switch key {
	case "UUID", "PARTUUID":
		value = strings.ToLower(value)
	case "LABEL", "PARTLABEL":
	default:
		ok = false
	}
	if !ok || value == "" {
		return Spec{}, fmt.Errorf("device %q: want UUID=…, LABEL=…, PARTUUID=…, PARTLABEL=… or /dev/…", text)
	}
	return Spec{key, value}, nil
}

// String gives the text form.
func (s Spec) String() string {
	if s.Key == "DEV" {
		return "/dev/" + s.Value
	}
	return s.Key + "=" + s.Value
}

// Match reports whether the device is the one meant.
func (s Spec) Match(d Device) bool {
	switch s.Key {
	case "UUID":
		return d.Super.UUID == s.Value
	case "LABEL":
		return d.Super.Label == s.Value
	case "PARTUUID":
		return strings.ToLower(d.PartUUID) == s.Value
	case "PARTLABEL":
		return d.PartName == s.Value
	}
	return d.Name == s.Value
}

// Scan lists the machine's disks and partitions by name, with their
// superblocks. Devices that cannot be read are listed without one. Loop and
// RAM disks, and empty drives, are left out.
func Scan() ([]Device, error) { return scan("/sys/class/block", "/dev") }

func scan(sys, dev string) ([]Device, error) {
	entries, err := os.ReadDir(sys)
	if err != nil {
		return nil, fmt.Errorf("list block devices: %w", err)
	}
	var found []Device
	for _, entry := range entries {
		name := entry.Name()
		if strings.HasPrefix(name, "loop") || strings.HasPrefix(name, "ram") {
			continue
		}
		d := describe(filepath.Join(sys, name), name)
		if d.Size == 0 {
			continue
		}
		if f, err := os.Open(filepath.Join(dev, name)); err == nil {
			if super, ok, err := Probe(f); err == nil && ok {
				d.Super = super
			}
			f.Close()
		}
		found = append(found, d)
	}
	sort.Slice(found, func(i, j int) bool { return found[i].Name < found[j].Name })
	return found, nil
}

// describe reads what sysfs says; what cannot be read stays zero.
func describe(dir, name string) Device {
	d := Device{Name: name}
	d.Size = readNumber(filepath.Join(dir, "size")) * 512
	d.Partition = int(readNumber(filepath.Join(dir, "partition")))
	text, err := os.ReadFile(filepath.Join(dir, "uevent"))
	if err != nil {
		return d
	}
	for _, line := range strings.Split(string(text), "\n") {
		switch key, value, _ := strings.Cut(line, "="); key {
		case "PARTNAME":
			d.PartName = value
		case "PARTUUID":
			d.PartUUID = value
		}
	}
	return d
}

func readNumber(path string) int64 {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// ErrMissing tells that a device did not come in time.
var ErrMissing = errors.New("no such device")

// pollInterval bounds how late a device is seen when its uevent is lost.
const pollInterval = 250 * time.Millisecond

// Wait gives the device that spec means as soon as it is there, or an error
// that lists the devices that are there when ctx ends.
func Wait(ctx context.Context, spec Spec) (Device, error) {
	events, err := listen()
	if err == nil {
		defer events.close()
	}
	var seen []Device
	for {
		if seen, err = Scan(); err != nil {
			return Device{}, err
		}
		for _, d := range seen {
			if spec.Match(d) {
				return d, nil
			}
		}
		if ctx.Err() != nil {
			break
		}
		events.wait(ctx, pollInterval)
	}
	lines := make([]string, 0, len(seen))
	for _, d := range seen {
		lines = append(lines, "\n  "+d.String())
	}
	if len(lines) == 0 {
		lines = append(lines, " none (is the driver of the disk in the image?)")
	}
	return Device{}, fmt.Errorf("find %s: %w; block devices seen:%s", spec, ErrMissing, strings.Join(lines, ""))
}
