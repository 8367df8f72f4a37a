package topclient

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"html"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func discardLog() *log.Logger { return log.New(io.Discard, "", 0) }

// printings is everything a careless caller may print of a value.
func printings(v any) string {
	var b strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T"} {
		fmt.Fprintf(&b, verb+"\n", v)
	}
	asJSON, _ := json.Marshal(v)
	b.Write(asJSON)
	asXML, _ := xml.Marshal(v)
	b.Write(asXML)
	slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "value", v)
	slog.New(slog.NewTextHandler(&b, nil)).Info("x", "value", v)
	return b.String()
}

// requireNoCanary looks for the canaries as they are and in hexadecimal.
func requireNoCanary(t *testing.T, text string) {
	t.Helper()
	for _, canary := range []string{"canary", "CANARY", fmt.Sprintf("%x", "canary"), fmt.Sprintf("%X", "canary")} {
		require.NotContains(t, text, canary)
	}
}

func TestPrintedTypesHideWhatTheyHold(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	require.NoError(t, os.WriteFile(secret, []byte(testCred.AppSecret.Reveal()), 0o600))
	files := FilesConfig{AppKey: "1", AppSecretFile: secret, Session: testCred.Session}
	source, err := FromFiles(files)
	require.NoError(t, err)
	client, err := New(DefaultConfig(), nil)
	require.NoError(t, err)
	e := &Error{Code: "27"}
	for _, v := range []any{
		testCred.Session, &testCred.Session, testCred, &testCred, testGrant, &testGrant, files, &files,
		source, Static(testCred), client, e, *e, DefaultConfig(),
		Coupon{},
		map[string]Secret{"a": testCred.AppSecret},
		[]any{testCred, testGrant},
		struct{ G Grant }{testGrant},
		struct{ s Secret }{testCred.Session},
		&struct{ c Credentials }{testCred},
		struct{ f *FilesConfig }{&files},
		struct{ c *Client }{client},
		struct{ s *CredentialSource }{source},
		struct{ e *Error }{e},
		struct{ all []any }{[]any{map[string]Credentials{"a": testCred}}},
	} {
		requireNoCanary(t, printings(v))
	}
	require.Contains(t, printings(testGrant), "out-1", "it says which request it is")
}

// The planted opposite: the test above would see a canary.
func TestPrintingsShowWhatIsNotHidden(t *testing.T) {
	require.Contains(t, printings(testCred.Session.Reveal()), "canary")
	require.Contains(t, printings(struct{ S string }{testGrant.OpenID}), "canary")
}

// echoes are the ways a gateway may send back what it got.
func echoes(form url.Values) map[string]string {
	all := fmt.Sprint(form)
	quoted := strconv.Quote(all)
	quoted = quoted[1 : len(quoted)-1]
	slashes := strings.ReplaceAll(quoted, "/", `\/`)
	envelope := func(text string) string {
		return `{"error_response":{"code":27,"msg":"` + text + `","sub_code":"` + text + `","sub_msg":"` + text + `","request_id":"` + text + `"}}`
	}
	longAgo := strings.Repeat("x", maxMessage-30)
	return map[string]string{
		"JSON":                    envelope(quoted),
		"JSON with slashes":       envelope(slashes),
		"JSON inside JSON":        envelope(strings.ReplaceAll(slashes, `\`, `\\`)),
		"form":                    envelope(form.Encode()),
		"entities":                envelope(html.EscapeString(strings.ReplaceAll(all, `"`, "&quot;"))),
		"lower-case signature":    envelope(strings.ToLower(form.Get("sign"))),
		"cut through a secret":    envelope(longAgo + form.Get("session")),
		"code":                    `{"error_response":{"code":"` + form.Get("session") + `"}}`,
		"XML with args":           `<error_response><code>27</code><args list="true"><arg><key>session</key><value>` + form.Get("session") + `</value></arg></args><msg>` + html.EscapeString(all) + `</msg></error_response>`,
		"success code":            `{"tmall_nrt_coupon_send_response":{"code":"` + form.Get("sign") + `","message":"` + quoted + `"}}`,
		"not an envelope":         all,
		"an envelope cut short":   envelope(quoted)[:100],
		"XML element of a secret": "<html>" + html.EscapeString(all) + "</html>",
	}
}

func TestEchoIsNotRepeated(t *testing.T) {
	var form url.Values
	for name := range echoes(url.Values{}) {
		t.Run(name, func(t *testing.T) {
			gw := newGateway(t, func(w http.ResponseWriter, r *http.Request) {
				require.NoError(t, r.ParseForm())
				form = r.PostForm
				w.Header().Set("Location-Host", form.Get("session"))
				_, _ = io.WriteString(w, echoes(form)[name])
			})
			e := sendError(t, t.Context(), newTestClient(t, gw.URL, nil))
			text := printings(e) + printings(*e) + e.Error() + fmt.Sprint(e.Unwrap())
			requireNoCanary(t, text)
			require.NotContains(t, strings.ToUpper(text), form.Get("sign"))
			require.NotContains(t, text, form.Get("session")[:6], "half a secret")
		})
	}
}

// Each by itself: an echo of everything is cut before most of it comes.
func TestEachSpellingOfWhatWeSentIsHidden(t *testing.T) {
	hidden := newScrubber(testCred, testGrant, "SIGN-CANARY")
	for name, echo := range map[string]string{
		"as it is":                `open-id-canary/+=1`,
		"JSON, slashes escaped":   `open-id-canary\/+=1`,
		"JSON as Gson writes it":  `open-id-canary/+\u003d1`,
		"form":                    `open-id-canary%2F%2B%3D1`,
		"form, lower-case digits": `open-id-canary%2f%2b%3d1`,
		"path":                    `open-id-canary%2F+=1`,
		"path, lower-case digits": `open-id-canary%2f+=1`,
		"extra in JSON":           `{\"extra\":\"canary\"}`,
		"extra in a form":         `%7b%22extra%22%3a%22canary%22%7d`,
		"signature":               `sign-canary`,
		"session as Gson does":    `session-canary+/\u003d`,
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, "bad ["+redacted+"]", hidden.hide("bad ["+echo+"]"))
		})
	}
}

