package schemas

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/twmb/franz-go/pkg/sr"
)

// ErrRegistryDown: nothing is known that could be relied on, ask again later.
// The registry did not answer, answered nonsense, or has not yet denied an id
// often enough.
var ErrRegistryDown = errors.New("schema registry gave no answer to rely on")

// ErrDenied: the registry says that there is no such schema. It is not believed at once.
var ErrDenied = errors.New("denied")

// MissingSubjectsError names own subjects that the registry does not hold, or
// holds with other versions only.
type MissingSubjectsError struct{ Subjects []string }

func (e *MissingSubjectsError) Error() string {
	return fmt.Sprintf("the registry lacks the current schema of %s: run `coupongrant topics create`; if it was there before, restore the registry instead", strings.Join(e.Subjects, ", "))
}

// Topics names the topics whose values this program writes or registers. Empty
// ones are left out.
type Topics struct {
	Inputs          []string
	Granted, Failed string
}

// subject is a topic's value subject with the schema that belongs there.
type subject struct {
	name string
	key  ownKey
}

func (t Topics) subjects() []subject {
	var all []subject
	for _, topic := range t.Inputs {
		all = append(all, subject{topic + "-value", ownKey{event: requestedName, topic: topic}})
	}
	if t.Granted != "" {
		all = append(all, subject{t.Granted + "-value", ownKey{event: grantedName}})
	}
	if t.Failed != "" {
		all = append(all, subject{t.Failed + "-value", ownKey{event: failedName}})
	}
	return all
}

// Registry is a caching client of a Confluent-compatible Schema Registry. What
// it has learned once keeps working while the registry is down. Safe for
// concurrent use.
type Registry struct {
	client *sr.Client
	http   *http.Client
	gate   *gate
	known  *cache
}

// NewRegistry does no I/O. It fails for a URL that cannot be one.
func NewRegistry(cfg RegistryConfig) (*Registry, error) {
	if err := checkURL(cfg.URL); err != nil {
		return nil, err
	}
	g, err := newGate()
	if err != nil {
		return nil, err
	}
	httpClient := newHTTPClient(cfg.Transport)
	opts := []sr.ClientOpt{sr.URLs(cfg.URL), sr.HTTPClient(httpClient), sr.UserAgent("coupongrant")}
	if cfg.User != "" {
		opts = append(opts, sr.BasicAuth(cfg.User, cfg.Password.Reveal()))
	}
	client, err := sr.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("building the registry client: %w", err)
	}
	return &Registry{client: client, http: httpClient, gate: g, known: newCache()}, nil
}

// Close closes idle connections. The registry stays usable.
func (r *Registry) Close() { r.http.CloseIdleConnections() }

