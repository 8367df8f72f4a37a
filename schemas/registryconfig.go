package schemas

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
)

// RegistryConfig says where the registry is.
type RegistryConfig struct {
	URL      string // http or https, a path prefix is kept, no credentials in it
	User     string // basic authentication; empty: none
	Password Password

	// Transport carries the exchanges, for own certificate authorities among
	// other things. Nil: direct, with the system's authorities.
	Transport http.RoundTripper
}

// checkURL quotes nothing of the URL, which may hold a password by mistake.
func checkURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return errors.New("registry.url is not an http or https URL")
	case u.User != nil:
		return errors.New("registry.url holds credentials: set registry.user and the password instead")
	case u.RawQuery != "" || u.Fragment != "":
		return errors.New("registry.url holds a query or a fragment")
	}
	return nil
}

// Password is a secret that prints as Redacted. Reveal gives its text, for the
// registry's client only.
type Password string

// Reveal returns the password itself.
func (p Password) Reveal() string { return string(p) }

// String hides the password.
func (Password) String() string { return Redacted }

// GoString hides the password from %#v.
func (Password) GoString() string { return Redacted }

// Format hides the password from every other verb.
func (Password) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(Redacted)) }

// MarshalJSON hides the password from JSON.
func (Password) MarshalJSON() ([]byte, error) { return []byte(`"` + Redacted + `"`), nil }

// MarshalText hides the password from text encoders.
func (Password) MarshalText() ([]byte, error) { return []byte(Redacted), nil }

// LogValue hides the password from slog.
func (Password) LogValue() slog.Value { return slog.StringValue(Redacted) }