func TestEchoInACouponIsNotRepeated(t *testing.T) {
	gw := newGateway(t, func(w http.ResponseWriter, r *http.Request) {
		require.NoError(t, r.ParseForm())
		w.Header().Set("Application-Host", r.PostForm.Get("session"))
		_, _ = fmt.Fprintf(w, `{"tmall_nrt_coupon_send_response":{"request_id":%q,"model":{"coupon_instance_id":1,"coupon_name":%q}}}`,
			r.PostForm.Get("sign")+r.PostForm.Get("session"), "for "+testGrant.OpenID)
	})
	coupon, err := newTestClient(t, gw.URL, nil).Send(t.Context(), testCred, testGrant)
	require.NoError(t, err)
	require.Equal(t, "for [redacted]", *coupon.Name)
	require.Equal(t, "[redacted][redacted]", coupon.RequestID)
	require.Equal(t, "[redacted]", coupon.Host)
}

// The name of a coupon is as answered, also where it has a word of the extra; secrets and
// the open_id are hidden in it all the same, and the extra in what is logged.
func TestExtraIsNoReasonToHideANameOfACoupon(t *testing.T) {
	grant := testGrant
	grant.Extra = "满100减10"
	gw := newGateway(t, func(w http.ResponseWriter, r *http.Request) {
		require.NoError(t, r.ParseForm())
		_, _ = fmt.Fprintf(w, `{"tmall_nrt_coupon_send_response":{"request_id":%q,"model":{"coupon_instance_id":1,"coupon_name":%q}}}`,
			grant.Extra, "春节"+grant.Extra+"元 "+grant.OpenID+" "+r.PostForm.Get("session")+" "+r.PostForm.Get("sign"))
	})
	coupon, err := newTestClient(t, gw.URL, nil).Send(t.Context(), testCred, grant)
	require.NoError(t, err)
	require.Equal(t, "春节满100减10元 [redacted] [redacted] [redacted]", *coupon.Name)
	require.Equal(t, "[redacted]", coupon.RequestID)
}

// Values that short are nobody's, and would spoil every text.
func TestShortValuesAreLeftAlone(t *testing.T) {
	s := newScrubber(Credentials{AppSecret: NewSecret("secret"), Session: NewSecret("session")}, Grant{OpenID: "me"}, "")
	require.Equal(t, "Invalid session for me", s.clean("Invalid session for me", maxMessage))
}

func TestLongerValueIsHiddenFirst(t *testing.T) {
	s := newScrubber(Credentials{Session: NewSecret("12345678")}, Grant{OpenID: "12345678-and-more"}, "")
	require.Equal(t, "a [redacted] b [redacted]", s.clean("a 12345678-and-more b 12345678", maxMessage))
}

// What is plain need not be looked for in each spelling.
func TestPlainValuesHaveOneSpelling(t *testing.T) {
	plain := 0
	for c := range rune(0x180) {
		v := string(c)
		quoted, err := json.Marshal(v)
		require.NoError(t, err)
		if isPlain(v) {
			plain++
			for _, spelling := range []string{string(quoted[1 : len(quoted)-1]), gson.Replace(v), url.QueryEscape(v), url.PathEscape(v)} {
				require.Equal(t, v, spelling)
			}
		}
	}
	require.Equal(t, 26+26+10+3, plain)
	require.Equal(t, []string{"Aa-9", "aa-9"}, spellings("Aa-9"))
	require.Contains(t, spellings("Aa=9"), `Aa\u003d9`)
}
