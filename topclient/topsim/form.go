package topsim

import (
	"errors"
	"strings"
	"unicode/utf8"
)

// param is one decoded parameter of a call.
type param struct{ name, value string }

// maxParams is far above what any SDK sends: a bound for the search by name.
const maxParams = 64

var (
	errManyParams = errors.New("too many parameters")
	errEscape     = errors.New("percent encoding")
	errNotUTF8    = errors.New("not UTF-8")
	errTwice      = errors.New("a parameter twice")
)

// parseForm merges query and body, as the gateway takes a parameter from either.
// A name in both, or twice in one, is an error: which one the real gateway takes
// is not documented, and a client should not depend on it.
func parseForm(query, body string) ([]param, error) {
	params := make([]param, 0, 16)
	for _, text := range [...]string{query, body} {
		for text != "" {
			var pair string
			pair, text, _ = strings.Cut(text, "&")
			if pair == "" {
				continue
			}
			p, err := parsePair(pair)
			if err != nil {
				return nil, err
			}
			if _, found := find(params, p.name); found {
				return nil, errTwice
			}
			if len(params) == maxParams {
				return nil, errManyParams
			}
			params = append(params, p)
		}
	}
	return params, nil
}

func parsePair(pair string) (param, error) {
	name, value, _ := strings.Cut(pair, "=")
	name, err := unescape(name)
	if err != nil {
		return param{}, err
	}
	value, err = unescape(value)
	return param{name, value}, err
}

// unescape undoes application/x-www-form-urlencoded.
func unescape(text string) (string, error) {
	if !strings.ContainsAny(text, "%+") {
		if !utf8.ValidString(text) {
			return "", errNotUTF8
		}
		return text, nil
	}
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '+':
			out = append(out, ' ')
		case '%':
			if i+2 >= len(text) {
				return "", errEscape
			}
			high, low := hexDigit(text[i+1]), hexDigit(text[i+2])
			if high < 0 || low < 0 {
				return "", errEscape
			}
			out = append(out, byte(high<<4|low))
			i += 2
		default:
			out = append(out, c)
		}
	}
	if !utf8.Valid(out) {
		return "", errNotUTF8
	}
	return string(out), nil
}

func hexDigit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	default:
		return -1
	}
}

// find is a search through few parameters.
func find(params []param, name string) (string, bool) {
	for _, p := range params {
		if p.name == name {
			return p.value, true
		}
	}
	return "", false
}
