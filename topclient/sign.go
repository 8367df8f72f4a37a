package topclient

import (
	"crypto/hmac"
	"crypto/md5" // the gateway knows it; hmac-sha256 is the default
	"crypto/sha256"
	"hash"
	"slices"
)

// Values of Config.SignMethod.
const (
	SignMD5        = "md5"
	SignHMAC       = "hmac" // HMAC-MD5
	SignHMACSHA256 = "hmac-sha256"
)

// signer signs by one method that knownSignMethod knows. It keeps the state that
// the last secret led to: coming to it takes nearly as long as hashing a text.
type signer struct {
	method string
	secret Secret    // of keyed
	keyed  hash.Hash // HMAC; nil: none yet
	sum    [sha256.Size]byte
}

// sign gives the upper-case hex signature of a text.
func (s *signer) sign(secret Secret, text []byte) string {
	sum := s.sum[:0]
	if s.method == SignMD5 {
		key := []byte(secret.Reveal())
		of := md5.Sum(slices.Concat(key, text, key))
		sum = append(sum, of[:]...)
	} else {
		s.key(secret)
		s.keyed.Write(text)
		sum = s.keyed.Sum(sum)
	}
	signature := make([]byte, 0, 2*sha256.Size)
	for _, b := range sum {
		signature = append(signature, upperHex[b>>4], upperHex[b&0xf])
	}
	return string(signature)
}

// key takes keyed to the state of a secret. Secrets are compared by address: one
// of the same text elsewhere only takes longer.
func (s *signer) key(secret Secret) {
	if s.keyed != nil && s.secret == secret {
		s.keyed.Reset()
		return
	}
	newHash := sha256.New
	if s.method == SignHMAC {
		newHash = md5.New
	}
	s.keyed, s.secret = hmac.New(newHash, []byte(secret.Reveal())), secret
}

// knownSignMethod says whether a signer knows the method.
func knownSignMethod(method string) bool {
	return method == SignMD5 || method == SignHMAC || method == SignHMACSHA256
}
