package schemas

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// node is one type of an Avro schema. Named types that are used twice are one
// node with two parents: a directed graph without cycles.
type node struct {
	kind     string // as Avro spells it: null, int, record, union, ...
	name     string // full name; records, enums and fixed only
	number   int    // of the named type, in order of definition, from 1
	logical  string // logicalType, however little we know of it
	fields   []field
	items    *node // of arrays and maps
	branches []*node
	symbols  []string
	fallback string // the enum's default; empty: none
	size     int    // of a fixed, in bytes, at least 1
	height   int    // levels from here to the lowest leaf; 1 for a leaf
	empty    bool   // a value takes no bytes
}

type field struct {
	name       string
	typ        *node
	hasDefault bool
}

// maxHeight bounds how deep a value can nest, and with it every recursion over
// schemas and values. The contracts need 5.
const maxHeight = 32

// maxName bounds a name in characters, since names stand in errors.
const maxName = 255

// namePattern is Avro's rule for each part of a name.
const namePattern = `^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$`

// schemaParser turns the JSON of a schema into nodes.
type schemaParser struct {
	names map[string]*node // nil while the definition is still open
	valid *regexp.Regexp
}

// parseSchema reads an Avro schema. Its errors name parts of the schema, cut to
// a sane length.
func parseSchema(text string) (*node, error) {
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return nil, errors.New("the schema is not JSON")
	}
	p := &schemaParser{names: map[string]*node{}, valid: regexp.MustCompile(namePattern)}
	return p.parse(v, "", 1)
}

// parse reads one type. level is how deep the JSON is nested already.
func (p *schemaParser) parse(v any, space string, level int) (*node, error) {
	if level > maxHeight {
		return nil, errors.New("the schema is nested too deep")
	}
	n, err := p.parseAny(v, space, level)
	if err != nil {
		return nil, err
	}
	if n.height > maxHeight {
		return nil, errors.New("values of the schema nest too deep")
	}
	return n, nil
}

func (p *schemaParser) parseAny(v any, space string, level int) (*node, error) {
	switch v := v.(type) {
	case string:
		return p.resolve(v, space)
	case []any:
		return p.parseUnion(v, space, level)
	case map[string]any:
		return p.parseObject(v, space, level)
	}
	return nil, errors.New("a type is neither a name, an object nor a union")
}

func (p *schemaParser) parseObject(v map[string]any, space string, level int) (*node, error) {
	kind, ok := v["type"].(string)
	if !ok {
		return p.parse(v["type"], space, level+1)
	}
	switch kind {
	case "record", "error", "enum", "fixed":
		return p.parseNamed(kind, v, space, level)
	case "array", "map":
		return p.parseItems(kind, v, space, level)
	}
	n, err := p.resolve(kind, space)
	if err != nil || n.name != "" {
		return n, err
	}
	n.logical, _ = v["logicalType"].(string)
	return n, nil
}

// resolve finds a primitive type or a type defined before.
func (p *schemaParser) resolve(name, space string) (*node, error) {
	if isPrimitive(name) {
		return &node{kind: name, height: 1, empty: name == "null"}, nil
	}
	for _, full := range []string{qualify(name, space), name} {
		n, known := p.names[full]
		if known && n == nil {
			return nil, errors.New("the schema is recursive")
		}
		if known {
			return n, nil
		}
	}
	return nil, errors.New("the schema uses a type that it does not define")
}

func isPrimitive(name string) bool {
	switch name {
	case "null", "boolean", "int", "long", "float", "double", "bytes", "string":
		return true
	}
	return false
}

func qualify(name, space string) string {
	if space == "" || strings.Contains(name, ".") {
		return name
	}
	return space + "." + name
}

func (p *schemaParser) parseNamed(kind string, v map[string]any, space string, level int) (*node, error) {
	name, _ := v["name"].(string)
	if own, ok := v["namespace"].(string); ok {
		space = own
	}
	name = qualify(name, space)
	if err := p.checkName(name); err != nil {
		return nil, err
	}
	if _, taken := p.names[name]; taken || isPrimitive(name) {
		return nil, fmt.Errorf("the schema defines %s twice", name)
	}
	p.names[name] = nil
	n := &node{kind: kind, name: name, number: len(p.names), height: 1}
	if dot := strings.LastIndexByte(name, '.'); dot >= 0 {
		space = name[:dot]
	}
	if err := p.fill(n, v, space, level); err != nil {
		return nil, err
	}
	p.names[name] = n
	return n, nil
}

