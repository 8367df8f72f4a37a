package schemas

import (
	"context"
	"errors"
)

// ErrRegistryDown: the registry did not answer sensibly; nothing is known, try
// again later.
var ErrRegistryDown = errors.New("schema registry does not answer")

// MissingSubjectsError names own subjects that the registry does not hold.
type MissingSubjectsError struct{ Subjects []string }

func (e *MissingSubjectsError) Error() string { panic("unwritten") }

// Subjects names the topics whose values this program writes or registers.
type Topics struct{ Inputs []string; Granted, Failed string }

// RegistryConfig: URL etc.
type RegistryConfig struct{ URL string }

// Registry is a caching client of a Confluent-compatible Schema Registry.
type Registry struct{}

// NewRegistry does no I/O.
func NewRegistry(cfg RegistryConfig) (*Registry, error) { panic("unwritten") }

// Fetch makes the writer's schema of a record known to the Codec. nil: Decode
// will now give an answer (also when the registry confirmed that the id does
// not exist, or the schema is refused: then Decode gives UnknownSchema).
// ErrRegistryDown: ask again later. Blocks for one HTTP exchange at most.
func (r *Registry) Fetch(ctx context.Context, id int) error { panic("unwritten") }

// FetchOwn looks up, by content, the ids under which the outcome schemas (and for producers the request
// schema) are registered. *MissingSubjectsError, ErrRegistryDown, or nil.
func (r *Registry) FetchOwn(ctx context.Context, t Topics) error { panic("unwritten") }

// Register registers all subjects with FULL_TRANSITIVE compatibility; only `topics create` and `dev` call it.
func (r *Registry) Register(ctx context.Context, t Topics) error { panic("unwritten") }
