// Command app is a web server that fits on a page: the only service of the
// example machine.
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"
	"time"
)

func main() {
	host, err := os.Hostname()
	if err != nil {
		log.Fatal(err)
	}
	server := http.Server{
		Addr:              os.Getenv("APP_LISTEN"),
		ReadHeaderTimeout: 10 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, "hello from %s, up for %s\n", host, uptime())
		}),
	}
	log.Printf("listening on %s", server.Addr)
	log.Fatal(server.ListenAndServe())
}

// uptime gives what the kernel says, in seconds since boot.
func uptime() string {
	data, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return "an unknown time"
	}
	var seconds float64
	if _, err := fmt.Sscan(string(data), &seconds); err != nil {
		return "an unknown time"
	}
	return time.Duration(seconds * float64(time.Second)).String()
}
