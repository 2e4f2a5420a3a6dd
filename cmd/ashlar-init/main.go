// Command ashlar-init is everything of Ashlar that runs on the machine: /init
// of the initramfs, PID 1, and the commands behind the name ashlar.
package main

import (
	"os"
	"path/filepath"

	"ashlar/internal/device/pid1"
)

func main() {
	switch {
	case os.Getpid() == 1 && os.Args[0] == pid1.Stage2Name:
		pid1.Stage2()
	case len(os.Args) > 1 && os.Args[1] == pid1.ContainerCommand, os.Getpid() == 1 && pid1.InContainer(os.Args[1:], os.Getenv):
		pid1.Container()
	case os.Getpid() == 1 && filepath.Base(os.Args[0]) == "init":
		pid1.Stage1()
	}
	os.Exit(command(os.Args[1:], os.Stdout, os.Stderr))
}
