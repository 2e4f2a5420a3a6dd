package pid1

import (
	"context"
	"os"
	"time"

	"ashlar/internal/contract/layout"
	"ashlar/internal/contract/machine"
	"ashlar/internal/device/network"
)

// networkUp is what Stage2 needs of a configured network.
type networkUp interface{ Close() error }

// resolvConf is where the image's /etc/resolv.conf points.
const resolvConf = layout.RunDir + "/resolv.conf"

// startNetwork configures the machine's interfaces. It returns when addresses
// are there, or with an error when that takes too long; configuring then goes
// on. It is the one place that knows the network room.
func startNetwork(ctx context.Context, config machine.Network, say func(string, ...any)) (networkUp, error) {
	return network.Up(ctx, config, network.Options{ResolvConf: resolverFile(), Log: say})
}

// resolverFile is where name servers are written: containers have a file of
// their own instead of the link.
func resolverFile() string {
	const file = "/etc/resolv.conf"
	if info, err := os.Lstat(file); err == nil && info.Mode().IsRegular() {
		return file
	}
	return resolvConf
}

// closeLimit bounds how long giving leases back may delay the end.
const closeLimit = time.Second

func closeNetwork(up networkUp) error {
	done := make(chan error, 1)
	go func() { done <- up.Close() }()
	select {
	case err := <-done:
		return err
	case <-time.After(closeLimit):
		return nil
	}
}
