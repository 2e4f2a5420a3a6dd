package sandbox

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// A message between builder and init is a length (4 bytes, little-endian) and
// that many bytes of JSON; open files travel with the length. Each request
// gets one reply.
const (
	maxMessage = 256 << 20
	maxFiles   = 4
)

type conn struct{ sock *net.UnixConn }

// newConn takes the file over.
func newConn(f *os.File) (*conn, error) {
	c, err := net.FileConn(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	sock, ok := c.(*net.UnixConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("socket is a %T", c), c.Close())
	}
	return &conn{sock}, nil
}

// socketPair gives both ends of a stream.
func socketPair() (*os.File, *os.File, error) {
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make socket pair: %w", err)
	}
	return os.NewFile(uintptr(p[0]), "builder"), os.NewFile(uintptr(p[1]), "init"), nil
}

func (c *conn) send(v any, files ...*os.File) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(body) > maxMessage {
		return fmt.Errorf("send %d bytes: at most %d", len(body), maxMessage)
	}
	var oob []byte
	if len(files) > 0 {
		fds := make([]int, len(files))
		for i, f := range files {
			fds[i] = int(f.Fd())
			// Programs expect streams that block.
			if err := unix.SetNonblock(fds[i], false); err != nil {
				return err
			}
		}
		oob = unix.UnixRights(fds...)
	}
	head := binary.LittleEndian.AppendUint32(nil, uint32(len(body)))
	if _, _, err := c.sock.WriteMsgUnix(head, oob, nil); err != nil {
		return err
	}
	_, err = c.sock.Write(body)
	return err
}

func (c *conn) recv(v any) ([]*os.File, error) {
	head := make([]byte, 4)
	oob := make([]byte, unix.CmsgSpace(4*maxFiles))
	n, oobn, _, _, err := c.sock.ReadMsgUnix(head, oob)
	if err != nil {
		return nil, err
	}
	files, err := receivedFiles(oob[:oobn])
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, errors.Join(io.EOF, closeFiles(files))
	}
	if err := c.recvBody(head, n, v); err != nil {
		return nil, errors.Join(err, closeFiles(files))
	}
	return files, nil
}

func (c *conn) recvBody(head []byte, have int, v any) error {
	if _, err := io.ReadFull(c.sock, head[have:]); err != nil {
		return err
	}
	size := binary.LittleEndian.Uint32(head)
	if size > maxMessage {
		return fmt.Errorf("receive %d bytes: at most %d", size, maxMessage)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(c.sock, body); err != nil {
		return err
	}
	return json.Unmarshal(body, v)
}

func receivedFiles(oob []byte) ([]*os.File, error) {
	if len(oob) == 0 {
		return nil, nil
	}
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	var files []*os.File
	for i := range msgs {
		fds, err := unix.ParseUnixRights(&msgs[i])
		if err != nil {
			return nil, errors.Join(err, closeFiles(files))
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "received"))
		}
	}
	return files, nil
}

func closeFiles(files []*os.File) error {
	var err error
	for _, f := range files {
		err = errors.Join(err, f.Close())
	}
	return err
}

// A request asks init for one thing.
type request struct {
	Op    string
	Path  string   `json:",omitempty"`
	Path2 string   `json:",omitempty"` // new name; text of a symbolic link
	Mode  uint32   `json:",omitempty"`
	Run   *runArgs `json:",omitempty"`
	Start *plan    `json:",omitempty"`
}

type runArgs struct {
	Serial uint64 // of the command, for "kill"
	Args   []string
	Env    []string
	Dir    string
}

// A reply answers a request.
type reply struct {
	Err     *wireError  `json:",omitempty"`
	Status  *exitStatus `json:",omitempty"`
	Entries []upperItem `json:",omitempty"` // "scan"
	Infos   []FileInfo  `json:",omitempty"` // "lstat", "readdir"
}

type exitStatus struct{ Code, Signal int }

// A wireError keeps the number, so that errors.Is works on the other side.
type wireError struct {
	Op    string
	Path  string
	Errno uintptr // 0: Text says it
	Text  string
}

func toWire(op, name string, err error) *wireError {
	w := &wireError{Op: op, Path: name, Text: err.Error()}
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		w.Op, w.Path = pathErr.Op, pathErr.Path
	}
	var errno unix.Errno
	if errors.As(err, &errno) {
		w.Errno = uintptr(errno)
	}
	return w
}

func (w *wireError) cause() error {
	if w.Errno == 0 {
		return errors.New(w.Text)
	}
	return unix.Errno(w.Errno)
}

func (w *wireError) error() error {
	return &fs.PathError{Op: w.Op, Path: w.Path, Err: w.cause()}
}
