package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/coupongrant/coupongrant/schemas"
)

const (
	tokenTimeout = 10 * time.Second
	tokenEarly   = 30 * time.Second // before a token expires, the next is fetched
)

// newToken is the token of the moment: of a file that somebody else renews, or
// of an address that gives one to whom it knows. oauth2 takes no context where a
// token is asked for: tokenTimeout is what bounds the wait.
func (a *access) newToken(c Config) (func() (string, error), error) {
	s := c.Security.SASL
	if s.TokenFile != "" {
		token, err := a.secret(c, "kafka.sasl.token_file", s.TokenFile, schemas.Password{})
		return func() (string, error) { return token(), nil }, err
	}
	secret, err := a.secret(c, "kafka.sasl.client_secret_file", s.ClientSecretFile, schemas.Password{})
	// Kept as long as it is good: brokers that come back all at once would have
	// every connection ask for one.
	kept := oauth2.ReuseTokenSourceWithExpiry(nil, &fetchedToken{s, secret}, tokenEarly)
	return func() (string, error) {
		token, err := kept.Token()
		if err != nil {
			return "", err
		}
		return token.AccessToken, nil
	}, err
}

// tokenTransport keeps no connection, as the next token is for an hour later, and
// asks no proxy, which would see the client's secret.
func tokenTransport() http.RoundTripper {
	return wholeAnswers{schemas.BoundedTransport{RoundTripper: &http.Transport{
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}, MaxResponseHeaderBytes: 64 << 10, DisableKeepAlives: true,
	}}}
}

// wholeAnswers reads an answer before it hands it on: of an error in the middle of one
// oauth2 keeps the text alone.
type wholeAnswers struct{ http.RoundTripper }

func (w wholeAnswers) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := w.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	if err != nil {
		return nil, err
	}
	answer.Body = io.NopCloser(bytes.NewReader(body))
	return answer, nil
}

// fetchedToken asks for a token, with the client's secret of the moment.
type fetchedToken struct {
	saslConfig

	secret func() string
}

// Token implements oauth2.TokenSource. Its errors hold nothing of the answer,
// which may repeat what was sent.
func (f *fetchedToken) Token() (*oauth2.Token, error) {
	ctx := context.WithValue(context.Background(), oauth2.HTTPClient, &http.Client{
		Transport:     tokenTransport(),
		Timeout:       tokenTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	})
	source := clientcredentials.Config{ClientID: f.ClientID, ClientSecret: f.secret(), TokenURL: f.TokenURL, Scopes: f.Scopes}
	token, err := source.Token(ctx)
	if err == nil {
		return token, nil
	}
	if answer, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		return nil, fmt.Errorf("kafka.sasl.token_url gives no token (status %d, %s): check kafka.sasl.client_id and the secret", answer.Response.StatusCode, shortCode(answer.ErrorCode))
	}
	if unanswered, ok := errors.AsType[*url.Error](err); ok {
		return nil, fmt.Errorf("kafka.sasl.token_url gives no token (%w): check the address", schemas.Unanswered(unanswered))
	}
	return nil, errors.New("kafka.sasl.token_url gives no token (what it answers holds none): check the address")
}

// shortCode is one of the codes of RFC 6749, or nothing: anything may stand there.
func shortCode(code string) string {
	switch code {
	case "invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope":
		return code
	default:
		return "without a known error code"
	}
}