func (p *schemaParser) checkName(name string) error {
	if len(name) > maxName || !p.valid.MatchString(name) {
		return errors.New("the schema holds a name that Avro does not allow")
	}
	return nil
}

func (p *schemaParser) fill(n *node, v map[string]any, space string, level int) error {
	switch n.kind {
	case "enum":
		return p.fillEnum(n, v)
	case "fixed":
		size, _ := v["size"].(float64)
		if size < 1 || size > MaxValueBytes || size != float64(int(size)) {
			return fmt.Errorf("fixed %s has no size that a value can have", n.name)
		}
		n.size = int(size)
		return nil
	}
	n.kind = "record"
	return p.fillRecord(n, v, space, level)
}

func (p *schemaParser) fillEnum(n *node, v map[string]any) error {
	symbols, _ := v["symbols"].([]any)
	if len(symbols) == 0 {
		return fmt.Errorf("enum %s has no symbols", n.name)
	}
	for _, s := range symbols {
		symbol, _ := s.(string)
		if err := p.checkName(symbol); err != nil {
			return err
		}
		n.symbols = append(n.symbols, symbol)
	}
	n.fallback, _ = v["default"].(string)
	return nil
}

func (p *schemaParser) fillRecord(n *node, v map[string]any, space string, level int) error {
	fields, ok := v["fields"].([]any)
	if !ok {
		return fmt.Errorf("record %s has no fields", n.name)
	}
	n.empty = true
	seen := map[string]bool{}
	for _, f := range fields {
		if err := p.addField(n, f, space, level); err != nil {
			return err
		}
		last := n.fields[len(n.fields)-1]
		if seen[last.name] {
			return fmt.Errorf("record %s has the field %s twice", n.name, last.name)
		}
		seen[last.name] = true
		n.height = max(n.height, 1+last.typ.height)
		n.empty = n.empty && last.typ.empty
	}
	return nil
}

func (p *schemaParser) addField(n *node, v any, space string, level int) error {
	f, _ := v.(map[string]any)
	name, _ := f["name"].(string)
	if err := p.checkName(name); err != nil {
		return err
	}
	typ, err := p.parse(f["type"], space, level+1)
	if err != nil {
		return err
	}
	_, hasDefault := f["default"]
	n.fields = append(n.fields, field{name: name, typ: typ, hasDefault: hasDefault})
	return nil
}

// parseItems refuses arrays of nothing: a few bytes could stand for any number
// of items.
func (p *schemaParser) parseItems(kind string, v map[string]any, space string, level int) (*node, error) {
	key := "items"
	if kind == "map" {
		key = "values"
	}
	items, err := p.parse(v[key], space, level+1)
	if err != nil {
		return nil, err
	}
	if kind == "array" && items.empty {
		return nil, errors.New("the schema has an array whose items take no bytes")
	}
	return &node{kind: kind, items: items, height: 1 + items.height}, nil
}

func (p *schemaParser) parseUnion(v []any, space string, level int) (*node, error) {
	n := &node{kind: "union"}
	seen := map[string]bool{}
	for _, b := range v {
		branch, err := p.parse(b, space, level+1)
		if err != nil {
			return nil, err
		}
		key := branch.key()
		if branch.kind == "union" || seen[key] {
			return nil, errors.New("the schema has a union in a union, or a union with the same type twice")
		}
		seen[key] = true
		n.branches = append(n.branches, branch)
		n.height = max(n.height, 1+branch.height)
	}
	if len(n.branches) == 0 {
		return nil, errors.New("the schema has a union of nothing")
	}
	return n, nil
}

// key is how goavro names the type in a union: its number if it has a name,
// see layout.
func (n *node) key() string {
	if n.name == "" {
		return n.kind
	}
	return "t" + strconv.Itoa(n.number)
}

// shortName is the name without its namespace.
func (n *node) shortName() string { return n.name[strings.LastIndexByte(n.name, '.')+1:] }

// fieldNamed returns the record's field and whether it has one of that name.
func (n *node) fieldNamed(name string) (field, bool) {
	for _, f := range n.fields {
		if f.name == name {
			return f, true
		}
	}
	return field{}, false
}
