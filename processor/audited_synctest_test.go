//go:build synctests

package processor

import (
	"net/http"
	"sync"

	"github.com/stretchr/testify/require"

	"github.com/coupongrant/coupongrant/processor/proof"
)

// audited is what `coupongrant audit` says of the shop's topics: its own way, by
// proof.Read, which shares nothing with the engine.
func (s *shop) audited() proof.Report { return s.auditedAs("coupongrant") }

// auditedAs is the same with kafka.group set to another.
func (s *shop) auditedAs(group string) proof.Report {
	s.t.Helper()
	checker, err := proof.Read(s.t.Context(), &proof.Source{
		Options: s.options(), Group: group, Codec: s.codec, Registry: s.newRegistry(),
		Topics: proof.Topics{
			Inputs: []string{s.topics.Store, s.topics.Loyalty}, Retry: s.topics.Retry,
			Granted: s.topics.Granted, Failed: s.topics.Failed, DeadLetter: s.topics.DeadLetter,
		},
	})
	require.NoError(s.t, err)
	report := checker.Report()
	require.NoError(s.t, checker.Close())
	return report
}

// counted is a gateway that counts the calls of each out_id.
type counted struct {
	mu     sync.Mutex
	calls  map[string]int
	answer always
}

func countedBy(answer always) *counted { return &counted{calls: map[string]int{}, answer: answer} }

func (c *counted) RoundTrip(r *http.Request) (*http.Response, error) {
	id := outID(r)
	c.mu.Lock()
	c.calls[id]++
	c.mu.Unlock()
	return c.answer(r)
}

// of is how often a request was called.
func (c *counted) of(id string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls[id]
}

// total is how many calls there were.
func (c *counted) total() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, calls := range c.calls {
		n += calls
	}
	return n
}
