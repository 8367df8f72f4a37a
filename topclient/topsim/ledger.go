package topsim

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash/fnv"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// firstInstanceID is far above 2^53, and an odd distance from it makes every id
// change when somebody carries it through a float64.
const firstInstanceID = 7_091_800_003_790_954_037

// couponLife is from start_time to end_time.
const couponLife = 30 * day

// Ledger is what the service knows: which out_id was granted what. It keeps
// every out_id for ever, in about 500 bytes each. Safe for concurrent use.
type Ledger struct {
	cfg  *Config
	salt [32]byte // of every hash; in the data file, so that members keep theirs

	mu         sync.Mutex
	file       *ledgerFile // nil: memory only
	entries    map[entryKey]*entry
	order      []*entry          // by first call; positions are cursors of Page
	appKeys    map[string]string // each by itself
	byCoupon   map[string]int
	byMember   map[memberCoupon]int
	lastID     int64
	grants     int64
	replays    int64
	conflicts  int64
	violations int64
}

type entryKey struct{ appKey, outID string }

// memberHash stands for an open_id, which is kept nowhere.
type memberHash [8]byte

type memberCoupon struct {
	member memberHash
	uuid   string
}

// entry is one out_id. Everything but key, calls and answers belongs to its grants.
type entry struct {
	key        entryKey
	calls      int64
	answers    atomic.Int64
	grants     int
	content    [16]byte // of the first grant's dto
	member     memberHash
	uuid       string
	couponType int64
	grantedAt  time.Time // of the last grant, for the retention
	firstAt    time.Time
	model      Model   // of the first grant
	last       Model   // of the last grant: what a repeat is answered
	instances  []int64 // of all grants, if more than one
}

// outcome is what the service says to a call. The zero value but for model means
// granted.
type outcome struct {
	problem  *problem
	business int
	form     Form // of business; empty: Config's
	noModel  bool
	model    Model
}

func newLedger(cfg *Config) *Ledger {
	l := &Ledger{
		cfg:      cfg,
		entries:  map[entryKey]*entry{},
		appKeys:  map[string]string{},
		byCoupon: map[string]int{},
		byMember: map[memberCoupon]int{},
		lastID:   firstInstanceID,
	}
	binary.LittleEndian.PutUint64(l.salt[:], mix(cfg.Seed))
	return l
}

// arrived counts a call whose signature was right, whatever becomes of it.
func (l *Ledger) arrived(appKey, outID string) (e *entry, number int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e = l.entry(entryKey{appKey, outID})
	e.calls++
	return e, e.calls
}

// entry is called with the lock held.
func (l *Ledger) entry(key entryKey) *entry {
	e, ok := l.entries[key]
	if !ok {
		// The key is a part of a call's body, which would be kept with it.
		if _, known := l.appKeys[key.appKey]; !known {
			own := strings.Clone(key.appKey)
			l.appKeys[own] = own
		}
		key.appKey = l.appKeys[key.appKey]
		e = &entry{key: key}
		l.entries[key] = e
		l.order = append(l.order, e)
	}
	return e
}

// grant decides on a call that passed every check. What it grants is stored,
// in the file too, before it returns.
func (l *Ledger) grant(c *call) outcome {
	member, content := l.hashMember(c.dto.openID), l.hashContent(&c.dto)
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := c.entry; e.grants > 0 && !l.forgotten(e, c.now) {
		return l.repeat(c, content)
	}
	if code := l.refusal(c, member); code != 0 {
		return outcome{business: code}
	}
	return l.store(c, member, content)
}

// forgotten: the service remembers an out_id no longer, and grants again.
func (l *Ledger) forgotten(e *entry, now time.Time) bool {
	return l.cfg.Retention > 0 && now.Sub(e.grantedAt) >= l.cfg.Retention
}

func (l *Ledger) repeat(c *call, content [16]byte) outcome {
	l.replays++
	if content != c.entry.content {
		l.conflicts++
		switch l.cfg.Conflict {
		case ConflictArgument:
			return outcome{problem: &problem{code: 41, detail: "out_id"}}
		case ConflictRefuse:
			return outcome{business: -11}
		case ConflictSame:
		}
	}
	switch l.cfg.Replay {
	case ReplayNoModel:
		return outcome{noModel: true}
	case ReplayRefuse:
		return outcome{business: -11}
	case ReplayLimitFirst:
		if code := l.usedUp(c, c.entry.member); code != 0 {
			return outcome{business: code}
		}
	case ReplaySame:
	}
	return outcome{model: c.entry.last}
}

