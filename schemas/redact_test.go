package schemas

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// printed is v in every way that a program prints.
func printed(t *testing.T, v any) string {
	t.Helper()
	var all bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T", "%30s"} {
		fmt.Fprintf(&all, verb+"\n", v)
	}
	text, err := json.Marshal(v)
	require.NoError(t, err)
	all.Write(text)
	for _, h := range []slog.Handler{slog.NewTextHandler(&all, nil), slog.NewJSONHandler(&all, nil)} {
		slog.New(h).Info("seen", "value", v)
	}
	return all.String()
}

func requireNoCanary(t *testing.T, text string) {
	t.Helper()
	require.NotEmpty(t, text)
	require.NotContains(t, text, canary)
	require.NotContains(t, text, fmt.Sprintf("%x", canary))
	require.NotContains(t, text, fmt.Sprintf("%X", canary))
}

func TestOpenIDPrintsNowhere(t *testing.T) {
	q := fullRequest()
	require.Equal(t, canary, q.OpenID.Reveal())
	for _, v := range []any{
		q.OpenID, &q.OpenID, q, &q,
		[]Request{q},
		map[string]OpenID{"a": q.OpenID},
		[]OpenID{q.OpenID},
		struct{ Q Request }{q},
		fmt.Errorf("of %v: %w", q, errors.New("no")).Error(),
	} {
		requireNoCanary(t, printed(t, v))
	}
}

func TestPasswordPrintsNowhere(t *testing.T) {
	p := NewPassword(canary)
	require.Equal(t, canary, p.Reveal())
	cfg := RegistryConfig{URL: "http://registry", User: "u", Password: p}
	for _, v := range []any{p, &p, cfg, &cfg, []Password{p}, map[string]Password{"a": p}, struct{ p Password }{p}, struct{ q OpenID }{NewOpenID(canary)}} {
		requireNoCanary(t, printed(t, v))
	}
	reg, err := NewRegistry(cfg)
	require.NoError(t, err)
	requireNoCanary(t, fmt.Sprintf("%v %+v %#v", reg, reg, reg))
}

func TestPasswordReachesTheRegistryOnly(t *testing.T) {
	var user, password string
	reg, err := NewRegistry(RegistryConfig{
		URL: "http://registry", User: "u", Password: NewPassword(canary),
		Transport: &inProcess{handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			user, password, _ = r.BasicAuth()
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprintf(w, `{"error_code":40101,"message":"not %s"}`, password)
		})},
	})
	require.NoError(t, err)
	err = reg.Fetch(t.Context(), 7)
	require.ErrorIs(t, err, ErrRegistryDown)
	require.ErrorContains(t, err, "HTTP 401")
	requireNoCanary(t, err.Error())
	require.Equal(t, "u", user)
	require.Equal(t, canary, password)
}

// What is no HTTP is quoted by net/http, and may be what was sent.
func TestPasswordThatTheRegistryEchoesIsNotRepeated(t *testing.T) {
	var sent string
	for name, echo := range map[string]string{
		"as a status line":    "%s\r\n",
		"as a status":         "HTTP/1.1 %s\r\n",
		"as a header":         "HTTP/1.1 200 OK\r\n%s\r\n\r\n",
		"as a length":         "HTTP/1.1 200 OK\r\nContent-Length: %s\r\n\r\n",
		"as a chunk":          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%s\r\n",
		"as a body":           "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n%s",
		"as a body's packing": "HTTP/1.1 200 OK\r\nTransfer-Encoding: %s\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				sent = strings.TrimPrefix(r.Header.Get("Authorization"), "Basic ")
				hijacked(fmt.Sprintf(echo, sent))(w, r)
			}))
			defer server.Close()
			reg, err := NewRegistry(RegistryConfig{URL: server.URL, User: "u", Password: NewPassword(canary)})
			require.NoError(t, err)
			defer reg.Close()
			err = reg.Fetch(t.Context(), 7)
			require.ErrorIs(t, err, ErrRegistryDown)
			require.NotEmpty(t, sent)
			require.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, err), sent)
		})
	}
}

// What cannot be decoded is told of without a byte of it: at every place where
// a value with an open_id can be cut or damaged.
func TestErrorsOfDamagedValuesHoldNoOpenID(t *testing.T) {
	_, _, codec := registeredCodec(t)
	whole, err := codec.EncodeRequest("store", fullRequest())
	require.NoError(t, err)
	failures := 0
	for i := range whole {
		damaged := bytes.Clone(whole)
		damaged[i] ^= 0xff
		for _, give := range [][]byte{whole[:i], damaged} {
			if _, err := codec.Decode(give); err != nil {
				failures++
				requireNoCanary(t, fmt.Sprintf("%v %+v %#v", err, err, err))
			}
		}
	}
	require.Greater(t, failures, len(whole), "values were refused")
}
