package pid1

import (
	"fmt"
	"runtime/debug"

	"ashlar/internal/device/units"
)

// UnderSystemd gives the agent's handler for a machine that the first stage
// handed over to systemd.
func UnderSystemd() (*units.Machine, error) {
	debug.SetMemoryLimit(memoryLimit)
	debug.SetGCPercent(gcPercent)
	hand, err := ReadHandover()
	if err != nil {
		return nil, fmt.Errorf("read how the machine was started: %w", err)
	}
	return &units.Machine{
		Name:       hand.Boot.Name,
		Generation: hand.Generation,
		RootMode:   hand.Boot.RootMode,
		Lost:       hand.State == stateLost,
	}, nil
}
