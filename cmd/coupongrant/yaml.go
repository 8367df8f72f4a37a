package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"go.yaml.in/yaml/v3"
)

// yamlError is what YAML allows and settings do not. It holds nothing of the file but
// keys.
type yamlError struct {
	line int
	why  string
}

func (e yamlError) Error() string { return fmt.Sprintf("line %d: %s", e.line, e.why) }

const (
	yamlDepth = 16   // of sections, lists and aliases in one another
	yamlNodes = 4096 // with those that aliases repeat
)

// readYAML gives the values of a file by whole key, each a string or a []string, as a
// person has typed them: what YAML makes of 0123, or of a long number, is no app key
// any more. Where a key or a section says nothing, the value is nil.
func readYAML(text []byte) (map[string]any, error) {
	documents := yaml.NewDecoder(bytes.NewReader(text))
	var root, more yaml.Node
	r := yamlReader{values: map[string]any{}}
	if err := documents.Decode(&root); errors.Is(err, io.EOF) {
		return r.values, nil
	} else if err != nil {
		return nil, err
	}
	if err := documents.Decode(&more); err == nil {
		return nil, yamlError{more.Line, "a second document begins, and only the first counts"}
	} else if !errors.Is(err, io.EOF) {
		return nil, err
	}
	top := root.Content[0]
	if top.Kind != yaml.MappingNode && top.ShortTag() != "!!null" {
		return nil, yamlError{top.Line, "a section was expected"}
	}
	if len(top.Content) == 0 {
		return r.values, nil
	}
	return r.values, r.read("", top, false, 0)
}

type yamlReader struct {
	values map[string]any
	nodes  int
}

// read takes what stands below a key. What is merged in (<<) gives way to what the
// section itself says.
func (r *yamlReader) read(key string, n *yaml.Node, merged bool, depth int) error {
	if r.nodes++; depth > yamlDepth || r.nodes > yamlNodes {
		return yamlError{n.Line, "too much is nested or repeated"}
	}
	switch {
	case n.Kind == yaml.AliasNode:
		return r.read(key, n.Alias, merged, depth+1)
	case n.Kind == yaml.MappingNode:
		return r.section(key, n, merged, depth)
	case n.Kind == yaml.SequenceNode:
		words := []string{}
		for _, member := range n.Content {
			if member.Kind == yaml.AliasNode {
				member = member.Alias
			}
			if member.Kind != yaml.ScalarNode || isNull(member) {
				return yamlError{member.Line, "use one value for each member of " + key}
			}
			words = append(words, typed(member))
		}
		return r.put(key, words, n, merged)
	case isNull(n):
		return r.put(key, nil, n, merged)
	default:
		return r.put(key, typed(n), n, merged)
	}
}

func (r *yamlReader) section(key string, n *yaml.Node, merged bool, depth int) error {
	if len(n.Content) == 0 {
		return r.put(key, nil, n, merged)
	}
	prefix, seen := "", map[string]bool{}
	if key != "" {
		prefix = key + "."
	}
	var merges []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		switch {
		case name.Kind != yaml.ScalarNode:
			return yamlError{name.Line, "a key is no word"}
		case name.ShortTag() == "!!merge":
			merges = append(merges, value)
			continue
		case seen[name.Value]:
			return yamlError{name.Line, prefix + name.Value + " is there twice"}
		}
		seen[name.Value] = true
		if err := r.read(prefix+name.Value, value, merged, depth+1); err != nil {
			return err
		}
	}
	for _, value := range merges {
		if err := r.read(key, value, true, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// put refuses a second value of a key, which can be written as kafka.group and as
// group in the section kafka. Nil is none.
func (r *yamlReader) put(key string, value any, n *yaml.Node, merged bool) error {
	given := r.values[key] != nil
	switch {
	case (given || value == nil) && merged, given && value == nil:
		return nil
	case given:
		return yamlError{n.Line, key + " is there twice"}
	}
	r.values[key] = value
	return nil
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// typed is a value as it was typed; but for what `config print` writes of bytes that
// are no text.
func typed(n *yaml.Node) string {
	var text string
	if n.ShortTag() == "!!binary" && n.Decode(&text) == nil {
		return text
	}
	return n.Value
}
