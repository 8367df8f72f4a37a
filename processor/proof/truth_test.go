//go:build chaos

package proof_test

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupongrant/coupongrant/schemas"
	"github.com/coupongrant/coupongrant/topclient/topsim"
)

// What every run about the truth waits for, so that what is parked comes back
// and what stays in doubt is given up.
func truthSettings(more map[string]string) map[string]string {
	all := map[string]string{
		"retry.business_attempts": "8", // time enough to expire between two of them
		"retry.delay":             "2s",
		"retry.give_up_after":     "10s",
	}
	maps.Copy(all, more)
	return all
}

// forgetful is a gateway that refuses repeats, and grants again when it has
// forgotten the first.
func forgetful(retention time.Duration) repeatWay {
	return repeatWay{Name: "forgets", Replay: topsim.ReplayRefuse, Retention: retention}
}

// truthForm is one broker, of a kind, with a gateway for these ways.
func truthForm(f form, ways ...repeatWay) form {
	f.brokers, f.gateway, f.shape = 1, gatewaySetup{Ways: ways}, waysShape(ways)
	return f
}

// TestTruthOnKfake has all ways at once, and an idempotency window that is over
// before the forgetful gateway forgets.
func TestTruthOnKfake(t *testing.T) {
	r := truth(t, truthForm(form{
		name: "truth in short on kfake", rate: 150, load: 15 * time.Second, drain: shortDrain, mix: mix{killRestart: 1, killDown: 1},
		settings: truthSettings(map[string]string{
			"retry.delay": "1s", "retry.give_up_after": "1m", "gateway.idempotency_window": "6s",
		}),
	}, append(repeatWays(), forgetful(10*time.Second))...), "repeats")

	require.True(t, r.Short)
}

// TestTruthOnKafka is the run that counts: given up by retry.give_up_after.
func TestTruthOnKafka(t *testing.T) {
	truth(t, truthForm(form{
		name: "truth on Kafka", real: true, rate: truthRate, load: 290 * time.Second, drain: shortDrain,
		mix: mix{killRestart: 2, killDown: 2}, settings: truthSettings(nil),
	}, repeatWays()...), "repeats")
}

// TestTruthOfAForgetfulGateway is one in which only gateway.idempotency_window
// keeps a request in doubt from a second coupon.
func TestTruthOfAForgetfulGateway(t *testing.T) {
	truth(t, truthForm(form{
		name: "truth of a forgetful gateway on Kafka", real: true, rate: truthRate, load: 50 * time.Second, drain: shortDrain,
		mix:      mix{killRestart: 1, killDown: 1},
		settings: truthSettings(map[string]string{"retry.give_up_after": "10m", "gateway.idempotency_window": "20s"}),
	}, forgetful(30*time.Second)), "retention")
}

const truthRate = 310 // events a second; both runs together are more than 100,000

// TestTruthSeesWhatIsUntrue is the control of both judges: a program that takes a
// refusal in doubt for the last word, although this gateway looks at limits
// before it recognises a repeat, and one that relies on an out_id for longer than
// the gateway remembers it.
func TestTruthSeesWhatIsUntrue(t *testing.T) {
	c, _ := prepare(t, truthForm(form{
		name: "control of truth on kfake", rate: 150, load: 10 * time.Second, drain: 40 * time.Second, mix: mix{},
		settings: truthSettings(map[string]string{
			"retry.refusal_in_doubt": "fail", "retry.business_attempts": "100", "retry.give_up_after": "30s", "retry.delay": "1s",
		}),
	}, repeatWays()[3], repeatWays()[4], forgetful(2*time.Second)))
	c.run(nil)
	r := c.judge()
	t.Log(r.summary())
	_, wrong := c.reckon()

	require.Positive(t, r.Violations["untrue"], "the audit saw no false failed")
	require.Positive(t, r.Violations["granted-twice"], "the audit saw no second coupon")
	for way, what := range map[string]string{"limit-7": "failed, with a coupon", "limit-6": "failed, with a coupon", "forgets": "2 coupons"} {
		require.True(t, slices.ContainsFunc(wrong[way], func(line string) bool { return strings.HasSuffix(line, ": "+what) }), "%s: %s", way, what)
	}
}

