package topclient

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
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
// declare anything. XML gives an object with its root as the one member. The tree
// lasts until room is emptied.
func decodeTree(body []byte, room *treeRoom) (node, error) {
	body = bytes.TrimSpace(bytes.TrimPrefix(body, utf8BOM))
	if len(body) == 0 {
		return node{}, errors.New("an empty body")
	}
	switch body[0] {
	case '{':
		return decodeJSON(body, room)
	case '<':
		return decodeXML(body)
	default:
		return node{}, errNoTree
	}
}

// decodeJSON reads strictly; on failure once more with the raw control
// characters in strings escaped, which the gateway is known to send.
func decodeJSON(body []byte, room *treeRoom) (node, error) {
	root, ok := readJSON(body, room)
	if !ok {
		root, ok = readJSON(escapeControls(body), room)
	}
	if !ok {
		return node{}, errors.New("damaged JSON")
	}
	return root, nil
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
