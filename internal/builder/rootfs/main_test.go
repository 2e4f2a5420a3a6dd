package rootfs

import (
	"os"
	"testing"

	"ashlar/internal/builder/sandbox"
)

func TestMain(m *testing.M) {
	if sandbox.IsChild() {
		os.Exit(sandbox.ChildMain())
	}
	os.Exit(m.Run())
}
