package qemu

import (
	"os"
	"strconv"
	"strings"
)

// usualKHz is the rate of a processor whose own is not known.
const usualKHz = 2_000_000

// clockParam is what a microVM's kernel has to be told under software
// emulation: such a machine has no clock to measure the processor's time stamp
// counter by, and QEMU gives it the host's. Where the number is wrong the
// guest's time runs at another pace, evenly.
func (c Config) clockParam() string {
	if !c.MicroVM || c.Accel != TCG {
		return ""
	}
	cpuinfo, _ := os.ReadFile("/proc/cpuinfo") // without it, the usual rate
	return " tsc_early_khz=" + strconv.Itoa(processorKHz(string(cpuinfo)))
}

// processorKHz reads the first "cpu MHz" of /proc/cpuinfo.
func processorKHz(cpuinfo string) int {
	for line := range strings.Lines(cpuinfo) {
		key, value, _ := strings.Cut(line, ":")
		if strings.TrimSpace(key) != "cpu MHz" {
			continue
		}
		if mhz, err := strconv.ParseFloat(strings.TrimSpace(value), 64); err == nil && mhz >= 100 && mhz < 100_000 {
			return int(mhz * 1000)
		}
	}
	return usualKHz
}
