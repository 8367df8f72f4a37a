package topclient

import (
	"crypto/hmac"
	"crypto/md5" // the gateway knows it; hmac-sha256 is the default
	"crypto/sha256"
	"hash"
	"slices"
	"strings"
)

// Values of Config.SignMethod.
const (
	SignMD5        = "md5"
	SignHMAC       = "hmac" // HMAC-MD5
	SignHMACSHA256 = "hmac-sha256"
)

const upperHex = "0123456789ABCDEF"

// param is one form parameter, raw: neither encoded nor trimmed.
type param struct{ name, value string }

// signable drops what the gateway leaves out of the text it signs, so that we
// do not send it either, and puts the rest in the order of signing. It changes
// params in place.
func signable(params []param) []param {
	params = slices.DeleteFunc(params, func(p param) bool {
		return isBlank(p.name) || isBlank(p.value)
	})
	slices.SortFunc(params, func(a, b param) int { return strings.Compare(a.name, b.name) })
	return params
}

// appendCanonical writes the text to sign: names and values of signable
// parameters without separators, as UTF-8.
func appendCanonical(text []byte, params []param) []byte {
	for _, p := range params {
		text = append(text, p.name...)
		text = append(text, p.value...)
	}
	return text
}

// sign is the upper-case hex signature of a canonical text. method is one that
// knownSignMethod knows.
func sign(method string, secret Secret, text []byte) string {
	key := []byte(secret.Reveal())
	var sum []byte
	switch method {
	case SignMD5:
		s := md5.Sum(slices.Concat(key, text, key))
		sum = s[:]
	case SignHMAC:
		sum = mac(md5.New, key, text)
	default:
		sum = mac(sha256.New, key, text)
	}
	text = make([]byte, 0, 2*len(sum))
	for _, b := range sum {
		text = append(text, upperHex[b>>4], upperHex[b&0xf])
	}
	return string(text)
}

func mac(h func() hash.Hash, key, text []byte) []byte {
	m := hmac.New(h, key)
	m.Write(text)
	return m.Sum(nil)
}

// knownSignMethod says whether sign knows the method.
func knownSignMethod(method string) bool {
	return method == SignMD5 || method == SignHMAC || method == SignHMACSHA256
}

func isBlank(s string) bool { return strings.TrimSpace(s) == "" }
