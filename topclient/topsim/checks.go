package topsim

import (
	"crypto/subtle"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"regexp"
	"strconv"
	"time"
)

const (
	routerPath     = "/router/rest"
	timeLayout     = "2006-01-02 15:04:05"
	clockTolerance = 10 * time.Minute
)

// gatewayZone is that of timestamps and of days.
var gatewayZone = time.FixedZone("GMT+8", 8*60*60)

// Call is what a Match can look at. It hides OpenID when printed.
type Call struct {
	AppKey string
	OutID  string
	UUID   string
	OpenID string `json:"-"`
	Number int64  // which call of this out_id it is, from 1
}

// Format hides OpenID from every verb.
func (c Call) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, fmt.Sprintf("{%s %s %s call %d}", c.AppKey, c.OutID, c.UUID, c.Number))
}

// inbound is a call as it arrives by either road.
type inbound struct {
	method, path, query string
	formBody            bool   // the Content-Type is that of a form
	body                string // at most maxBody+1 bytes
	remote              string // address and port
	gzip                bool   // asked for
}

// call is an inbound on its way through the checks.
type call struct {
	in       inbound
	now      time.Time
	params   []param
	xml      bool
	simplify bool
	appKey   string
	app      App
	dto      dto
	dtoBad   string // the member that is wrong
	entry    *entry // of the ledger; nil until the signature is right
	number   int64
}

func (c *call) get(name string) string {
	value, _ := find(c.params, name)
	return value
}

// check is one step; nil lets the call pass.
type check func(*Simulator, *call) *problem

// checks in our order: the gateway's own is not documented. No client may
// depend on it.
var checks = [...]check{
	(*Simulator).checkAction,
	(*Simulator).checkForm,
	(*Simulator).checkPresence,
	(*Simulator).checkTime,
	(*Simulator).checkFormat,
	(*Simulator).checkSignature,
	(*Simulator).checkPermission,
	(*Simulator).checkSession,
	(*Simulator).checkQuota,
	(*Simulator).checkArguments,
}

func (s *Simulator) check(c *call) *problem {
	for _, step := range checks {
		if p := step(s, c); p != nil {
			return p
		}
	}
	return nil
}

func (s *Simulator) checkAction(c *call) *problem {
	if !c.in.isRouted() {
		return &problem{code: 9}
	}
	return nil
}

// isRouted says whether the HTTP method is one of the gateway's.
func (in *inbound) isRouted() bool {
	return in.method == http.MethodPost || in.method == http.MethodGet
}

func (s *Simulator) checkForm(c *call) *problem {
	body := ""
	if c.in.formBody {
		body = c.in.body
	}
	params, err := parseForm(c.in.query, body)
	if err != nil {
		return &problem{code: 41, detail: "form", subMsg: err.Error()}
	}
	c.params = params
	c.xml = c.get("format") != "json"
	c.simplify = c.get("simplify") == "true"
	return nil
}

var versionShape = regexp.MustCompile(`^\d+\.\d+$`)

func (s *Simulator) checkPresence(c *call) *problem {
	version := c.get("v")
	switch {
	case blank(c.get("method")):
		return &problem{code: 21}
	case blank(c.get("app_key")):
		return &problem{code: 28}
	case blank(version):
		return &problem{code: 32}
	case version != "2.0" && !versionShape.MatchString(version):
		return &problem{code: 33}
	case version != "2.0":
		return &problem{code: 34}
	default:
		return nil
	}
}

func (s *Simulator) checkTime(c *call) *problem {
	stamp := c.get("timestamp")
	if blank(stamp) {
		return &problem{code: 30}
	}
	at, err := parseTimestamp(stamp)
	if err != nil || c.now.Sub(at).Abs() > clockTolerance {
		return &problem{code: 31}
	}
	return nil
}

// parseTimestamp takes the documented form, and the milliseconds that the
// official Python SDK sends.
func parseTimestamp(stamp string) (time.Time, error) {
	if ms, err := strconv.ParseInt(stamp, 10, 64); err == nil {
		return time.UnixMilli(ms), nil
	}
	return time.ParseInLocation(timeLayout, stamp, gatewayZone)
}

func (s *Simulator) checkFormat(c *call) *problem {
	switch c.get("format") {
	case "", "xml", "json":
	default:
		return &problem{code: 23}
	}
	if blank(c.get("sign")) {
		return &problem{code: 24}
	}
	return nil
}

// checkSignature also takes the call into the ledger: from here on it is known
// who calls, and what for if the arguments can be read.
func (s *Simulator) checkSignature(c *call) *problem {
	if c.get("method") != Method {
		return &problem{code: 22}
	}
	app, known := s.app(c.get("app_key"))
	if !known {
		return &problem{code: 29, subCode: "isv.appkey-not-exists"}
	}
	want, known := signature(c.get("sign_method"), app.Secret, c.params)
	if !known || subtle.ConstantTimeCompare([]byte(want), []byte(c.get("sign"))) != 1 {
		return &problem{code: 25}
	}
	c.appKey, c.app = c.get("app_key"), app
	c.dto, c.dtoBad = parseDTO(c.get(dtoName), s.cfg.CouponTypes)
	if c.dto.outID != "" {
		c.entry, c.number = s.ledger.arrived(c.appKey, c.dto.outID)
	}
	return nil
}

func (s *Simulator) checkPermission(c *call) *problem {
	if !c.app.allows(c.in.remote) {
		return &problem{
			code: 11, subCode: "isv.permission-ip-whitelist-limit",
			subMsg: fmt.Sprintf("the ip %s is not in %v", host(c.in.remote), c.app.IPs),
		}
	}
	if c.app.NoPackage {
		return &problem{code: 11, subCode: "isv.permission-api-package-limit"}
	}
	return nil
}

func (a App) allows(remote string) bool {
	if len(a.IPs) == 0 {
		return true
	}
	address, err := netip.ParseAddr(host(remote))
	if err != nil {
		return false
	}
	for _, prefix := range a.IPs {
		if prefix.Contains(address.Unmap()) {
			return true
		}
	}
	return false
}

func host(remote string) string {
	if ap, err := netip.ParseAddrPort(remote); err == nil {
		return ap.Addr().String()
	}
	return remote
}

func (s *Simulator) checkSession(c *call) *problem {
	session := c.get("session")
	if blank(session) {
		return &problem{code: 26}
	}
	expiry, mine := c.app.Sessions[session]
	switch {
	case !mine && s.anyApp(session):
		return &problem{code: 27, subCode: "sessionkey-not-generated-by-server"}
	case !mine:
		return &problem{code: 27, subCode: "invalid-sessionkey"}
	case !expiry.IsZero() && !c.now.Before(expiry):
		return &problem{code: 27, subCode: "session-expired"}
	default:
		return nil
	}
}

func (s *Simulator) checkQuota(c *call) *problem { return s.quota.take(c.appKey, c.now) }

func (s *Simulator) checkArguments(c *call) *problem {
	if blank(c.get(dtoName)) {
		return &problem{code: 40, detail: dtoName}
	}
	if c.dtoBad != "" {
		return &problem{code: 41, detail: c.dtoBad}
	}
	return nil
}
