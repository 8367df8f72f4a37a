package topsim

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"
)

const (
	responseRoot = "tmall_nrt_coupon_send_response"
	errorRoot    = "error_response"
)

// How the gateway's machine names itself; an address of the documentation range.
const (
	hostAddress = "192.0.2.10"
	hostName    = "top192000002010.sim"
)

// problem is an error envelope.
type problem struct {
	code    int
	subCode string
	subMsg  string
	detail  string // after a colon at the end of msg
}

func (p *problem) msg() string {
	if p.detail == "" {
		return platformMessage(p.code)
	}
	return platformMessage(p.code) + ":" + p.detail
}

// members are those of an error root, without what is empty.
func (p *problem) members() []member {
	out := []member{numberMember("code", int64(p.code)), textMember("msg", p.msg())}
	if p.subCode != "" {
		out = append(out, textMember("sub_code", p.subCode))
	}
	if p.subMsg != "" {
		out = append(out, textMember("sub_msg", p.subMsg))
	}
	return out
}

// Model is a granted coupon as it is answered.
type Model struct {
	InstanceID int64  `json:"instance_id"`
	TemplateID int64  `json:"template_id"`
	Name       string `json:"name"`
	Discount   int64  `json:"discount"`
	StartFee   int64  `json:"start_fee"`
	StartTime  int64  `json:"start_time"`
	EndTime    int64  `json:"end_time"`
}

func (m *Model) members() []member {
	return []member{
		numberMember("coupon_instance_id", m.InstanceID),
		textMember("coupon_name", m.Name),
		numberMember("coupon_template_id", m.TemplateID),
		numberMember("discount", m.Discount),
		numberMember("end_time", m.EndTime),
		numberMember("start_fee", m.StartFee),
		numberMember("start_time", m.StartTime),
	}
}

// newDocument answers c with whatever out says.
func (s *Simulator) newDocument(c *call, out outcome) *document {
	doc := &document{xml: c.xml, simplify: c.simplify}
	requestID := textMember("request_id", s.requestID())
	switch {
	case out.problem != nil:
		doc.roots = []member{objectMember(errorRoot, append(out.problem.members(), requestID)...)}
	case out.business != 0:
		doc.roots = []member{businessRoot(cmp.Or(out.form, s.cfg.Form), out.business, requestID)}
	case out.noModel:
		doc.roots = []member{objectMember(responseRoot, requestID)}
	default:
		doc.roots = []member{objectMember(responseRoot, objectMember("model", out.model.members()...), requestID)}
	}
	return doc
}

// requestID is short and unlike any other of this simulator.
func (s *Simulator) requestID() string {
	n := s.requestIDs.Add(1)
	return strconv.FormatUint(mix(s.cfg.Seed^uint64(n)), 36)
}

// cut is how a connection ends before its time.
type cut uint8

const (
	cutNone        cut = iota
	cutRefuse          // nobody listens
	cutCertificate     // nobody trusts
	cutReset           // no header leaves, RST
	cutClose           // no header leaves, FIN
	cutBody            // half of the body leaves, RST
	cutIdle            // after the answer, FIN
)

// reply is an answer as bytes, and what becomes of the connection under it.
type reply struct {
	cut      cut
	status   int
	header   http.Header
	body     []byte
	declared int           // Content-Length if that is a lie, else 0
	piece    int           // bytes of the body that leave at once; 0: all
	pause    time.Duration // between pieces
}

// isWhole says whether all of it leaves, as soon as the caller reads.
func (r *reply) isWhole() bool { return r.pause == 0 && (r.cut == cutNone || r.cut == cutIdle) }

func newReply(doc *document) reply {
	body := doc.encode()
	kind := "text/javascript;charset=UTF-8"
	if doc.xml {
		kind = "text/xml;charset=UTF-8"
	}
	return reply{status: http.StatusOK, body: body, header: http.Header{
		"Application-Host": {hostAddress},
		"Content-Type":     {kind},
		"Location-Host":    {hostName},
		"Server":           {"Tengine"},
		"Top-Bodylength":   {strconv.Itoa(len(body))},
		"Vary":             {"Accept-Encoding"},
	}}
}

// edgeReply is a page of the machines before the gateway.
func edgeReply(status int) reply {
	title := fmt.Sprintf("%d %s", status, http.StatusText(status))
	body := "<html>\r\n<head><title>" + title + "</title></head>\r\n<body bgcolor=\"white\">\r\n<center><h1>" + title +
		"</h1></center>\r\n<hr/>Powered by Tengine</body>\r\n</html>\r\n"
	return reply{status: status, body: []byte(body), header: http.Header{
		"Content-Type": {"text/html"},
		"Server":       {"Tengine"},
	}}
}

// zippers keep gzip's tables, which cost more to make than an answer to pack.
var zippers = sync.Pool{New: func() any {
	z, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // the level is valid
	return z
}}

func (r *reply) zip() {
	z := zippers.Get().(*gzip.Writer)
	defer zippers.Put(z)
	out := bytes.NewBuffer(make([]byte, 0, len(r.body)+64))
	z.Reset(out)
	_, _ = z.Write(r.body) // a Buffer takes everything
	_ = z.Close()
	r.body = out.Bytes()
	r.header.Set("Content-Encoding", "gzip")
}

// platformMessage is the gateway's text for a platform code.
func platformMessage(code int) string {
	if text, ok := platformMessages[code]; ok {
		return text
	}
	if code >= 100 {
		return "Remote service error"
	}
	return "Unknown error"
}

var platformMessages = map[int]string{
	3: "Upload Fail", 4: "User Call Limited", 5: "Session Call Limited", 6: "Partner Call Limited",
	7: "App Call Limited", 8: "App Call Exceeds Limited Frequency", 9: "Http Action Not Allowed",
	10: "Service Currently Unavailable", 11: "Insufficient ISV Permissions",
	12: "Insufficient User Permissions", 13: "Insufficient Partner Permissions", 15: "Remote service error",
	21: "Missing Method", 22: "Invalid Method", 23: "Invalid Format", 24: "Missing Signature",
	25: "Invalid signature", 26: "Missing Session", 27: "Invalid session", 28: "Missing App Key",
	29: "Invalid app Key", 30: "Missing Timestamp", 31: "Invalid Timestamp", 32: "Missing Version",
	33: "Invalid Version", 34: "Unsupported Version", 40: "Missing required arguments",
	41: "Invalid arguments", 42: "Forbidden Request", 43: "Parameter Error", 50: "Remote service error",
	53: "Insufficient security level",
}