// refusal is the business code of a call that would grant, or 0.
func (l *Ledger) refusal(c *call, member memberHash) int {
	if code, listed := l.cfg.Refused[c.dto.openID]; listed {
		return code
	}
	coupon := l.coupon(c.dto.uuid)
	early := !coupon.ValidFrom.IsZero() && c.now.Before(coupon.ValidFrom)
	late := !coupon.ValidUntil.IsZero() && !c.now.Before(coupon.ValidUntil)
	if early || late {
		return -3
	}
	return l.usedUp(c, member)
}

func (l *Ledger) usedUp(c *call, member memberHash) int {
	coupon := l.coupon(c.dto.uuid)
	switch {
	case coupon.Stock < 0, coupon.Stock > 0 && l.byCoupon[c.dto.uuid] >= coupon.Stock:
		return -6
	case over(l.byMember[memberCoupon{member, c.dto.uuid}]+1, coupon.PerMember):
		return -7
	default:
		return 0
	}
}

func (l *Ledger) coupon(uuid string) Coupon {
	if c, ok := l.cfg.Coupons[uuid]; ok {
		return c
	}
	return l.cfg.OtherCoupon
}

func (l *Ledger) store(c *call, member memberHash, content [16]byte) outcome {
	g := grant{
		AppKey: c.appKey, OutID: c.dto.outID, UUID: c.dto.uuid, CouponType: c.dto.couponType,
		Member: hex.EncodeToString(member[:]), Content: hex.EncodeToString(content[:]),
		At: c.now, Model: l.newModel(c),
	}
	if l.file != nil {
		if err := l.file.append(g); err != nil { // nothing stored, so nothing granted
			return outcome{problem: &problem{code: 15, subCode: "isp.system-error", subMsg: "the ledger cannot be written"}}
		}
	}
	l.record(c.entry, &g, member, content)
	return outcome{model: g.Model}
}

func (l *Ledger) newModel(c *call) Model {
	coupon := l.coupon(c.dto.uuid)
	return Model{
		InstanceID: l.lastID + 2,
		TemplateID: cmp.Or(coupon.TemplateID, templateID(c.dto.uuid)),
		Name:       cmp.Or(coupon.Name, "测试券"),
		Discount:   cmp.Or(coupon.Discount, 1000),
		StartFee:   cmp.Or(coupon.StartFee, 5000),
		StartTime:  c.now.UnixMilli(),
		EndTime:    c.now.Add(couponLife).UnixMilli(),
	}
}

func templateID(uuid string) int64 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(uuid))
	return int64(h.Sum32())
}

// record takes a grant into memory, when it happens and when it is read back.
func (l *Ledger) record(e *entry, g *grant, member memberHash, content [16]byte) {
	e.grants++
	e.grantedAt, e.last = g.At, g.Model
	if e.grants == 1 {
		e.content, e.member, e.uuid, e.couponType = content, member, g.UUID, g.CouponType
		e.firstAt, e.model = g.At, g.Model
	} else {
		if e.grants == 2 {
			e.instances = append(e.instances, e.model.InstanceID)
		}
		e.instances = append(e.instances, g.Model.InstanceID)
		l.violations++
	}
	l.grants++
	l.byCoupon[g.UUID]++
	l.byMember[memberCoupon{member, g.UUID}]++
	l.lastID = max(l.lastID, g.Model.InstanceID)
}

// hashMember is salted: an open_id cannot be found by trying.
func (l *Ledger) hashMember(openID string) (out memberHash) {
	sum := sha256.Sum256(append(slices.Clip(l.salt[:]), openID...))
	copy(out[:], sum[:])
	return out
}

// hashContent is of the members, not of their spelling, and salted, as the
// open_id is one of them.
func (l *Ledger) hashContent(d *dto) (out [16]byte) {
	text := make([]byte, 0, 256)
	text = append(text, l.salt[:]...)
	for _, member := range [...]string{d.bizCode, d.channel, d.extra, d.openID, d.outID, d.uuid} {
		text = binary.AppendUvarint(text, uint64(len(member)))
		text = append(text, member...)
	}
	sum := sha256.Sum256(binary.AppendVarint(text, d.couponType))
	copy(out[:], sum[:])
	return out
}
