package topclient

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// kind of a node.
type kind uint8

const (
	absent kind = iota // no such member, or JSON's null
	scalar             // text, number or boolean: all the same to us
	object
	list
)

// node is a value of an answer, whether it came as JSON or as XML. Numbers stay
// the text they are: ids go above 2^53, where a float64 rounds.
type node struct {
	kind    kind
	text    string   // of a scalar
	members []member // of an object, in order; a name may stand there twice
}

type member struct {
	name  string
	value node
}

var utf8BOM = []byte("\xef\xbb\xbf")

var errNoTree = errors.New("neither JSON nor XML")

// decodeTree reads a body by its first character and not by its declared type:
// the gateway answers in XML where it did not come to read "format", and edges
// declare anything. XML gives an object with its root as the one member.
func decodeTree(body []byte) (node, error) {
	body = bytes.TrimSpace(bytes.TrimPrefix(body, utf8BOM))
	if len(body) == 0 {
		return node{}, errors.New("an empty body")
	}
	switch body[0] {
	case '{':
		return decodeJSON(body)
	case '<':
		return decodeXML(body)
	default:
		return node{}, errNoTree
	}
}

// decodeJSON reads strictly; on failure once more with the raw control
// characters in strings escaped, which the gateway is known to send.
func decodeJSON(body []byte) (node, error) {
	if !json.Valid(body) {
		body = escapeControls(body)
		if !json.Valid(body) {
			return node{}, errors.New("damaged JSON")
		}
	}
	const enough = 10 // two roots, a request id and seven members
	w := walker{text: strings.ToValidUTF8(string(body), "\uFFFD"), open: make([]member, 0, enough)}
	return w.value(), nil
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

// walker makes a tree of JSON that json.Valid has passed: so it looks for no
// errors, runs into no end, and goes no deeper than json.Valid allows (10,000).
// It exists because encoding/json keeps the last of two equal names without a
// word, and an answer that says two things is no answer.
type walker struct {
	text string
	at   int      // the next byte to read
	open []member // of the objects that are not closed yet, the innermost last
}

func (w *walker) value() node {
	switch w.next() {
	case '{':
		return w.object()
	case '[':
		return w.list()
	case '"':
		return node{kind: scalar, text: w.string()}
	default:
		return w.literal()
	}
}

// next skips white space and shows the byte after it.
func (w *walker) next() byte {
	for w.text[w.at] <= ' ' { // valid JSON has no other control characters here
		w.at++
	}
	return w.text[w.at]
}

func (w *walker) object() node {
	mine := len(w.open)
	w.at++ // the brace, then each comma
	for w.next() != '}' {
		if w.text[w.at] == ',' {
			w.at++
			w.next()
		}
		name := w.string()
		w.next()
		w.at++ // the colon
		w.open = append(w.open, member{name, w.value()})
	}
	w.at++
	n := node{kind: object, members: slices.Clone(w.open[mine:])}
	w.open = w.open[:mine]
	return n
}

// list skips the elements: the API has no lists.
func (w *walker) list() node {
	w.at++
	for w.next() != ']' {
		if w.text[w.at] == ',' {
			w.at++
		}
		w.value()
	}
	w.at++
	return node{kind: list}
}

// string reads from quote to quote.
func (w *walker) string() string {
	start := w.at
	plain := true
	for w.at++; w.text[w.at] != '"'; w.at++ {
		if w.text[w.at] == '\\' {
			plain = false
			w.at++
		}
	}
	w.at++
	if plain {
		return w.text[start+1 : w.at-1]
	}
	var s string
	_ = json.Unmarshal([]byte(w.text[start:w.at]), &s) // it is valid
	return s
}

// literal reads a number, true, false or null.
func (w *walker) literal() node {
	start := w.at
	for c := w.text[w.at]; c > ' ' && c != ',' && c != ']' && c != '}'; c = w.text[w.at] {
		w.at++
	}
	text := w.text[start:w.at]
	if text == "null" {
		return node{}
	}
	return node{kind: scalar, text: text}
}

// decodeXML reads one root element in UTF-8. Attributes and comments mean
// nothing here; a document type is refused, which HTML begins with.
func decodeXML(body []byte) (node, error) {
	dec := xml.NewDecoder(bytes.NewReader(body))
	open := []member{{value: node{kind: object}}} // the document, then the open elements
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return document(open[0].value)
		}
		if err != nil {
			return node{}, errors.New("damaged XML")
		}
		top := &open[len(open)-1]
		switch t := token.(type) {
		case xml.StartElement:
			open = append(open, member{name: t.Name.Local, value: node{kind: scalar}})
		case xml.CharData:
			top.value.text += string(t)
		case xml.EndElement:
			open = open[:len(open)-1]
			open[len(open)-1].adopt(*top)
		case xml.Directive:
			return node{}, errNoTree
		}
	}
}

// document refuses text around the root element.
func document(n node) (node, error) {
	if strings.TrimSpace(n.text) != "" {
		return node{}, errNoTree
	}
	return n, nil
}

// adopt makes child a member of m, which thereby is an object.
func (m *member) adopt(child member) {
	child.value.text = strings.TrimSpace(child.value.text)
	m.value.kind = object
	m.value.members = append(m.value.members, child)
}
