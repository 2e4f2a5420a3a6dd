package machine

import "ashlar/internal/foundation/digest"

// NetFile is a file that a machine that starts from the network fetches: an
// element of the list layout.InitramfsNet.
type NetFile struct {
	Name   string        `json:"name"`
	Size   int64         `json:"size"` // bytes
	Digest digest.Digest `json:"sha256"`
}
