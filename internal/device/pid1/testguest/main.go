// Command testguest is the only program in the root of the boot test: a
// service that says what it sees, and misbehaves when asked.
package main

import (
	"fmt"
	"net"
	"os"
	"strings"
	"time"
)

func main() {
	var err error
	switch strings.Join(os.Args[1:], " ") {
	case "count":
		err = count("/var/lib/app/boots")
	case "notify":
		err = notify()
	case "fail":
		os.Exit(3)
	case "done":
		os.Exit(0)
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for {
		time.Sleep(time.Hour)
	}
}

// count adds a line to a file that is kept and says what it holds.
func count(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.WriteString("boot\n"); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	boots, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	seeded, err := os.ReadFile("/var/lib/app/seeded")
	if err != nil {
		return err
	}
	groups, err := os.Getgroups()
	fmt.Printf("boots=%d seeded=%s uid=%d gid=%d groups=%d\n", strings.Count(string(boots), "boot\n"),
		strings.TrimSpace(string(seeded)), os.Getuid(), os.Getgid(), groups)
	return err
}

func notify() error {
	conn, err := net.Dial("unixgram", os.Getenv("NOTIFY_SOCKET"))
	if err != nil {
		return err
	}
	_, err = conn.Write([]byte("READY=1"))
	return err
}
