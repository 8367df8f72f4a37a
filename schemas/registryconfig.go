package schemas

import (
	"errors"
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

// Password is a secret that prints as [redacted]. Reveal gives its text, for the
// client that signs in with it only. The zero Password is empty.
type Password struct{ hidden }

// NewPassword hides text.
func NewPassword(text string) Password { return Password{hide(text)} }