// Fetch makes the writer's schema of a record known to the Codec. nil: Decode
// now gives an answer, which is UnknownSchema if the registry has denied the id
// often enough or the schema is refused. Any error is ErrRegistryDown, and of an id that
// was denied ErrDenied too: ask again later, a second or more. An absence is believed for
// 30 s, then asked for anew. Blocks for one HTTP exchange at most, 5 s.
func (r *Registry) Fetch(ctx context.Context, id int) error {
	if r.known.has(id) {
		return nil
	}
	s, err := r.schemaByID(ctx, id)
	if isAbsent(err) {
		if n := r.known.deny(id); n < absentAfter {
			return fmt.Errorf("%w: schema %d is %w, %d of %d times", ErrRegistryDown, id, ErrDenied, n, absentAfter)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("fetching schema %d: %w", id, untrusted(err))
	}
	w, refusal := r.decide(s)
	r.known.settle(id, w, refusal)
	return nil
}

// fetchedSchema is the answer for an id. The client's own type is not used: it
// fails for schema types it does not know, and those are an answer to us.
type fetchedSchema struct {
	Schema     string            `json:"schema"`
	Type       string            `json:"schemaType"` // empty: AVRO
	References []json.RawMessage `json:"references"`
	Version    int               `json:"version"` // where it was asked for by subject
}

func (r *Registry) schemaByID(ctx context.Context, id int) (fetchedSchema, error) {
	return r.fetchedSchema(ctx, fmt.Sprintf("/schemas/ids/%d", id))
}

func (r *Registry) fetchedSchema(ctx context.Context, path string) (fetchedSchema, error) {
	var s fetchedSchema
	err := r.client.Do(ctx, http.MethodGet, path, nil, &s)
	if err == nil && s.Schema == "" {
		err = badAnswer("the answer holds no schema")
	}
	return s, err
}

// decide lets the gate look at an Avro schema that stands alone.
func (r *Registry) decide(s fetchedSchema) (*writer, error) {
	if s.Type != "" && !strings.EqualFold(s.Type, "AVRO") {
		return nil, errors.New("the schema is not Avro")
	}
	if len(s.References) > 0 {
		return nil, errors.New("the schema refers to other schemas")
	}
	return r.gate.admit(s.Schema)
}

// FetchOwn looks up, by content, under which ids the schemas of these topics are
// registered; it never registers. *MissingSubjectsError if some are not, with
// the others known nevertheless; ErrRegistryDown: ask again later.
func (r *Registry) FetchOwn(ctx context.Context, t Topics) error {
	var missing []string
	for _, s := range t.subjects() {
		found, err := r.client.LookupSchema(ctx, s.name, r.ownSchema(s))
		if isAbsent(err) {
			missing = append(missing, s.name)
			continue
		}
		if err == nil {
			err = r.rememberOwn(s, found.ID)
		}
		if err != nil {
			return fmt.Errorf("looking up %s: %w", s.name, untrusted(err))
		}
	}
	if len(missing) > 0 {
		return &MissingSubjectsError{Subjects: missing}
	}
	return nil
}

// Register registers the schemas of these topics, with FULL_TRANSITIVE
// compatibility for each subject; repeating it changes nothing. Its errors are
// ErrRegistryDown, or say that the registry refuses a schema. `run` never calls it.
func (r *Registry) Register(ctx context.Context, t Topics) error {
	for _, s := range t.subjects() {
		if err := r.register(ctx, s); err != nil {
			return fmt.Errorf("registering %s: %w", s.name, refusedOrUntrusted(err))
		}
	}
	return nil
}

// register sets the compatibility first, so that the registry checks this very
// version by it. Some registries know no subject before its first version:
// those are told afterwards.
func (r *Registry) register(ctx context.Context, s subject) error {
	early := r.setCompatibility(ctx, s)
	if early != nil && status(early) != http.StatusNotFound {
		return early
	}
	id, err := r.client.RegisterSchema(ctx, s.name, r.ownSchema(s), -1, -1)
	if err != nil {
		return err
	}
	if early != nil {
		if err := r.setCompatibility(ctx, s); err != nil {
			return err
		}
	}
	return r.rememberOwn(s, id)
}

func (r *Registry) setCompatibility(ctx context.Context, s subject) error {
	return r.client.SetCompatibility(ctx, sr.SetCompatibility{Level: sr.CompatFullTransitive}, s.name)[0].Err
}

// ownSchema is one of our schemas without its white space, so that laying the
// file out anew is no new version to registries that compare bytes.
func (r *Registry) ownSchema(s subject) sr.Schema {
	var text bytes.Buffer
	_ = json.Compact(&text, []byte(r.gate.contracts[s.key.event].text)) // parsed by newGate
	return sr.Schema{Schema: text.String(), Type: sr.TypeAvro}
}

func (r *Registry) rememberOwn(s subject, id int) error {
	if id <= 0 {
		return badAnswer("the answer holds no schema id")
	}
	own := r.gate.contracts[s.key.event]
	w, err := r.gate.admit(own.text)
	if err != nil {
		return err
	}
	r.known.setOwn(s.key, id, w)
	return nil
}
