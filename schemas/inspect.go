package schemas

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"github.com/twmb/franz-go/pkg/sr"
)

// Subject is what the registry holds of the values of one topic.
type Subject struct {
	Name          string
	Missing       bool   // our schema is not registered there
	Compatibility string // in force for it, such as FULL_TRANSITIVE; empty: not told
	Latest        int    // the latest version; 0: there is none
	Refused       error  // why values of the latest version are not read; nil: they are
}

// FullTransitive is the compatibility that Register sets.
var FullTransitive = sr.CompatFullTransitive.String()

// Inspect looks at the subjects of these topics and changes nothing. Any error
// is ErrRegistryDown.
func (r *Registry) Inspect(ctx context.Context, t Topics) ([]Subject, error) {
	var all []Subject
	for _, s := range t.subjects() {
		found, err := r.inspect(ctx, s)
		if err != nil {
			return nil, fmt.Errorf("looking at %s: %w", s.name, untrusted(err))
		}
		all = append(all, found)
	}
	return all, nil
}

func (r *Registry) inspect(ctx context.Context, s subject) (Subject, error) {
	found := Subject{Name: s.name}
	_, err := r.client.LookupSchema(ctx, s.name, r.ownSchema(s))
	found.Missing = isAbsent(err)
	if err != nil && !found.Missing {
		return found, err
	}
	latest, err := r.fetchedSchema(ctx, "/subjects/"+url.PathEscape(s.name)+"/versions/latest")
	if isAbsent(err) {
		return found, nil
	}
	if err != nil {
		return found, err
	}
	found.Latest = latest.Version
	found.Refused = r.refusal(s, latest)
	level := r.client.Compatibility(sr.WithParams(ctx, sr.DefaultToGlobal), s.name)[0]
	if level.Err == nil {
		found.Compatibility = level.Level.String()
	}
	return found, nil
}

func (r *Registry) refusal(s subject, latest fetchedSchema) error {
	w, err := r.decide(latest)
	if err == nil && w.event != s.key.event {
		return errors.New("the schema is of another kind of event")
	}
	return err
}
