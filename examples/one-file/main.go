// Command app is a web server: all that runs on the example machine, in one
// file with its kernel.
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"
	"time"
)

func main() {
	server := http.Server{
		Addr:              os.Getenv("APP_LISTEN"),
		ReadHeaderTimeout: 10 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, "hello from one file, %v\n", os.Args)
		}),
	}
	log.Printf("PID %d listens on %s", os.Getpid(), server.Addr)
	log.Fatal(server.ListenAndServe())
}
