package topsim

import (
	"strconv"
	"unicode/utf8"
)

// kind is how a member is written.
type kind uint8

const (
	object  kind = iota
	text         // a JSON string
	rawText      // a JSON string whose control characters are not escaped, which is illegal
	bare         // a number or null, written as it is
)

// member is a name and its value. An answer is a tree of them, so that a fault
// is an edit of the tree and needs no knowledge of JSON or XML.
type member struct {
	name    string
	kind    kind
	value   string
	members []member
}

func textMember(name, value string) member { return member{name: name, kind: text, value: value} }

func numberMember(name string, value int64) member {
	return member{name: name, kind: bare, value: strconv.FormatInt(value, 10)}
}

func objectMember(name string, members ...member) member {
	return member{name: name, kind: object, members: members}
}

// document is an answer before it is bytes.
type document struct {
	xml      bool
	simplify bool   // JSON only: the success root is left out
	tail     string // XML only: a comment after the root
	roots    []member
}

// child is the member of the first root with that name; nil: none.
func (d *document) child(name string) *member { return d.roots[0].child(name) }

func (m *member) child(name string) *member {
	for i := range m.members {
		if m.members[i].name == name {
			return &m.members[i]
		}
	}
	return nil
}

// drop removes the member with that name.
func (m *member) drop(name string) {
	for i := range m.members {
		if m.members[i].name == name {
			m.members = append(m.members[:i:i], m.members[i+1:]...)
			return
		}
	}
}

// isError says whether the first root is an error envelope, which simplify
// leaves alone.
func (d *document) isError() bool { return d.roots[0].name == errorRoot }

func (d *document) encode() []byte {
	out := make([]byte, 0, 512)
	switch {
	case d.xml:
		out = append(out, `<?xml version="1.0" encoding="utf-8" ?>`...)
		out = appendXML(out, d.roots)
		return append(out, d.tail...)
	case d.simplify && !d.isError():
		return appendJSON(out, d.roots[0].members)
	default:
		return appendJSON(out, d.roots)
	}
}

func appendJSON(out []byte, members []member) []byte {
	out = append(out, '{')
	for i := range members {
		m := &members[i]
		if i > 0 {
			out = append(out, ',')
		}
		out = appendJSONText(out, m.name, true)
		out = append(out, ':')
		switch m.kind {
		case object:
			out = appendJSON(out, m.members)
		case text:
			out = appendJSONText(out, m.value, true)
		case rawText:
			out = appendJSONText(out, m.value, false)
		case bare:
			out = append(out, m.value...)
		}
	}
	return append(out, '}')
}

// appendJSONText escapes the slash too, as the gateway's JSON writer does.
func appendJSONText(out []byte, text string, escapeControls bool) []byte {
	const hexDigits = "0123456789abcdef"
	out = append(out, '"')
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"', c == '\\', c == '/':
			out = append(out, '\\', c)
		case c < ' ' && escapeControls:
			out = append(out, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		default:
			out = append(out, c)
		}
	}
	return append(out, '"')
}

func appendXML(out []byte, members []member) []byte {
	for i := range members {
		m := &members[i]
		if m.kind == bare && m.value == "null" {
			continue
		}
		out = append(append(append(out, '<'), m.name...), '>')
		if m.kind == object {
			out = appendXML(out, m.members)
		} else {
			out = appendXMLText(out, m.value)
		}
		// A start tag may carry an attribute, as <args list="true"> does.
		out = append(append(append(out, '<', '/'), elementName(m.name)...), '>')
	}
	return out
}

func elementName(tag string) string {
	for i := range len(tag) {
		if tag[i] == ' ' {
			return tag[:i]
		}
	}
	return tag
}

func appendXMLText(out []byte, text string) []byte {
	for _, r := range text {
		switch {
		case r == '&':
			out = append(out, "&amp;"...)
		case r == '<':
			out = append(out, "&lt;"...)
		case r == '>':
			out = append(out, "&gt;"...)
		case r < ' ' && r != '\t' && r != '\n' && r != '\r':
			out = append(out, ' ') // XML has no way to write it
		default:
			out = utf8.AppendRune(out, r)
		}
	}
	return out
}
