package topclient

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// FuzzAnswer holds for any body at any status:
//   - no panic, and either a coupon with an id above 0 or an error;
//   - what is no envelope leaves doubt;
//   - texts are short, on one line, UTF-8, and hold nothing that was sent.
func FuzzAnswer(f *testing.F) {
	f.Add(200, []byte(grantedJSON))
	f.Add(200, []byte(grantedXML))
	f.Add(502, []byte("<html>"))
	for _, body := range businessForms("-7") {
		f.Add(200, []byte(body))
	}
	var r bodyReader // one for all: an answer must not see anything of the one before
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		rep, err := r.newReply(&http.Response{StatusCode: status, Body: io.NopCloser(bytes.NewReader(body))})
		require.NoError(t, err)
		coupon, failed := rep.outcome(newScrubber(testCred, testGrant, strings.Repeat("AB", 32)))
		if failed == nil {
			require.Positive(t, coupon.InstanceID)
			return
		}
		require.Equal(t, Coupon{}, coupon)
		require.True(t, failed.Sent)
		require.True(t, failed.MayHaveGranted || rep.bad == "")
		require.NotEmpty(t, failed.Code)
		text := failed.Error()
		require.True(t, utf8.ValidString(text))
		require.NotContains(t, text, "\n")
		require.NotContains(t, text, testCred.Session.Reveal())
		require.NotContains(t, text, testGrant.OpenID)
		require.LessOrEqual(t, utf8.RuneCountInString(failed.Message), maxMessage+1)
	})
}

// FuzzJSON holds for any text: it is read if encoding/json takes it for JSON, and
// then the tree has what the tokens of encoding/json say.
func FuzzJSON(f *testing.F) {
	for _, text := range []string{
		grantedJSON, `{"a":[1,{"b":null},[],{}],"a":"\u00e9\ud800"}`, `{"a":-0.5e+1,"b":true,"c":00}`, `{"a":1,}`, `[1,]`,
		`"\`, "\"\t\"", "\"\xff\"", ` 1 2`, `-`, `{"":"" , "x" :"\/"}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, ok := readJSON(body, new(treeRoom))
		require.Equal(t, json.Valid(body), ok)
		if ok {
			dec := json.NewDecoder(strings.NewReader(strings.ToValidUTF8(string(body), "\uFFFD")))
			dec.UseNumber()
			require.Equal(t, treeOf(t, dec), got)
		}
	})
}

// treeOf makes the tree of the next value.
func treeOf(t *testing.T, dec *json.Decoder) node {
	t.Helper()
	token, err := dec.Token()
	require.NoError(t, err)
	switch v := token.(type) {
	case nil:
		return node{}
	case json.Delim:
		n := node{kind: list}
		if v == '{' {
			n = node{kind: object, members: []member{}}
		}
		for dec.More() {
			var m member
			if v == '{' {
				m.name = treeOf(t, dec).text
			}
			m.value = treeOf(t, dec)
			if v == '{' {
				n.members = append(n.members, m)
			}
		}
		_, err = dec.Token()
		require.NoError(t, err)
		return n
	default:
		return node{kind: scalar, text: fmt.Sprint(v)}
	}
}

// FuzzForm holds for any content: it is refused, or a server that reads the form
// comes to the same signature, and to the DTO that encoding/json writes.
func FuzzForm(f *testing.F) {
	f.Add("12345678", "secret", "session", "open id", `{"key","value"}`, "1")
	f.Add("", " ", "\t", "a&b=c+d%20", "满100减10", "\x00")
	w := formWriter{signMethod: SignHMACSHA256} // one for all
	f.Fuzz(func(t *testing.T, key, secret, session, openID, extra, outID string) {
		cred := Credentials{AppKey: key, AppSecret: NewSecret(secret), Session: NewSecret(session)}
		g := Grant{OpenID: openID, Extra: extra, OutID: outID}
		form, refused := w.newForm(cred, g, time.Now())
		if refused != nil {
			require.False(t, refused.MayHaveGranted)
			return
		}
		values := requireSignedForm(t, SignHMACSHA256, cred, form.body)
		require.Equal(t, standardDTO(t, g), values.Get(dtoParameter))
		require.LessOrEqual(t, len(values.Get(dtoParameter)), maxDTOBytes)
	})
}

// FuzzControls holds for any text: escaping leaves what is JSON already as it is.
func FuzzControls(f *testing.F) {
	f.Add([]byte("{\"a\":\"b\tc\"}"))
	f.Add([]byte("{\"a\\\n\":1}"))
	f.Fuzz(func(t *testing.T, body []byte) {
		before, errBefore := decodeTree(body, new(treeRoom))
		after, errAfter := decodeTree(escapeControls(body), new(treeRoom))
		if errBefore == nil && len(body) > 0 && body[0] == '{' {
			require.NoError(t, errAfter)
			require.Equal(t, before, after)
		}
		_, _ = judgeBody(http.StatusOK, string(body))
	})
}
