package supervise

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// maxLine bounds a line of a log; a longer one is cut into several.
const maxLine = 4096

// minLogBytes is the least a log can be bounded to: a line in each file.
const minLogBytes = 4 * maxLine

// Log is a service's bounded log: two files, PATH and PATH.1, each of at most
// half the bound. Lines start with the time, in UTC.
type Log struct {
	mu   sync.Mutex
	path string
	half int64
	file *os.File
	size int64
}

// OpenLog opens the log at path, bounded to most bytes (0: 1 MiB).
func OpenLog(path string, most int64) (*Log, error) {
	if most <= 0 {
		most = 1 << 20
	}
	l := &Log{path: path, half: max(most, minLogBytes) / 2}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	return l, l.open()
}

func (l *Log) open() error {
	f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(fmt.Errorf("open log %s: %w", l.path, err), f.Close())
	}
	l.file, l.size = f, info.Size()
	return nil
}

// Line adds a line. A log that cannot be written (full disk) loses it; the
// service goes on.
func (l *Log) Line(now time.Time, text string) error {
	line := now.UTC().Format("2006-01-02T15:04:05.000Z ") + text + "\n"
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		if err := l.open(); err != nil {
			return err
		}
	}
	if l.size > 0 && l.size+int64(len(line)) > l.half {
		if err := l.rotate(); err != nil {
			return err
		}
	}
	n, err := l.file.WriteString(line)
	l.size += int64(n)
	return err
}

func (l *Log) rotate() error {
	err := l.file.Close()
	l.file = nil
	if err == nil {
		err = os.Rename(l.path, l.path+".1")
	}
	return errors.Join(err, l.open())
}

// Tail gives about the last n bytes, starting with a whole line.
func (l *Log) Tail(n int64) (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return TailFiles(l.path, n)
}

// TailFiles is Tail by path, for a log that another process writes.
func TailFiles(path string, n int64) (string, error) {
	current, err := tailFile(path, n)
	if err != nil {
		return "", err
	}
	if rest := n - int64(len(current)); rest > 0 {
		older, err := tailFile(path+".1", rest)
		if err != nil {
			return "", err
		}
		current = append(older, current...)
	}
	return string(current), nil
}

func tailFile(path string, n int64) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read log: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read log: %w", err)
	}
	start := max(0, info.Size()-n)
	data, err := io.ReadAll(io.NewSectionReader(f, start, info.Size()-start))
	if err != nil {
		return nil, fmt.Errorf("read log: %w", err)
	}
	if start == 0 {
		return data, nil
	}
	for i, b := range data {
		if b == '\n' {
			return data[i+1:], nil
		}
	}
	return nil, nil
}

// Close closes the file. Lines that come later open it again.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return err
}

// eachLine hands on the lines that r gives, without their newline, cut at
// maxLine, until it ends.
func eachLine(r io.Reader, visit func(string)) {
	lines := bufio.NewReaderSize(r, maxLine)
	for {
		line, err := lines.ReadSlice('\n')
		if n := len(line); n > 0 && line[n-1] == '\n' {
			line = line[:n-1]
		}
		if len(line) > 0 || err == nil {
			visit(string(line))
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}
