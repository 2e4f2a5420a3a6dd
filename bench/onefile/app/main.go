// Command app is the program whose start is measured: an HTTP server that says
// how long the kernel has been running.
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"

	"golang.org/x/sys/unix"
)

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		var now unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprintf(w, "%.3f\n", float64(now.Nano())/1e9)
	})
	log.Fatal(http.ListenAndServe(os.Getenv("APP_LISTEN"), nil))
}
