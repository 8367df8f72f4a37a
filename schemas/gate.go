package schemas

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/linkedin/goavro/v2"
)

// maxSchemaBytes bounds a writer's schema: ours take 4 KiB. In memory one takes up
// to 40 times its text.
const maxSchemaBytes = 64 << 10

// maxBlockCount bounds the items of one block of an array or map: goavro
// allocates for all of them before it reads the first. goavro's own default
// lets 5 bytes ask for 34 GB.
const maxBlockCount = 1000

// limitGoavro sets the one global there is: goavro has no other way. It runs
// once, before the first goavro codec is built, so that no decoder races it.
var limitGoavro = sync.OnceFunc(func() { goavro.MaxBlockCount = maxBlockCount })

// contract is one of our own schemas: what we write, and what a writer's schema
// must be readable as.
type contract struct {
	text string
	root *node
}

// writer is an accepted writer's schema.
type writer struct {
	event string // full name of its contract
	size  int    // of its text, in bytes
	root  *node
	codec *goavro.Codec
}

// gate decides which writer's schemas are accepted.
type gate struct{ contracts map[string]contract }

func newGate() (*gate, error) {
	limitGoavro()
	g := &gate{contracts: map[string]contract{}}
	for _, text := range []string{requestedSchema, grantedSchema, failedSchema} {
		root, err := parseSchema(text)
		if err != nil {
			return nil, fmt.Errorf("reading an embedded schema: %w", err)
		}
		g.contracts[root.name] = contract{text: text, root: root}
	}
	return g, nil
}

// admit accepts a writer's schema whose values are one of our events, or says
// why not. The refusal stands for good: what an id means never changes.
func (g *gate) admit(text string) (w *writer, err error) {
	defer func() {
		if recover() != nil {
			w, err = nil, errors.New("the schema cannot be compiled")
		}
	}()
	if len(text) > maxSchemaBytes {
		return nil, fmt.Errorf("the schema takes %d bytes, %d are allowed", len(text), maxSchemaBytes)
	}
	root, err := parseSchema(text)
	if err != nil {
		return nil, err
	}
	own, ok := g.contracts[root.name]
	if !ok || root.kind != "record" {
		return nil, errors.New("the schema is of another kind of record")
	}
	if err := readable(own.root, root); err != nil {
		return nil, fmt.Errorf("the schema is no %s: %w", own.root.shortName(), err)
	}
	codec, err := compile(root)
	if err != nil {
		return nil, err
	}
	return &writer{event: root.name, size: len(text), root: root, codec: codec}, nil
}

// compile hands goavro the bare layout. Its errors quote the schema at length
// and are not passed on.
func compile(root *node) (*goavro.Codec, error) {
	text, err := json.Marshal(root.layout(map[*node]bool{}))
	if err != nil {
		return nil, errors.New("the schema has no layout")
	}
	codec, err := goavro.NewCodec(string(text))
	if err != nil {
		return nil, errors.New("the schema cannot be compiled")
	}
	return codec, nil
}

// layout is the schema as goavro gets it: what decides the bytes and nothing
// else. done holds the named types that stand further up already.
func (n *node) layout(done map[*node]bool) any {
	if n.name != "" && done[n] {
		return n.key()
	}
	done[n] = n.name != ""
	switch n.kind {
	case "record":
		fields := make([]any, len(n.fields))
		for i, f := range n.fields {
			fields[i] = map[string]any{"name": f.name, "type": f.typ.layout(done)}
		}
		return map[string]any{"type": n.kind, "name": n.key(), "fields": fields}
	case "enum":
		return map[string]any{"type": n.kind, "name": n.key(), "symbols": n.symbols}
	case "fixed":
		return map[string]any{"type": n.kind, "name": n.key(), "size": n.size}
	case "array":
		return map[string]any{"type": n.kind, "items": n.items.layout(done)}
	case "map":
		return map[string]any{"type": n.kind, "values": n.items.layout(done)}
	case "union":
		branches := make([]any, len(n.branches))
		for i, b := range n.branches {
			branches[i] = b.layout(done)
		}
		return branches
	}
	return n.kind
}
