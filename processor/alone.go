package processor

import (
	"time"

	"github.com/coupongrant/coupongrant/topclient"
)

// Words about all: that the app is in trouble, or that the service limits calls.
// They stop everybody, and rightly so, where everybody gets them. But Tmall has such
// words for what is wrong with one request too (a permission for one item, a limit
// for one member, a signature over one odd character). So who gets one steps back,
// that another probes; and where the others are answered, it is a matter of that
// request alone: it has a time of its own, stops nobody, and is parked as any that
// is in trouble while others are answered.

// probeAlone is the time between two tries of a request that gets a word about the
// app while others are answered.
const probeAlone = 10 * time.Second

// words counts words about all, and the answers that show that others get none.
type words struct {
	answers  int // grants and refusals
	aboutAll int // words about all
	inRow    int // of these, since the newest answer
}

// aboutAll says that an answer, with the verdict on it, is such a word. The limits of
// the platform are none: they are checked before anyone looks at the request.
func aboutAll(v verdict, answer *topclient.Error) bool {
	return v.action == actPause || v.action == actBan && !answer.LimitOfPlatform()
}

// alone notes a word about all that t got, and says whether it is about t alone: it
// had one before, and more of the others were answered since than got one; or it
// comes from the retry topic and was called before it was parked. Not when such words
// follow each other: in trouble of all each request would be called once more.
func (s *scheduler) alone(t *task) bool {
	before := s.words
	s.words.aboutAll++
	s.words.inRow++
	others := t.hadWord && before.answers-t.wordsThen.answers > before.aboutAll-t.wordsThen.aboutAll
	t.hadWord, t.wordsThen = true, s.words
	return (others || s.parked(t) && t.attempts > 1) && before.inRow < fewFailures && s.answersOthers(time.Now())
}

// forOneOrAll is the verdict on t, which got a word about all, as v says. If it alone
// did, it waits by itself; one that was parked before and comes back with it was
// called once more, and is parked again.
func (s *scheduler) forOneOrAll(t *task, v verdict) verdict {
	switch {
	case !s.alone(t):
		if s.answersOthers(time.Now()) {
			t.failedAmongOthers++
		}
		return v
	case s.parked(t):
		return s.policy.park(t, true)
	case v.action == actPause:
		return verdict{action: actRetry, wait: probeAlone}
	default:
		return verdict{action: actRetry, wait: v.wait}
	}
}

// pauseFor stops all calls for a word about the app, and has t step back behind the
// others. Where they were answered a moment ago, the first of them probes at once,
// and not in half a minute: that tells trouble of all from that of one. A call that
// began before the credentials changed puts nothing off.
func (s *scheduler) pauseFor(t *task, ans answered, now time.Time, wait time.Duration) {
	probe, back := now.Add(wait), now.Add(wait+idle)
	if s.answersOthers(now) {
		probe, back = now, now.Add(probeAlone)
	}
	if ans.at.Before(s.gate.renewed) {
		back = time.Time{}
	}
	t.due = back
	s.gate.pause(ans.err, ans.at, probe, s.holds)
}

// credentialsChanged has those called again at once who wait for an app in trouble.
func (s *scheduler) credentialsChanged() {
	s.gate.credentialsChanged(time.Now())
	var waiting []*task
	s.timers.remove(func(t *task) bool {
		waits := t.lastAnswer != nil && t.lastAnswer.About == topclient.AboutApp
		if waits {
			waiting = append(waiting, t)
		}
		return waits
	})
	for _, t := range waiting {
		t.due = time.Time{}
		s.enqueue(t)
	}
}
