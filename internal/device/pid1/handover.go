package pid1

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"ashlar/internal/contract/layout"
	"ashlar/internal/contract/machine"
	"ashlar/internal/foundation/atomicfile"
)

// Paths that only the two stages and the agent share.
const (
	handoverFile = layout.RunDir + "/boot.json" // Handover
	initCopy     = layout.RunDir + "/init"      // this program, in memory
	scratchMount = layout.RunDir + "/scratch"   // what the overlay writes
	newRoot      = "/newroot"                   // in the initramfs
)

// maxJSON bounds the JSON files that are read.
const maxJSON = 16 << 20

// Handover is what the first stage tells the second, and the agent.
type Handover struct {
	Boot       machine.Boot `json:"boot"`
	Generation string       `json:"generation"`
	State      string       `json:"state"`    // "kept", "volatile" (declared so) or "lost" (missing or broken)
	Problems   []string     `json:"problems"` // what went wrong and did not stop the boot
}

// How the state of a machine is.
const (
	stateKept     = "kept"
	stateVolatile = "volatile"
	stateLost     = "lost"
)

// ReadHandover reads what the first stage left.
func ReadHandover() (Handover, error) {
	var h Handover
	err := readJSON(handoverFile, &h)
	return h, err
}

func (h Handover) write() error {
	data, err := json.MarshalIndent(h, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", handoverFile, err)
	}
	return atomicfile.WriteBytes(handoverFile, atomicfile.Options{}, append(data, '\n'))
}

func readJSON(path string, into any) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxJSON+1))
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	if len(data) > maxJSON {
		return fmt.Errorf("read %s: larger than %d bytes", path, maxJSON)
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
}

func readBoot(path string) (machine.Boot, error) {
	var boot machine.Boot
	if err := readJSON(path, &boot); err != nil {
		return boot, err
	}
	if boot.Version > machine.Version {
		return boot, fmt.Errorf("read %s: version %d, this program knows up to %d", path, boot.Version, machine.Version)
	}
	return boot, nil
}

// ReadMachine reads what the image below root tells the machine.
func ReadMachine(root string) (machine.Machine, error) {
	var m machine.Machine
	path := root + "/" + layout.MachineFile
	if err := readJSON(path, &m); err != nil {
		return m, err
	}
	if m.Version > machine.Version {
		return m, fmt.Errorf("read %s: version %d, this program knows up to %d", path, m.Version, machine.Version)
	}
	return m, nil
}
