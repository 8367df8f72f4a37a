package topsim

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"
)

// Method is the one API that is served.
const Method = "tmall.nrt.coupon.send"

// The app of DefaultConfig.
const (
	DemoAppKey    = "12345678"
	DemoAppSecret = "topsim-demo-secret"
	DemoSession   = "topsim-demo-session"
)

// Config of a Simulator. The zero value of every switch is the default.
type Config struct {
	Apps        map[string]App    // by app key
	Quotas      Quotas            // of checkQuota
	Replay      Replay            // what a repeated out_id is answered; empty: ReplaySame
	Conflict    Conflict          // what an out_id with other content is answered; empty: ConflictSame
	Retention   time.Duration     // after it an out_id grants again; 0: never
	Coupons     map[string]Coupon // by uuid
	OtherCoupon Coupon            // stands for every uuid that is not in Coupons
	CouponTypes []int64           // accepted besides 247, 276 and 357
	Refused     map[string]int    `json:"-"` // by open_id: the business code (-11, -9999) that a member always gets
	Form        Form              // of the ledger's own refusals; empty: F1
	Latency     time.Duration     // from the grant to its answer
	Spread      time.Duration     // random part, added to Latency: 0 to Spread
	Seed        uint64            // of everything random
	Clock       func() time.Time  // nil: time.Now. Delays always use timers
	DataFile    string            // where grants survive the process; empty: nowhere
	Script      Script            // runs from New on
}

// DefaultConfig has one app, without limits and faults.
func DefaultConfig() Config {
	return Config{Apps: map[string]App{DemoAppKey: {
		Secret:   DemoAppSecret,
		Sessions: map[string]time.Time{DemoSession: {}},
	}}}
}

// App is what the gateway knows of an app key.
type App struct {
	Secret    string               `json:"-"`
	Sessions  map[string]time.Time `json:"-"` // session to its expiry; zero: never
	IPs       []netip.Prefix       // callers allowed; empty: all
	NoPackage bool                 // the app may not use this API
}

// Format hides secret and sessions from every verb.
func (a App) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "{%d sessions, IPs %v}", len(a.Sessions), a.IPs)
}

// Format hides secrets and members from every verb.
func (c Config) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, fmt.Sprintf("{%d apps, %d coupons, replay %q, conflict %q}",
		len(c.Apps), len(c.Coupons), c.Replay, c.Conflict))
}

// Quotas are calls allowed; 0: any number. Refused calls count as well.
type Quotas struct {
	AppPerDay       int // of one app, until 24:00 GMT+8
	APIPerSecond    int // of all apps together
	AppAPIPerSecond int // of one app
}

// Coupon is a coupon that can be granted. The numbers are what an answer says.
type Coupon struct {
	Stock      int       // that can be granted; 0: any number, negative: none left (-6)
	PerMember  int       // that one member can have; 0: any number (-7)
	ValidFrom  time.Time // before it -3; zero: always
	ValidUntil time.Time // from it on -3; zero: never
	TemplateID int64     // 0: made from the uuid
	Discount   int64     // 0: 1000
	StartFee   int64     // 0: 5000
	Name       string    // empty: 测试券
}

// Replay is what a repeat of a granted out_id is answered. None grants again.
type Replay string

// The kinds of Replay.
const (
	ReplaySame       Replay = "same"        // the first answer again
	ReplayNoModel    Replay = "no-model"    // a success envelope without the coupon
	ReplayRefuse     Replay = "refuse"      // business code -11
	ReplayLimitFirst Replay = "limit-first" // -6 or -7 if stock or limit are used up, which the first grant may have done; else same
)

// Conflict is what a granted out_id with other content is answered.
type Conflict string

// The kinds of Conflict.
const (
	ConflictSame     Conflict = "same" // as a repeat
	ConflictArgument Conflict = "41"   // platform code 41
	ConflictRefuse   Conflict = "-11"  // business code -11
)

func (c Config) withDefaults() Config {
	if c.Replay == "" {
		c.Replay = ReplaySame
	}
	if c.Conflict == "" {
		c.Conflict = ConflictSame
	}
	if c.Form == "" {
		c.Form = formDefault
	}
	c.CouponTypes = append([]int64{247, 276, 357}, c.CouponTypes...)
	if c.Clock == nil {
		c.Clock = time.Now
	}
	return c
}

// validate joins everything that is wrong.
func (c Config) validate() error {
	var errs []error
	refuse := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	refuse(len(c.Apps) == 0, "no app: nobody could call")
	for key, app := range c.Apps {
		refuse(key == "" || app.Secret == "", "an app needs a key and a secret")
	}
	switch c.Replay {
	case ReplaySame, ReplayNoModel, ReplayRefuse, ReplayLimitFirst:
	default:
		refuse(true, "replay is %q: set same, no-model, refuse or limit-first", c.Replay)
	}
	switch c.Conflict {
	case ConflictSame, ConflictArgument, ConflictRefuse:
	default:
		refuse(true, "conflict is %q: set same, 41 or -11", c.Conflict)
	}
	refuse(!knownForm(c.Form), "form is %q: set one of %s", c.Form, formList())
	refuse(c.Retention < 0 || c.Latency < 0 || c.Spread < 0, "retention, latency and spread cannot be negative")
	q := c.Quotas
	refuse(q.AppPerDay < 0 || q.APIPerSecond < 0 || q.AppAPIPerSecond < 0, "quotas cannot be negative: 0 is any number of calls")
	return errors.Join(errs...)
}
