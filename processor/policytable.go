package processor

import (
	"fmt"
	"time"

	"github.com/coupongrant/coupongrant/topclient"
)

// What the policy makes of every kind of answer, for people: found by asking it,
// so that page and program cannot differ.

// PolicyRow is a kind of answer, and what becomes of a request with it.
type PolicyRow struct {
	topclient.CodeRow
	Actions []string // in each of PolicySituations
}

// situation is where a request is when an answer comes.
type situation struct {
	name    string
	often   bool // the same answer came as often as the caps allow
	inDoubt bool // before this answer
	parked  bool // it came from the retry topic
	waited  time.Duration
}

// situations are those that the policy tells apart.
func (r Retry) situations() []situation {
	return []situation{
		{name: "first answer"},
		{name: "attempts used up", often: true},
		{name: "in doubt", inDoubt: true},
		{name: "in doubt, attempts used up", inDoubt: true, often: true},
		{name: "in doubt, parked before", inDoubt: true, often: true, parked: true},
		{name: "in doubt, retry.give_up_after over", inDoubt: true, often: true, parked: true, waited: r.GiveUpAfter},
	}
}

// PolicySituations heads the columns of PolicyTable.
func PolicySituations() []string {
	var names []string
	for _, at := range (Retry{}).situations() {
		names = append(names, at.name)
	}
	return names
}

// PolicyTable asks the policy about a grant, every row of the code tables, and a
// code that is in none.
func PolicyTable(r Retry) []PolicyRow {
	p := policy{cfg: Config{Retry: r}, steady: true}
	table := []PolicyRow{{CodeRow: topclient.CodeRow{Code: "granted", About: topclient.AboutRequest, Meaning: "a coupon's id"}, Actions: p.actions(nil)}}
	for _, row := range allRows() {
		table = append(table, PolicyRow{CodeRow: row, Actions: p.actions(row.Answer())})
	}
	return table
}

// allRows are all kinds of answers but a grant.
func allRows() []topclient.CodeRow {
	rows := append(topclient.CodeTable(), topclient.OwnCodeTable()...)
	return append(rows, topclient.CodeRow{Code: "anything else", MayHaveGranted: true, Meaning: "not understood"})
}

// actions are the verdicts on an answer in each situation, in words.
func (p policy) actions(answer *topclient.Error) []string {
	var words []string
	for _, at := range p.cfg.Retry.situations() {
		words = append(words, p.on(answer, at).String())
	}
	return words
}

// on has a task in a situation count an answer, as the scheduler does, and
// judges it.
func (p policy) on(answer *topclient.Error, at situation) verdict {
	answer = p.read(answer)
	t := &task{inDoubt: at.inDoubt, backInDoubt: at.inDoubt && at.parked, waited: at.waited, attempts: 1}
	if at.often {
		const many = 20 // above every cap of attempts that makes sense
		often := many + p.cfg.Retry.DoubtfulAttempts + p.cfg.Retry.BusinessAttempts
		t.attempts, t.doubtful, t.business, t.lastAnswer = often, often, often, answer
	}
	tally(t, answer)
	return p.next(answer, t, at.parked)
}

// String is the verdict in a few words.
func (v verdict) String() string {
	switch v.action {
	case actGrant:
		return "granted"
	case actFail:
		return "failed " + string(v.failure)
	case actRetry:
		if v.wait == 0 {
			return "again at once"
		}
		return "again within " + short(v.wait)
	case actBan:
		return "all wait out the ban, else " + short(v.wait)
	case actPause:
		return "all stop, a probe every " + short(v.wait)
	case actPark:
		return "parked"
	case actDeadLetter:
		return "dead letter " + string(v.reason)
	default:
		return fmt.Sprintf("action %d", v.action)
	}
}
