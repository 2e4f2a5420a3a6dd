package power

import (
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Of linux/input-event-codes.h.
const (
	evKey    = 1
	keyPower = 116
)

// WatchButton calls pressed whenever a power button that is there now is
// pressed. The readers end with the process.
func WatchButton(pressed func()) {
	for _, name := range buttons("/sys/class/input") {
		f, err := os.Open("/dev/input/" + name)
		if err != nil {
			continue // gone again
		}
		go func() {
			defer f.Close()
			readButton(f, pressed)
		}()
	}
}

// buttons lists the event devices that have a power key.
func buttons(sys string) []string {
	files, err := filepath.Glob(filepath.Join(sys, "event*", "device/capabilities/key"))
	if err != nil {
		return nil
	}
	var names []string
	for _, file := range files {
		if text, err := os.ReadFile(file); err == nil && hasKey(string(text), keyPower) {
			names = append(names, filepath.Base(strings.TrimSuffix(file, "/device/capabilities/key")))
		}
	}
	return names
}

// hasKey reads sysfs' bitmap: hexadecimal words of a long each, the highest first.
func hasKey(bitmap string, key int) bool {
	words := strings.Fields(bitmap)
	const wordBits = int(unsafe.Sizeof(uintptr(0)) * 8)
	i := len(words) - 1 - key/wordBits
	if i < 0 {
		return false
	}
	word, err := strconv.ParseUint(words[i], 16, 64)
	return err == nil && word>>(key%wordBits)&1 == 1
}

// readButton reads struct input_event: two longs of time, a type and a code of
// 16 bits, a value of 32.
func readButton(r io.Reader, pressed func()) {
	const timeSize = int(unsafe.Sizeof(unix.Timeval{}))
	event := make([]byte, timeSize+8)
	for {
		if _, err := io.ReadFull(r, event); err != nil {
			return
		}
		kind := binary.NativeEndian.Uint16(event[timeSize:])
		code := binary.NativeEndian.Uint16(event[timeSize+2:])
		value := int32(binary.NativeEndian.Uint32(event[timeSize+4:]))
		if kind == evKey && code == keyPower && value == 1 {
			pressed()
		}
	}
}
