package main

import (
	"fmt"
	"io"
	"os"
	"time"
)

// follow prints what is added to a log from now on, over its rotations, until
// the process is ended.
func follow(out io.Writer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("follow log: %w", err)
	}
	if _, err := f.Seek(0, io.SeekEnd); err != nil {
		return fmt.Errorf("follow log: %w", err)
	}
	for {
		if _, err := io.Copy(out, f); err != nil {
			return fmt.Errorf("follow log: %w", err)
		}
		if next := rotated(f, path); next != nil {
			if _, err := io.Copy(out, f); err != nil {
				return fmt.Errorf("follow log: %w", err)
			}
			f.Close()
			f = next
			continue
		}
		time.Sleep(300 * time.Millisecond)
	}
}

// rotated opens the file that has taken the path over, or gives nil.
func rotated(f *os.File, path string) *os.File {
	next, err := os.Open(path)
	if err != nil {
		return nil
	}
	was, err1 := f.Stat()
	is, err2 := next.Stat()
	if err1 != nil || err2 != nil || os.SameFile(was, is) {
		next.Close()
		return nil
	}
	return next
}
