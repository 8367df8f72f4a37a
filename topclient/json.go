package topclient

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxDepth is how deep encoding/json goes too.
const maxDepth = 10_000

// treeRoom is where the objects of a tree stand. It serves one tree at a time.
type treeRoom struct {
	open   []member // of the objects that are not closed yet, the innermost last
	closed []member // of the others, each object's together
}

const (
	usualMembers = 10 // two roots, a request id and seven members
	mostMembers  = 20 * usualMembers
)

func newTreeRoom() treeRoom {
	return treeRoom{make([]member, 0, usualMembers), make([]member, 0, usualMembers)}
}

// empty lets go of what the tree holds, and of the room if it has grown.
func (r *treeRoom) empty() {
	if cap(r.open)+cap(r.closed) > mostMembers {
		*r = treeRoom{}
		return
	}
	clear(r.open[:cap(r.open)])
	clear(r.closed[:cap(r.closed)])
	r.open, r.closed = r.open[:0], r.closed[:0]
}

// readJSON reads strictly: it takes what json.Valid takes, and nothing else. The
// tree lasts until room is emptied.
func readJSON(body []byte, room *treeRoom) (node, bool) {
	room.open, room.closed = room.open[:0], room.closed[:0]
	r := jsonReader{text: string(body), treeRoom: room}
	if !utf8.Valid(body) {
		r.text = strings.ToValidUTF8(r.text, "\uFFFD")
	}
	root, ok := r.value()
	r.next()
	return root, ok && r.at == len(r.text)
}

// jsonReader makes a tree of JSON in one pass. It exists because encoding/json
// keeps the last of two equal names without a word, and an answer that says two
// things is no answer. Its methods say false at the first thing that is not JSON.
type jsonReader struct {
	*treeRoom
	text  string
	at    int // the next byte to read
	depth int // objects and lists that are not closed yet
}

func (r *jsonReader) value() (node, bool) {
	switch r.next() {
	case '{':
		return r.nested((*jsonReader).object)
	case '[':
		return r.nested((*jsonReader).list)
	case '"':
		text, ok := r.string()
		return node{kind: scalar, text: text}, ok
	default:
		return r.literal()
	}
}

// next skips white space and shows the byte after it; 0 is none, or one that has
// no business there.
func (r *jsonReader) next() byte {
	for ; r.at < len(r.text); r.at++ {
		switch c := r.text[r.at]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	return 0
}

// nested reads what stands after an opening bracket.
func (r *jsonReader) nested(rest func(*jsonReader) (node, bool)) (node, bool) {
	if r.depth == maxDepth {
		return node{}, false
	}
	r.depth++
	r.at++
	n, ok := rest(r)
	r.depth--
	return n, ok
}

func (r *jsonReader) object() (node, bool) {
	mine := len(r.open)
	for more := !r.closes('}'); more; {
		m, ok := r.member()
		if !ok {
			return node{}, false
		}
		r.open = append(r.open, m)
		if more, ok = r.goesOn('}'); !ok {
			return node{}, false
		}
	}
	start := len(r.closed)
	r.closed = append(r.closed, r.open[mine:]...)
	r.open = r.open[:mine]
	return node{kind: object, members: slices.Clip(r.closed[start:])}, true
}

func (r *jsonReader) member() (member, bool) {
	if r.next() != '"' {
		return member{}, false
	}
	name, ok := r.string()
	if !ok || r.next() != ':' {
		return member{}, false
	}
	r.at++
	value, ok := r.value()
	return member{name, value}, ok
}

// list skips the elements: the API has no lists.
func (r *jsonReader) list() (node, bool) {
	for more := !r.closes(']'); more; {
		_, ok := r.value()
		if !ok {
			return node{}, false
		}
		if more, ok = r.goesOn(']'); !ok {
			return node{}, false
		}
	}
	return node{kind: list}, true
}

// closes reads the closing bracket if it is the next.
func (r *jsonReader) closes(bracket byte) bool {
	if r.next() != bracket {
		return false
	}
	r.at++
	return true
}

// goesOn reads what stands after an element: a comma, then more, or the closing
// bracket. ok is false if it is neither.
func (r *jsonReader) goesOn(bracket byte) (more, ok bool) {
	c := r.next()
	r.at++
	return c == ',', c == ',' || c == bracket
}

// string reads from quote to quote.
func (r *jsonReader) string() (string, bool) {
	start := r.at
	plain := true
	for r.at++; r.at < len(r.text); r.at++ {
		switch c := r.text[r.at]; {
		case c == '\\':
			plain = false
			r.at++
		case c < ' ':
			return "", false
		case c == '"':
			r.at++
			if plain {
				return r.text[start+1 : r.at-1], true
			}
			var s string
			err := json.Unmarshal([]byte(r.text[start:r.at]), &s)
			return s, err == nil
		}
	}
	return "", false
}

// literal reads a number, true, false or null.
func (r *jsonReader) literal() (node, bool) {
	start := r.at
	for r.at < len(r.text) && inLiteral(r.text[r.at]) {
		r.at++
	}
	text := r.text[start:r.at]
	if text == "null" {
		return node{}, true
	}
	return node{kind: scalar, text: text}, isNatural(text) || json.Valid([]byte(text))
}

func inLiteral(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || c == '-' || c == '+' || c == '.' || c == 'E'
}

// isNatural recognises what nearly every number of an answer is.
func isNatural(text string) bool {
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return false
		}
	}
	return len(text) > 0 && text[0] != '0'
}

// escapeControls writes U+0000 to U+001F inside strings as \u00XX.
func escapeControls(body []byte) []byte {
	out := make([]byte, 0, len(body)+16)
	inString, escaped := false, false
	for _, c := range body {
		switch {
		case inString && c < ' ':
			out = fmt.Appendf(out, `\u%04x`, c)
			escaped = false
			continue
		case escaped:
			escaped = false
		case inString && c == '\\':
			escaped = true
		case c == '"':
			inString = !inString
		}
		out = append(out, c)
	}
	return out
}
