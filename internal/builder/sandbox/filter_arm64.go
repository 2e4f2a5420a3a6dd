package sandbox

import "golang.org/x/sys/unix"

const (
	auditArch  = unix.AUDIT_ARCH_AARCH64
	foreignBit = 0
)

// archRules: arm64 never had the older forms.
func archRules() []rule { return nil }

func legacyCall(int32, [6]uint64) (call, bool) { return call{}, false }
