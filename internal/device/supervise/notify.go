package supervise

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Notice is what a service says on its $NOTIFY_SOCKET (sd_notify(3)): the
// assignments that are understood; others are passed over.
type Notice struct {
	Ready    bool
	Stopping bool
	MainPID  int
	Status   string
}

// maxNotice bounds a datagram; systemd reads as much.
const maxNotice = 4096

// ParseNotice reads newline-separated assignments.
func ParseNotice(data []byte) Notice {
	var n Notice
	for _, line := range strings.Split(string(data), "\n") {
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			continue
		}
		switch key {
		case "READY":
			n.Ready = n.Ready || value == "1"
		case "STOPPING":
			n.Stopping = n.Stopping || value == "1"
		case "STATUS":
			n.Status = value
		case "MAINPID":
			if pid, err := strconv.Atoi(value); err == nil && pid > 1 {
				n.MainPID = pid
			}
		}
	}
	return n
}

// listenNotify makes a service's socket and hands on what comes from its user
// or from root, until ctx ends.
func listenNotify(ctx context.Context, path string, uid uint32, handle func(Notice)) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("make notify socket: %w", err)
	}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("make notify socket: %w", err)
	}
	if err := errors.Join(os.Chmod(path, 0o666), passCredentials(conn)); err != nil {
		return errors.Join(fmt.Errorf("make notify socket %s: %w", path, err), conn.Close())
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	go func() {
		defer stop()
		data, oob := make([]byte, maxNotice), make([]byte, unix.CmsgSpace(unix.SizeofUcred))
		for {
			n, oobn, _, _, err := conn.ReadMsgUnix(data, oob)
			if err != nil {
				return
			}
			if sender, ok := senderUID(oob[:oobn]); ok && (sender == 0 || sender == uid) {
				handle(ParseNotice(data[:n]))
			}
		}
	}()
	return nil
}

func passCredentials(conn *net.UnixConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	err = raw.Control(func(fd uintptr) {
		inner = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PASSCRED, 1)
	})
	return errors.Join(err, inner)
}

func senderUID(oob []byte) (uint32, bool) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return 0, false
	}
	for i := range messages {
		if cred, err := unix.ParseUnixCredentials(&messages[i]); err == nil {
			return cred.Uid, true
		}
	}
	return 0, false
}
