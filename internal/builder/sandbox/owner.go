package sandbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// The extended attributes that hold what one mapped uid cannot.
const (
	ownerXattr  = "user.ashlar.owner"
	deviceXattr = "user.ashlar.device"
	ownPrefix   = "user.ashlar."
)

// keep is the uid or gid that chown(2) leaves as it is.
const keep = ^uint32(0)

type owner struct{ UID, GID uint32 }

func (o owner) String() string { return fmt.Sprintf("%d:%d", o.UID, o.GID) }

// change gives the owner after a chown to uid and gid.
func (o owner) change(uid, gid uint32) owner {
	if uid != keep {
		o.UID = uid
	}
	if gid != keep {
		o.GID = gid
	}
	return o
}

// parseOwner reads the value of ownerXattr.
func parseOwner(text string) (owner, error) {
	u, g, ok := strings.Cut(text, ":")
	uid, err1 := parseID(u)
	gid, err2 := parseID(g)
	if err := errors.Join(err1, err2); !ok || err != nil {
		return owner{}, fmt.Errorf("parse owner %.40q: want UID:GID", text)
	}
	return owner{uid, gid}, nil
}

func parseID(text string) (uint32, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	if err == nil && strconv.FormatUint(n, 10) != text {
		err = strconv.ErrSyntax
	}
	return uint32(n), err
}

// A device is what mknod(2) asked for.
type device struct {
	Block        bool
	Major, Minor uint32
}

func (d device) String() string {
	kind := "c"
	if d.Block {
		kind = "b"
	}
	return fmt.Sprintf("%s:%d:%d", kind, d.Major, d.Minor)
}

// parseDevice reads the value of deviceXattr.
func parseDevice(text string) (device, error) {
	kind, numbers, _ := strings.Cut(text, ":")
	o, err := parseOwner(numbers)
	if err != nil || kind != "c" && kind != "b" {
		return device{}, fmt.Errorf("parse device %.40q: want c:MAJOR:MINOR or b:MAJOR:MINOR", text)
	}
	return device{Block: kind == "b", Major: o.UID, Minor: o.GID}, nil
}

// File capabilities, the value of security.capability (linux/capability.h):
// a little-endian word of revision and flags, then permitted and inheritable
// words, twice; revision 3 adds the uid that is root in the namespace which
// set them.
const (
	capabilityXattr   = "security.capability"
	capRevisionMask   = 0xff000000
	capRevision2      = 0x02000000
	capRevision3      = 0x03000000
	capRevision2Bytes = 20
	capRevision3Bytes = 24
)

// plainCapability turns file capabilities set in a user namespace into those
// root sets outside of one: revision 2, without the uid.
func plainCapability(value []byte) ([]byte, error) {
	if len(value) < 4 {
		return nil, fmt.Errorf("parse %s: %d bytes", capabilityXattr, len(value))
	}
	word := binary.LittleEndian.Uint32(value)
	switch {
	case word&capRevisionMask == capRevision2 && len(value) == capRevision2Bytes:
		return value, nil
	case word&capRevisionMask == capRevision3 && len(value) == capRevision3Bytes:
		plain := binary.LittleEndian.AppendUint32(nil, word&^uint32(capRevisionMask)|capRevision2)
		return append(plain, value[4:capRevision2Bytes]...), nil
	}
	return nil, fmt.Errorf("parse %s: revision word %#x with %d bytes", capabilityXattr, word, len(value))
}
