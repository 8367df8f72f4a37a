package topsim

import (
	"cmp"
	"crypto/hmac"
	"crypto/md5" // the protocol has it
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"unicode"
)

// signature is what the gateway expects of a call with these parameters. ok is
// false for a sign method it does not know.
//
// It is written apart from the client's on purpose: shared code would agree with
// itself in its mistakes.
func signature(method, secret string, params []param) (text string, ok bool) {
	signed := signedText(params)
	var sum []byte
	switch method {
	case "md5":
		h := md5.New()
		h.Write([]byte(secret))
		h.Write(signed)
		h.Write([]byte(secret))
		sum = h.Sum(nil)
	case "hmac":
		h := hmac.New(md5.New, []byte(secret))
		h.Write(signed)
		sum = h.Sum(nil)
	case "hmac-sha256":
		h := hmac.New(sha256.New, []byte(secret))
		h.Write(signed)
		sum = h.Sum(nil)
	default:
		return "", false
	}
	return strings.ToUpper(hex.EncodeToString(sum)), true
}

// signedText joins names and values in the order of the names' bytes. The sign
// itself and whatever is blank are not in it.
func signedText(params []param) []byte {
	sorted := make([]param, 0, len(params))
	size := 0
	for _, p := range params {
		if p.name == "sign" || blank(p.name) || blank(p.value) {
			continue
		}
		sorted = append(sorted, p)
		size += len(p.name) + len(p.value)
	}
	slices.SortFunc(sorted, func(a, b param) int { return cmp.Compare(a.name, b.name) })
	text := make([]byte, 0, size)
	for _, p := range sorted {
		text = append(append(text, p.name...), p.value...)
	}
	return text
}

func blank(text string) bool {
	return strings.IndexFunc(text, func(r rune) bool { return !unicode.IsSpace(r) }) < 0
}
