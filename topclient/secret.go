package topclient

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

const redacted = "[redacted]"

// Secret is a text that prints as [redacted], in every verb and encoding, and as
// an address at worst: fmt asks no method of what it reaches through an
// unexported field. The zero Secret is empty. Compare by Reveal.
type Secret struct{ text *string }

// NewSecret hides text.
func NewSecret(text string) Secret { return Secret{&text} }

// SecretIn is what a file holds without what editors leave at its beginning (a byte
// order mark) and at its end (line ends); empty if that is nothing. Blanks are refused
// and not taken off, since a secret may have some. The error says what the file does,
// and nothing of what it holds.
func SecretIn(content []byte) (Secret, error) {
	text := strings.TrimRight(strings.TrimPrefix(string(content), "\ufeff"), "\r\n")
	switch {
	case isBlank(text):
		return Secret{}, nil
	case strings.ContainsAny(text, "\r\n\x00"):
		return Secret{}, errors.New("holds more than one line: write the secret into it, and nothing else")
	case text != strings.TrimSpace(text):
		return Secret{}, errors.New("has blanks before or after the secret: write it without them")
	default:
		return NewSecret(text), nil
	}
}

// Reveal is the text itself, for signing and sending only.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// String hides the text.
func (Secret) String() string { return redacted }

// GoString hides the text from %#v.
func (Secret) GoString() string { return redacted }

// Format hides the text from every verb: %x and %d do not ask String.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText hides the text from encoders.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON hides the text from JSON.
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// LogValue hides the text from slog.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }
