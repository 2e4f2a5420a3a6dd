// Command ashlar-fetch brings the images of a machine that starts from the
// network: ashlar-fetch BASE-URL LIST DIRECTORY. The first stage runs it in the
// initramfs.
package main

import (
	"context"
	"fmt"
	"os"

	"ashlar/internal/device/fetch"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "ashlar: %v\n", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 3 {
		return fmt.Errorf("usage: ashlar-fetch URL LIST DIRECTORY")
	}
	files, err := fetch.ReadList(args[1])
	if err != nil {
		return err
	}
	return fetch.Files(context.Background(), args[0], files, args[2], fetch.Options{
		Say: func(format string, args ...any) { fmt.Printf("ashlar: "+format+"\n", args...) },
	})
}
