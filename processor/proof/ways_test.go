//go:build chaos || apart

package proof_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coupongrant/coupongrant/processor/proof"
	"github.com/coupongrant/coupongrant/topclient/topsim"
)

// repeatWay is one of the ways in which a gateway may answer an out_id that it
// has granted already: Tmall does not say which is its own. Its name begins the
// out_ids that it is for.
type repeatWay struct {
	Name      string
	Replay    topsim.Replay
	Retention time.Duration // after it an out_id is forgotten, and grants again
	PerMember int           // that one member can have of any coupon
	Stock     int           // of any coupon; each request asks for a coupon of its own
}

// recognises says that a repeat is answered as the first call was.
func (w repeatWay) recognises() bool { return w.Replay == topsim.ReplaySame }

// repeatWays are all those that the gateway's protocol leaves open, but for a
// retention.
func repeatWays() []repeatWay {
	return []repeatWay{
		{Name: "same", Replay: topsim.ReplaySame},
		{Name: "no-model", Replay: topsim.ReplayNoModel},
		{Name: "refused", Replay: topsim.ReplayRefuse},
		{Name: "limit-7", Replay: topsim.ReplayLimitFirst, PerMember: 1},
		{Name: "limit-6", Replay: topsim.ReplayLimitFirst, Stock: 1},
	}
}

// wayOf is the name of the way that an out_id is for.
func wayOf(outID string) string {
	name, _, _ := strings.Cut(outID, ".")
	return name
}

// The kinds of requests, after the name of the way.
const (
	calmKind  = "calm"
	hurryKind = "hurry" // its time may pass before its end, and answers are lost more often
	lateKind  = "late"  // answered -11 until its time has passed
	spentKind = "spent" // its time has passed when it is sent
)

// script is what goes wrong with the calls of a way: 1% of the answers are lost
// after the grant.
func (w repeatWay) script() string {
	return fmt.Sprintf(`0s- business -11 out_id=%[1]s.%[2]s.*
0s- lost-answers 10%% out_id=%[1]s.%[3]s.*
0s- lost-answers 1%%
0s- business -11 1%%
0s- isp.system-busy 0.5%%
`, w.Name, lateKind, hurryKind)
}

func (w repeatWay) config(setup gatewaySetup) topsim.Config {
	cfg := setup.config()
	cfg.Replay, cfg.Retention = w.Replay, w.Retention
	cfg.OtherCoupon = topsim.Coupon{PerMember: w.PerMember, Stock: w.Stock}
	cfg.DataFile += "-" + w.Name
	for _, uuid := range limitedCoupons() {
		delete(cfg.Coupons, uuid)
	}
	return cfg
}

// waysGateway is a simulator for each way, behind one address.
type waysGateway struct {
	names []string
	sims  map[string]*topsim.Simulator
}

func newWaysGateway(t testing.TB, setup gatewaySetup) *waysGateway {
	t.Helper()
	g := &waysGateway{sims: map[string]*topsim.Simulator{}}
	for _, way := range setup.Ways {
		g.names = append(g.names, way.Name)
		g.sims[way.Name] = newSimulator(t, way.config(setup), way.script())
	}
	return g
}

// route serves the gateway, each simulator's control under the name of its way,
// and the counts of all together.
func (g *waysGateway) route(mux *http.ServeMux) {
	mux.HandleFunc("/", g.serve)
	for name, sim := range g.sims {
		mux.Handle("/"+name+"/control/", http.StripPrefix("/"+name, sim.Control()))
	}
	mux.HandleFunc("GET /control/stats", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(g.stats()) // an error means that the caller left
	})
}

// serve hands a call to the simulator of its out_id; one that is nobody's goes to
// the first, whose ledger the audit reads as well.
func (g *waysGateway) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler) // the caller is gone
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	sim, ok := g.sims[wayOf(outIDOf(body))]
	if !ok {
		sim = g.sims[g.names[0]]
	}
	sim.ServeHTTP(w, r)
}

func (g *waysGateway) stats() (all topsim.Stats) {
	for _, sim := range g.sims {
		one := sim.Stats()
		all.Calls += one.Calls
		all.Faulted += one.Faulted
		all.OutIDs += one.OutIDs
		all.Grants += one.Grants
		all.Replays += one.Replays
		all.Violations += one.Violations
	}
	return all
}

// ledgers are the addresses of all ledgers of the gateway.
func (g *gatewayProcess) ledgers() []string {
	if len(g.setup.Ways) == 0 {
		return []string{g.url}
	}
	var all []string
	for _, way := range g.setup.Ways {
		all = append(all, g.url+"/"+way.Name)
	}
	return all
}

// waysShape turns events into requests for the ways, an equal share for each.
func waysShape(ways []repeatWay) func(*proof.Event) bool {
	var member *proof.Event // the last one for a way that limits members
	return func(e *proof.Event) bool {
		draw := lot(*e)
		way := ways[draw%uint64(len(ways))]
		draw /= uint64(len(ways))
		kind := kindOf(draw % 100)
		limited := way.PerMember > 0 && member != nil && draw/100%20 == 0
		if isStray(*e) && !way.recognises() || e.Repeat && (limited || kind != calmKind) {
			return false // it would truly be refused, or differ from the first
		}
		e.Request.RequestID = way.Name + "." + kind + "." + e.Request.RequestID
		giveTime(e, kind, draw/100)
		if way.Stock > 0 && !nobodyGets(e.Request.CouponCode) {
			e.Request.CouponCode = "only-" + e.Request.RequestID
		}
		if way.PerMember > 0 {
			if limited { // has that coupon, or is refused if the other comes later
				e.Request.OpenID = member.Request.OpenID
				e.Request.CouponCode, e.Request.CouponType = member.Request.CouponCode, member.Request.CouponType
			}
			before := *e
			member = &before
		}
		return true
	}
}

func nobodyGets(coupon string) bool {
	return slices.Contains(usedUpCoupons(), coupon) || slices.Contains(overCoupons(), coupon)
}

// kindOf draws a kind from 0 to 99.
func kindOf(draw uint64) string {
	switch {
	case draw < 8:
		return hurryKind
	case draw < 10:
		return lateKind
	case draw < 11:
		return spentKind
	default:
		return calmKind
	}
}

func giveTime(e *proof.Event, kind string, draw uint64) {
	switch kind {
	case hurryKind:
		expireIn(e, time.Duration(draw%4000)*time.Millisecond)
	case lateKind:
		expireIn(e, time.Duration(300+draw%600)*time.Millisecond)
	case spentKind:
		expireIn(e, 0)
	}
}
