package deb

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"io"
	"sort"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

const beginSigned = "-----BEGIN PGP SIGNED MESSAGE-----\n"

// readKeyring reads public keys, binary or armored.
func readKeyring(data []byte) (openpgp.EntityList, error) {
	read := openpgp.ReadKeyRing
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("-----BEGIN PGP")) {
		read = openpgp.ReadArmoredKeyRing
	}
	keys, err := read(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("read keyring: %w", err)
	}
	return keys, nil
}

// splitSigned gives the one clear-signed block that data must consist of
// (RFC 9580, section 7). Text around the block is refused: a reader that
// looked there would take what nobody signed.
func splitSigned(data []byte) (*clearsign.Block, error) {
	if !bytes.HasPrefix(data, []byte(beginSigned)) {
		return nil, fmt.Errorf("does not begin with a signed block, but with %.60q", data)
	}
	if bytes.Count(data, []byte(strings.TrimSpace(beginSigned))) != 1 {
		return nil, errors.New("has more than one signed block")
	}
	block, rest := clearsign.Decode(data)
	if block == nil {
		return nil, errors.New("the signed block is cut off or malformed")
	}
	if len(bytes.TrimSpace(rest)) != 0 {
		return nil, fmt.Errorf("text follows the signed block: %.60q", bytes.TrimSpace(rest))
	}
	return block, nil
}

// maxSignatures bounds the work that a forged file can cause.
const maxSignatures = 32

// verifySigned gives the text that was signed and the fingerprints of the keys
// that signed it well, sorted; there is at least one. With dated set, keys may
// have expired since they signed, but not have been revoked.
func verifySigned(data []byte, keys openpgp.EntityList, now time.Time, dated bool) (text []byte, signers []string, err error) {
	block, err := splitSigned(data)
	if err != nil {
		return nil, nil, err
	}
	packets := packet.NewOpaqueReader(block.ArmoredSignature.Body)
	var faults []string
	for range maxSignatures {
		raw, err := packets.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, nil, fmt.Errorf("read signature: %w", err)
		}
		signer, err := verifyOne(raw, block.Bytes, keys, now, dated)
		if err != nil {
			faults = append(faults, err.Error())
			continue
		}
		signers = append(signers, fmt.Sprintf("%X", signer.PrimaryKey.Fingerprint))
	}
	if len(signers) == 0 {
		if len(faults) == 0 {
			faults = []string{"it has no signature"}
		}
		return nil, nil, fmt.Errorf("no good signature by a key of the keyring (%s): %s", keyNames(keys), strings.Join(faults, "; "))
	}
	sort.Strings(signers)
	return block.Plaintext, signers, nil
}

// verifyOne checks one signature packet.
func verifyOne(raw *packet.OpaquePacket, signed []byte, keys openpgp.EntityList, now time.Time, dated bool) (*openpgp.Entity, error) {
	parsed, err := raw.Parse()
	if err != nil {
		return nil, fmt.Errorf("a signature cannot be read: %w", err)
	}
	sig, ok := parsed.(*packet.Signature)
	if !ok || sig.IssuerKeyId == nil {
		return nil, errors.New("a packet is not a signature with an issuer")
	}
	id := fmt.Sprintf("%016X", *sig.IssuerKeyId)
	if sig.Hash != crypto.SHA256 && sig.Hash != crypto.SHA384 && sig.Hash != crypto.SHA512 {
		return nil, fmt.Errorf("the signature by key %s uses the weak or unknown hash %s", id, sig.Hash)
	}
	if len(keys.KeysById(*sig.IssuerKeyId)) == 0 {
		return nil, fmt.Errorf("key %s is not in the keyring", id)
	}
	at := now
	if dated {
		at = sig.CreationTime
	}
	var one bytes.Buffer
	if err := raw.Serialize(&one); err != nil {
		return nil, fmt.Errorf("the signature by key %s cannot be read: %w", id, err)
	}
	config := &packet.Config{Time: func() time.Time { return at }}
	_, signer, err := openpgp.VerifyDetachedSignature(keys, bytes.NewReader(signed), &one, config)
	if err == nil && signer.Revoked(now) {
		err = errors.New("the key is revoked")
	}
	if err != nil {
		return nil, fmt.Errorf("the signature by key %s is not good: %w", id, err)
	}
	return signer, nil
}

// keyNames lists what a keyring holds, for messages.
func keyNames(keys openpgp.EntityList) string {
	if len(keys) == 0 {
		return "which is empty"
	}
	var ids []string
	for _, k := range keys {
		ids = append(ids, k.PrimaryKey.KeyIdString())
	}
	return strings.Join(ids, ", ")
}