// truth is one run after which outcomes and ledger agree to the last coupon.
func truth(t *testing.T, f form, name string) *caseResult {
	t.Helper()
	c, dir := prepare(t, f)
	c.run(newPlan(c.seed, f.mix))
	r := c.judge()
	t.Log(r.summary())
	runs, wrong := c.reckon()
	all := c.altogether(runs, r, wrong)
	result := c.troubled(name, r, append(runs, all))
	result.Short = !f.real
	measures := []caseMeasure{
		highest("promises broken, as the audit and the chaos tool see them", "violations").in(together).atMost(0),
		highest("disagreements between outcomes and ledger, coupon by coupon", "disagreements").in(together).atMost(0),
		lowest("requests that ended", "ended").in(together).atLeast(float64(r.Load.Requests)),
		lowest("kill -9 under load", "kills").in(together).atLeast(2),
	}
	if result.Short {
		measures = append(measures, happened(together, false)...) // of a single way it may be none
	} else {
		for i, run := range runs {
			share := lowest(run.Kind+": request ids", idsCounted).in(run.Kind).atLeast(0.8 * float64(f.planned()) / float64(len(runs)))
			measures = append(append(measures, share), happened(run.Kind, f.gateway.Ways[i].recognises())...)
		}
	}
	c.conclude(result, measures, dir)
	return result
}

// happened is what must have gone wrong for a run to prove anything.
func happened(kind string, recognises bool) []caseMeasure {
	all := []caseMeasure{
		lowest(kind+": answers lost after a grant", "answers lost").in(kind).atLeast(1),
		lowest(kind+": expired before an attempt", expiredUncalled).in(kind).atLeast(1),
		lowest(kind+": expired after attempts", expiredCalled).in(kind).atLeast(1),
	}
	if !recognises {
		all = append(all, lowest(kind+": dead letters grant-unknown for a coupon that is there", unknownWithCoupon).in(kind).atLeast(1))
	}
	return all
}

// together is the kind of the figures of all ways.
const together = "all together"

func (c *chaos) altogether(runs []caseRun, r chaosResult, wrong map[string][]string) caseRun {
	all := map[string]float64{
		"violations": float64(total(r.Violations)), "disagreements": 0, "kills": float64(r.Deaths),
		"requests": float64(r.Load.Requests), "ended": float64(r.Load.Requests - r.Ends.Unfinished), "calls": float64(r.Calls.Made),
	}
	for _, run := range runs {
		all["disagreements"] += float64(len(wrong[run.Kind]))
		for name, n := range run.Figures {
			all[name] += n
		}
	}
	return caseRun{Pair: len(runs) + 1, Kind: together, Began: c.began.UTC(), Figures: all}
}

func total(counts map[string]int) (sum int) {
	for _, n := range counts {
		sum += n
	}
	return sum
}

// reckon reads the topics and the ledger of each way; wrong says what does not
// agree, by way.
func (c *chaos) reckon() (runs []caseRun, wrong map[string][]string) {
	c.t.Helper()
	byWay := c.readTellings()
	wrong = map[string][]string{}
	for i, way := range c.form.gateway.Ways {
		control := &gateway{url: c.gateway.url + "/" + way.Name}
		counts, disagreements := byWay[way.Name].against(control.entries(c.t))
		counts["answers lost"] = control.struck(c.t, "lost-answers")
		runs = append(runs, caseRun{Pair: i + 1, Kind: way.Name, Began: c.began.UTC(), Figures: counts})
		wrong[way.Name] = disagreements
		for _, what := range disagreements {
			c.t.Logf("%s: %s", way.Name, what)
		}
	}
	return runs, wrong
}

// readTellings reads every end, by way.
func (c *chaos) readTellings() map[string]*reckoning {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), lookWithin)
	defer cancel()
	byWay := map[string]*reckoning{}
	for _, way := range c.form.gateway.Ways {
		byWay[way.Name] = newReckoning()
	}
	topics := c.system.topics
	err := readAll(ctx, c.system, []string{topics.Granted, topics.Failed, topics.DeadLetter}, func(r *kgo.Record) {
		if r.Topic == topics.DeadLetter {
			if headerOf(r, "coupongrant-reason") == string(schemas.GrantUnknown) {
				request, err := c.system.codec.Decode(r.Value)
				require.NoError(c.t, err)
				byWay[wayOf(request.RequestID)].of(request.RequestID).unknown++
			}
			return
		}
		outcome, err := c.system.codec.DecodeOutcome(r.Value)
		require.NoError(c.t, err)
		byWay[wayOf(requestIDOf(outcome))].outcome(outcome)
	})
	require.NoError(c.t, err)
	return byWay
}

func requestIDOf(o schemas.Outcome) string {
	switch o := o.(type) {
	case *schemas.Granted:
		return o.RequestID
	case *schemas.Failed:
		return o.RequestID
	default:
		return ""
	}
}

// struck is how many calls all rules of a fault struck.
func (g *gateway) struck(t testing.TB, fault string) (sum float64) {
	t.Helper()
	var rules []struct {
		Fault string
		Count float64
	}
	g.control(t, "rules", &rules)
	for _, r := range rules {
		if r.Fault == fault {
			sum += r.Count
		}
	}
	return sum
}
