package topclient

import (
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxMessage = 200 // runes of Error.Message
	maxWord    = 80  // runes of a code, an id, a host
)

// entities unescapes what XML has; texts inside JSON come with it too.
var entities = strings.NewReplacer("&lt;", "<", "&gt;", ">", "&quot;", `"`, "&apos;", "'", "&#39;", "'", "&amp;", "&")

// gson escapes what encoding/json does not.
var gson = strings.NewReplacer("=", `\u003d`, "'", `\u0027`)

// A shorter value is no secret and nobody's id, and taking it out of a text that
// has it by chance would only spoil the text.
const (
	shortestSecret = 8
	shortestID     = 4
)

// scrubber takes what we sent out of what the gateway says: old answers echo
// every parameter, the session with them, and an echo would land in logs.
type scrubber struct{ values [5]string } // empty: nothing to hide

const scrubbedExtra = 4 // where the extra stands

func newScrubber(cred Credentials, g Grant, sign string) scrubber {
	return scrubber{[...]string{
		atLeast(shortestSecret, cred.Session.Reveal()),
		atLeast(shortestSecret, cred.AppSecret.Reveal()),
		atLeast(shortestSecret, sign),
		atLeast(shortestID, g.OpenID),
		scrubbedExtra: atLeast(shortestID, g.Extra),
	}}
}

// ofNames leaves the extra alone: a coupon is called what Tmall calls it, also where its
// name has a word that a producer gave as extra.
func (s scrubber) ofNames() scrubber {
	s.values[scrubbedExtra] = ""
	return s
}

func atLeast(length int, value string) string {
	if value = strings.TrimSpace(value); len(value) < length {
		return ""
	}
	return value
}

// hide replaces the values in each spelling an echo can have.
func (s scrubber) hide(text string) string {
	var found []string
	for _, v := range s.values {
		if v == "" || len(text) < len(v) { // no spelling is shorter; nearly every text of a success ends here
			continue
		}
		for _, spelling := range spellings(v) {
			if strings.Contains(text, spelling) {
				found = append(found, spelling)
			}
		}
	}
	if found == nil {
		return text
	}
	// The longest first: of a value that begins another, the rest would stay.
	slices.SortFunc(found, func(a, b string) int { return len(b) - len(a) })
	pairs := make([]string, 0, 2*len(found))
	for _, f := range found {
		pairs = append(pairs, f, redacted)
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// escape is one of a form or URL; its digits may be of either case.
var escape = regexp.MustCompile(`%[0-9A-F]{2}`)

// spellings are a value raw, inside JSON by the habits of three libraries (Gson
// escapes what HTML could mistake), and inside a form or URL.
func spellings(v string) []string {
	if isPlain(v) { // most values are written alike everywhere
		return []string{v, strings.ToLower(v)}
	}
	quoted, _ := json.Marshal(v) // a string is always JSON
	inJSON := string(quoted[1 : len(quoted)-1])
	inForm, inPath := url.QueryEscape(v), url.PathEscape(v)
	return []string{
		v, strings.ToLower(v), inJSON, strings.ReplaceAll(inJSON, "/", `\/`), gson.Replace(inJSON),
		inForm, inPath, escape.ReplaceAllStringFunc(inForm, strings.ToLower), escape.ReplaceAllStringFunc(inPath, strings.ToLower),
	}
}

// isPlain says that a value has none but characters that no writer of forms, URLs
// or JSON escapes.
func isPlain(v string) bool {
	for i := range len(v) {
		switch c := v[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return true
}

// clean makes foreign text fit for one line of a log: what we sent is hidden
// before and after entities are unescaped, control characters become visible,
// and it ends after limit runes. Hiding comes before cutting, which would leave
// half a secret unrecognised.
func (s scrubber) clean(text string, limit int) string {
	text = s.hide(strings.TrimSpace(text))
	if strings.Contains(text, "&") {
		text = s.hide(entities.Replace(text))
	}
	if len(text) <= limit && isPrintableASCII(text) { // nearly every text is
		return strings.Clone(text) // or it would hold on to the whole answer
	}
	var b strings.Builder
	room := limit
	for _, r := range text {
		shown := string(r)
		if !unicode.IsPrint(r) {
			shown = fmt.Sprintf(`\u%04x`, r)
		}
		if room -= utf8.RuneCountInString(shown); room < 0 {
			b.WriteString("…")
			break
		}
		b.WriteString(shown)
	}
	return b.String()
}

// visible shows control characters, which would reach somebody's terminal, and leaves
// all else as it is.
func visible(text string) string {
	if !strings.ContainsFunc(text, unicode.IsControl) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if unicode.IsControl(r) {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func isPrintableASCII(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}

func isBlank(s string) bool { return strings.TrimSpace(s) == "" }
