package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"ashlar/internal/contract/control"
)

// maxConns bounds the connections that are served at once.
const maxConns = 32

// ListenSocket makes the control socket, for root only, and serves it until
// ctx ends. It returns when the socket is there.
func ListenSocket(ctx context.Context, path string, h Handler) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("make control socket: %w", err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("make control socket: %w", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return fmt.Errorf("make control socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return errors.Join(fmt.Errorf("make control socket: %w", err), l.Close())
	}
	stop := context.AfterFunc(ctx, func() { l.Close() })
	go func() {
		defer stop()
		places := make(chan struct{}, maxConns)
		for {
			conn, err := l.AcceptUnix()
			if err != nil {
				if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
					return
				}
				continue
			}
			places <- struct{}{}
			go func() {
				defer func() { <-places }()
				serveConn(ctx, conn, h)
			}()
		}
	}()
	return nil
}

func serveConn(ctx context.Context, conn *net.UnixConn, h Handler) {
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	uid, err := peerUID(conn)
	if err != nil || (uid != 0 && int(uid) != os.Geteuid()) {
		_ = WriteLine(conn, control.Response{Error: "only root may control this machine"}) // it is refused either way
		return
	}
	_ = Serve(ctx, conn, h) // the client went away: nobody to tell
}

// peerUID asks the kernel who connected.
func peerUID(conn *net.UnixConn) (uint32, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var inner error
	err = raw.Control(func(fd uintptr) {
		cred, inner = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err := errors.Join(err, inner); err != nil {
		return 0, err
	}
	return cred.Uid, nil
}

// Dial connects to the control socket.
func Dial(path string) (*net.UnixConn, error) {
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("reach the machine's init: %w", err)
	}
	return conn, nil
}
