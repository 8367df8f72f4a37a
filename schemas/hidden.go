package schemas

import (
	"fmt"
	"log/slog"
)

// redacted is what every personal or secret value of this program prints as.
const redacted = "[redacted]"

// hidden is a text that prints as [redacted] however it is formatted, logged or
// marshalled, and as an address at worst: fmt asks no method of what it reaches
// through an unexported field. Compare by Reveal.
type hidden struct{ text *string }

func hide(text string) hidden { return hidden{&text} }

// Reveal returns the text itself.
func (h hidden) Reveal() string {
	if h.text == nil {
		return ""
	}
	return *h.text
}

// String hides the text.
func (hidden) String() string { return redacted }

// GoString hides the text from %#v.
func (hidden) GoString() string { return redacted }

// Format hides the text from every other verb, %x and %d among them.
func (hidden) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// MarshalJSON hides the text from JSON.
func (hidden) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// MarshalText hides the text from text encoders.
func (hidden) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue hides the text from slog.
func (hidden) LogValue() slog.Value { return slog.StringValue(redacted) }
