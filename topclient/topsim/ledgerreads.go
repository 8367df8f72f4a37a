package topsim

import (
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"time"
)

// LedgerEntry is what the service knows of one out_id, as Go and as JSON.
type LedgerEntry struct {
	AppKey     string     `json:"app_key"`
	OutID      string     `json:"out_id"`
	Calls      int64      `json:"calls"`   // whose signature was right, whatever was answered; since New
	Answers    int64      `json:"answers"` // that were sent whole; the other calls were cut, or their callers left; since New
	Granted    bool       `json:"granted"`
	Grants     int        `json:"grants"` // coupons given: more than one is a violation
	GrantedAt  *time.Time `json:"granted_at,omitempty"`
	UUID       string     `json:"uuid,omitempty"`
	CouponType int64      `json:"coupon_type,omitempty"`
	Member     string     `json:"member,omitempty"`    // salted hash of the open_id
	DTOHash    string     `json:"dto_hash,omitempty"`  // salted hash of the dto's members
	Coupon     *Model     `json:"coupon,omitempty"`    // of the first grant, as answered
	Instances  []int64    `json:"instances,omitempty"` // of all grants, if more than one
}

// LedgerPage is a part of the ledger, in the order of first calls.
type LedgerPage struct {
	Entries []LedgerEntry `json:"entries"`
	Next    string        `json:"next,omitempty"` // cursor of the following page; empty: this is the last
}

// InstanceID is that of the first grant; 0: none.
func (e LedgerEntry) InstanceID() int64 {
	if e.Coupon == nil {
		return 0
	}
	return e.Coupon.InstanceID
}

// read is called with the lock held.
func (e *entry) read() LedgerEntry {
	out := LedgerEntry{
		AppKey: e.key.appKey, OutID: e.key.outID, Calls: e.calls, Answers: e.answers.Load(),
		Granted: e.grants > 0, Grants: e.grants,
	}
	if !out.Granted {
		return out
	}
	at, coupon := e.firstAt.UTC().Round(0), e.model
	out.GrantedAt, out.Coupon = &at, &coupon
	out.UUID, out.CouponType = e.uuid, e.couponType
	out.Member, out.DTOHash = hex.EncodeToString(e.member[:]), hex.EncodeToString(e.content[:])
	out.Instances = append(out.Instances, e.instances...)
	return out
}

// Format hides secrets and members from every verb.
func (l *Ledger) Format(f fmt.State, _ rune) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _ = io.WriteString(f, fmt.Sprintf("{%d out_ids, %d grants}", len(l.order), l.grants))
}

// Page reads up to limit entries after a cursor; empty is the start. ok is false
// for a cursor that no page gave. Entries that arrive meanwhile come last, and
// none is left out.
func (l *Ledger) Page(after string, limit int) (page LedgerPage, ok bool) {
	start := 0
	if after != "" {
		n, err := strconv.Atoi(after)
		if err != nil || n < 0 {
			return LedgerPage{}, false
		}
		start = n
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if start > len(l.order) {
		return LedgerPage{}, false
	}
	end := min(len(l.order), start+max(limit, 1))
	page.Entries = make([]LedgerEntry, 0, end-start)
	for _, e := range l.order[start:end] {
		page.Entries = append(page.Entries, e.read())
	}
	if end < len(l.order) {
		page.Next = strconv.Itoa(end)
	}
	return page, true
}

// Entries is the whole ledger at one moment.
func (l *Ledger) Entries() []LedgerEntry {
	return l.list(func(*entry) bool { return true })
}

// Violations are the out_ids that were granted more than once.
func (l *Ledger) Violations() []LedgerEntry {
	return l.list(func(e *entry) bool { return e.grants > 1 })
}

func (l *Ledger) list(wanted func(*entry) bool) []LedgerEntry {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []LedgerEntry
	for _, e := range l.order {
		if wanted(e) {
			out = append(out, e.read())
		}
	}
	return out
}

// Entry is that of an out_id, whichever app's it is.
func (l *Ledger) Entry(outID string) (LedgerEntry, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for appKey := range l.appKeys {
		if e, ok := l.entries[entryKey{appKey, outID}]; ok {
			return e.read(), true
		}
	}
	return LedgerEntry{}, false
}

// Calls is how often an out_id was called with a right signature since New.
func (l *Ledger) Calls(outID string) int64 {
	e, _ := l.Entry(outID)
	return e.Calls
}

// Grants is how many coupons an out_id was given.
func (l *Ledger) Grants(outID string) int {
	e, _ := l.Entry(outID)
	return e.Grants
}

// MemberGrants is how many coupons of a uuid a member was given.
func (l *Ledger) MemberGrants(openID, uuid string) int {
	member := l.hashMember(openID)
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.byMember[memberCoupon{member, uuid}]
}

// Member is the hash that stands for an open_id.
func (l *Ledger) Member(openID string) string {
	member := l.hashMember(openID)
	return hex.EncodeToString(member[:])
}

// count fills in the ledger's part.
func (l *Ledger) count(into *Stats) {
	l.mu.Lock()
	defer l.mu.Unlock()
	into.OutIDs, into.Grants, into.Violations = len(l.order), l.grants, l.violations
	into.Replays, into.Conflicts = l.replays, l.conflicts
}
