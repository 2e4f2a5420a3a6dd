package state

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"ashlar/internal/foundation/atomicfile"
)

// MachineID gives the machine's id (32 hexadecimal digits, machine-id(5)),
// made the first time and kept in the store.
func MachineID(store string) (string, error) {
	path := filepath.Join(store, ownDir, "machine-id")
	if text, err := os.ReadFile(path); err == nil {
		if id := strings.TrimSpace(string(text)); validID(id) {
			return id, nil
		}
	}
	var raw [16]byte
	if _, err := rand.Read(raw[:]); err != nil {
		return "", fmt.Errorf("make machine id: %w", err)
	}
	// A UUID of version 4, as systemd makes it.
	raw[6] = raw[6]&0x0f | 0x40
	raw[8] = raw[8]&0x3f | 0x80
	id := hex.EncodeToString(raw[:])
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return id, fmt.Errorf("keep machine id: %w", err)
	}
	if err := atomicfile.WriteBytes(path, atomicfile.Options{Mode: 0o444, Sync: true}, []byte(id+"\n")); err != nil {
		return id, fmt.Errorf("keep machine id: %w", err)
	}
	return id, nil
}

func validID(id string) bool {
	raw, err := hex.DecodeString(id)
	if err != nil || len(raw) != 16 || id != strings.ToLower(id) {
		return false
	}
	for _, b := range raw {
		if b != 0 {
			return true
		}
	}
	return false
}

// WriteMachineID puts the id into the root's /etc/machine-id.
func WriteMachineID(root, id string) error {
	path, err := resolve(root, "/etc/machine-id")
	if err != nil {
		return fmt.Errorf("write machine id: %w", err)
	}
	return atomicfile.WriteBytes(path, atomicfile.Options{Mode: 0o444}, []byte(id+"\n"))
}

// seedBytes is what the kernel's generator takes: 256 bits are its strength.
const seedBytes = 32

func seedPath(store string) string { return filepath.Join(store, ownDir, "random-seed") }

// LoadSeed gives the kept seed to the kernel as entropy, once: a new seed is in
// its place before it counts, so that no two boots start from one.
func LoadSeed(store string) error {
	seed, err := os.ReadFile(seedPath(store))
	if err == nil && len(seed) == seedBytes {
		if err = os.WriteFile("/dev/urandom", seed, 0); err != nil { // mixes in, counts nothing
			return fmt.Errorf("load random seed: %w", err)
		}
	}
	// Made from what the kernel has now, the old seed included.
	if err := SaveSeed(store); err != nil {
		return err
	}
	if len(seed) != seedBytes {
		return nil
	}
	return credit(seed)
}

// SaveSeed keeps a new seed for the next boot.
func SaveSeed(store string) error {
	seed := make([]byte, seedBytes)
	// GRND_INSECURE: the first boot must not wait here for entropy.
	const insecure = 0x4
	if n, err := unix.Getrandom(seed, insecure); err != nil || n != seedBytes {
		return fmt.Errorf("make random seed: %d bytes: %w", n, err)
	}
	path := seedPath(store)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("keep random seed: %w", err)
	}
	return atomicfile.WriteBytes(path, atomicfile.Options{Mode: 0o600, Sync: true}, seed)
}

// poolInfo is struct rand_pool_info of linux/random.h.
type poolInfo struct {
	bits int32
	size int32
	data [seedBytes]byte
}

func credit(seed []byte) error {
	f, err := os.OpenFile("/dev/urandom", os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("credit random seed: %w", err)
	}
	defer f.Close()
	info := poolInfo{bits: seedBytes * 8, size: seedBytes}
	copy(info.data[:], seed)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), unix.RNDADDENTROPY, uintptr(unsafe.Pointer(&info))); errno != 0 {
		return fmt.Errorf("credit random seed: %w", errno)
	}
	return nil
}
