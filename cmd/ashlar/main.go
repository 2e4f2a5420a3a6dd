// Command ashlar turns a directory of text into a server.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"ashlar/internal/builder/sandbox"
)

func main() { os.Exit(mainExit()) }

// mainExit is main for the tests, too: it gives the exit code.
func mainExit() int {
	if sandbox.IsChild() {
		return sandbox.ChildMain()
	}
	if isVaried() {
		return variedMain()
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // the second signal ends even what does not listen
	return run(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr})
}
