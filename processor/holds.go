package processor

import (
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
)

// Hold is a stated reason why something waits. It is not a fault: what waits
// goes on by itself, or when a person has done what the sentence says.
type Hold struct {
	Kind   string    `json:"kind"`            // one of a fixed few, fit for a label
	Where  string    `json:"where,omitempty"` // a topic, a partition, or what of its kind it is about; empty: everything
	Reason string    `json:"reason"`          // a sentence that names the mend
	Since  time.Time `json:"since"`
}

// The kinds of holds.
const (
	holdStarting    = "starting"    // not yet a member of the group
	holdKafka       = "kafka"       // no broker answers, one refuses us, the group cannot be joined, or our lease is over
	holdTopic       = "topic"       // a topic is missing, refused or unreadable, or takes no result of ours
	holdRegistry    = "registry"    // the schema registry does not answer, or lacks our subjects
	holdGateway     = "gateway"     // the gateway is in trouble or bans us, or the budget of the day is used up
	holdApp         = "app"         // credentials, permission or clock, or most of what we send is refused: a person must act
	holdMetadata    = "metadata"    // a partition's commit metadata cannot be read or written
	holdLostInput   = "lost-input"  // a gap in the input
	holdTransaction = "transaction" // transactions fail
	holdStalled     = "stalled"     // nothing moves, and no other hold says why
	holdStopping    = "stopping"    // on the way out
)

// What of its kind a hold is about, where that is neither a topic nor a partition.
const (
	whereBrokers = "brokers" // of kafka: none answers
	whereGroup   = "group"   // it cannot be joined
	whereRights  = "rights"  // this user lacks some
	whereOffsets = "offsets" // those of partitions that came to us are not given
	whereQuota   = "quota"   // our share of the rate is no longer known to be ours
	whereResults = "results" // of topic: those that outcomes go to
	whereSchemas = "schemas" // of registry: writers' schemas
	whereBan     = "limit"   // of gateway: the app is banned
	whereBudget  = "budget"  // the calls of the day are used up
	whereFirst   = "first"   // of transaction: that of a session after one that failed
)

// whereResultsOf is of topic: outcomes of one partition are refused.
func whereResultsOf(p partition) string { return whereResults + " of " + p.String() }

var holdKinds = []string{
	holdStarting, holdKafka, holdTopic, holdRegistry, holdGateway,
	holdApp, holdMetadata, holdLostInput, holdTransaction, holdStalled, holdStopping,
}

// holds are the holds of the moment. Safe for concurrent use. It logs one line
// when a hold comes and one when it goes, and nothing while it lasts.
type holds struct {
	log     *slog.Logger
	mu      sync.Mutex
	current map[holdKey]Hold
	changed func(kind string, count int) // for the metric; called under mu, must not block
}

type holdKey struct{ kind, where string }

func newHolds(log *slog.Logger, changed func(kind string, count int)) *holds {
	return &holds{log: log, current: map[holdKey]Hold{}, changed: changed}
}

// Set states a hold. A new reason for one that stands replaces it without a log
// line.
func (h *holds) Set(kind, where, reason string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	key := holdKey{kind, where}
	old, stands := h.current[key]
	hold := Hold{Kind: kind, Where: where, Reason: reason, Since: time.Now().UTC()}
	if stands {
		hold.Since = old.Since
	}
	h.current[key] = hold
	if !stands {
		h.log.Warn("waiting", "hold", kind, "where", where, "reason", reason)
		h.count(kind)
	}
}

// Clear ends a hold, if it stands.
func (h *holds) Clear(kind, where string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	key := holdKey{kind, where}
	hold, stands := h.current[key]
	if !stands {
		return
	}
	delete(h.current, key)
	h.log.Info("goes on", "hold", kind, "where", where, "waited", time.Since(hold.Since).Round(time.Millisecond))
	h.count(kind)
}

// ClearKind ends all holds of some kinds.
func (h *holds) ClearKind(kinds ...string) {
	for _, hold := range h.Current() {
		if slices.Contains(kinds, hold.Kind) {
			h.Clear(hold.Kind, hold.Where)
		}
	}
}

// ClearWhere ends all holds of one partition or topic.
func (h *holds) ClearWhere(where string) {
	for _, hold := range h.Current() {
		if hold.Where == where {
			h.Clear(hold.Kind, hold.Where)
		}
	}
}

func (h *holds) count(kind string) {
	n := 0
	for key := range h.current {
		if key.kind == kind {
			n++
		}
	}
	h.changed(kind, n)
}

// Current returns all holds, the oldest first.
func (h *holds) Current() []Hold {
	h.mu.Lock()
	defer h.mu.Unlock()
	current := make([]Hold, 0, len(h.current))
	for _, hold := range h.current {
		current = append(current, hold)
	}
	slices.SortFunc(current, func(a, b Hold) int {
		if c := a.Since.Compare(b.Since); c != 0 {
			return c
		}
		return strings.Compare(a.Kind+a.Where, b.Kind+b.Where)
	})
	return current
}
