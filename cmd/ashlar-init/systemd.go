package main

import (
	"context"
	"fmt"
	"os"
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

// runNetwork configures the interfaces of a machine with another init, until
// it is told to end. What it says goes to the journal.
func runNetwork() error {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGINT)
	defer stop()
	return pid1.NetworkUnderSystemd(ctx, func(format string, args ...any) {
		fmt.Fprintf(os.Stderr, format+"\n", args...)
	})
}
