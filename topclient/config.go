package topclient

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Config of a Client.
type Config struct {
	URL        string        // of the gateway's /router/rest
	SignMethod string        // md5, hmac or hmac-sha256; empty: hmac-sha256
	Timeout    time.Duration // of the whole call, from dialling to the answer's last byte; 0: 10 s
	UserAgent  string        // empty: coupongrant
	IdleConns  int           // connections kept for the next calls; 0: 512. At least the calls in flight, or they keep dialling
}

// DefaultConfig calls the gateway for mainland China. An app of the sandbox or
// of another gateway is unknown there.
func DefaultConfig() Config {
	return Config{URL: "https://eco.taobao.com/router/rest"}.withDefaults()
}

func (c Config) withDefaults() Config {
	if c.SignMethod == "" {
		c.SignMethod = SignHMACSHA256
	}
	if c.Timeout == 0 {
		c.Timeout = 10 * time.Second
	}
	if c.IdleConns == 0 {
		c.IdleConns = 512
	}
	if c.UserAgent == "" {
		c.UserAgent = "coupongrant"
	}
	return c
}

// Validate joins everything that is wrong, each as one sentence with the
// setting, or the field where the program has no setting for it, and the mend.
// Zero values other than the URL are defaults. No value is shown of what may hold
// a password.
func (c Config) Validate() error {
	var errs []error
	refuse := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	refuse(!isPlainURL(c.URL),
		"gateway.url must be an http or https URL with a host and without user, query or fragment, such as %s", DefaultConfig().URL)
	refuse(c.SignMethod != "" && !knownSignMethod(c.SignMethod),
		"gateway.sign_method is %q: set %s, %s or %s", c.SignMethod, SignHMACSHA256, SignHMAC, SignMD5)
	refuse(strings.ContainsFunc(c.UserAgent, func(r rune) bool { return r < ' ' || r > '~' }),
		"the user agent is %q: use printable ASCII", c.UserAgent)
	refuse(c.Timeout < 0, "gateway.timeout is %s: set it above 0", c.Timeout)
	refuse(c.IdleConns < 0, "Config.IdleConns is %d: set it above 0", c.IdleConns)
	return errors.Join(errs...)
}

// isPlainURL refuses a user and a query, as URLs end up in logs.
func isPlainURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" &&
		u.User == nil && u.RawQuery == "" && !u.ForceQuery && u.Fragment == ""
}
