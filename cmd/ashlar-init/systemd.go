package main

import (
	"context"
	"os/signal"

	"golang.org/x/sys/unix"

	"ashlar/internal/contract/layout"
	"ashlar/internal/device/agent"
	"ashlar/internal/device/pid1"
)

// runAgent serves the control socket and the host's port on a machine with
// another init, until it is told to end.
func runAgent() error {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGINT)
	defer stop()
	machine, err := pid1.UnderSystemd()
	if err != nil {
		return err
	}
	if err := agent.ListenSocket(ctx, layout.ControlSocket, machine); err != nil {
		return err
	}
	agent.ServePort(ctx, layout.AgentPort, machine)
	<-ctx.Done()
	return nil
}
