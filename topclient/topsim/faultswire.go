package topsim

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf16"
)

const (
	silence   = time.Hour // longer than any caller waits
	bombBytes = 64 << 20  // unpacked
	hugeBytes = 8 << 20
	nesting   = 100_000 // levels
)

func connectionFaults() []Fault {
	const group = GroupConnection
	reset, closed, half := cutBehaviour("reset", cutReset), cutBehaviour("close", cutClose), cutBehaviour("reset-in-body", cutBody)
	return slices.Concat(
		[]Fault{
			newFault(group, "nobody listens (over sockets: reset before anything is read)", Behaviour{name: "refuse", door: cutRefuse}),
			newFault(group, "the certificate is nobody's (over sockets: as refuse)", Behaviour{name: "bad-certificate", door: cutCertificate}),
			newFault(group, "reset instead of the answer: a lost answer", LoseAnswer()),
		},
		both(group, "reset instead of the answer", reset),
		both(group, "closed in order instead of the answer", closed),
		both(group, "reset after half of the body", half),
		both(group, "an hour of silence", named("stall", Stall(silence))),
		both(group, "the answer takes a second", named("slow", Stall(time.Second))),
		both(group, "headers and half of the body, then an hour of silence", Behaviour{name: "stall-in-body", wire: func(r *reply) {
			r.piece, r.pause = max(len(r.body)/2, 1), silence
		}}),
		both(group, "one byte of the body a second", Behaviour{name: "drip", wire: func(r *reply) {
			r.piece, r.pause = 1, time.Second
		}}),
		[]Fault{
			newFault(group, "a true answer, then closed without a word: the next call meets a dead connection",
				Behaviour{name: "close-idle", after: true, wire: func(r *reply) { r.cut = cutIdle }}),
			newFault(group, "a true answer that says Connection: close", Behaviour{name: "connection-close", after: true, wire: func(r *reply) {
				r.header.Set("Connection", "close")
			}}),
		},
	)
}

func httpFaults() []Fault {
	const group = GroupHTTP
	out := []Fault{newFault(group, "503 with a page: the gateway is down", edgeBehaviour("outage", http.StatusServiceUnavailable))}
	for _, status := range []int{403, 404, 429, 500, 502, 503, 504} {
		out = append(out, both(group, fmt.Sprintf("%d with a page of the edge", status),
			edgeBehaviour(fmt.Sprintf("http-%d", status), status))...)
	}
	out = append(out, both(group, "400 around an envelope", Behaviour{name: "http-400", alter: func(r *reply) {
		r.status = http.StatusBadRequest
	}})...)
	out = append(out, both(group, "302 to a page", Behaviour{name: "redirect", alter: func(r *reply) {
		*r = edgeReply(http.StatusFound)
		r.header.Set("Location", "/error.html")
	}})...)
	out = append(out, both(group, "200 with a page", edgeBehaviour("html-200", http.StatusOK))...)
	out = append(out, both(group, "200 with nothing", body200("empty-200", nil))...)
	out = append(out, both(group, "200 with bytes that mean nothing", body200("garbage", []byte("\x00\xff\xfe{]]><")))...)
	out = append(out, both(group, "200 with an empty object", body200("empty-object", []byte("{}")))...)
	return append(out, bodyFaults()...)
}

func body200(name string, content []byte) Behaviour {
	return Behaviour{name: name, alter: func(r *reply) { r.body = content }}
}

// bodyFaults spoil a true answer, so they strike after the grant.
func bodyFaults() []Fault {
	var out []Fault
	alter := func(name, text string, alter func(r *reply)) {
		out = append(out, newFault(GroupHTTP, text, Behaviour{name: name, after: true, alter: alter}))
	}
	wire := func(name, text string, wire func(r *reply)) {
		out = append(out, newFault(GroupHTTP, text, Behaviour{name: name, after: true, wire: wire}))
	}
	alter("content-type", "a true answer as text/html", func(r *reply) { r.header.Set("Content-Type", "text/html;charset=UTF-8") })
	alter("gbk", "a true answer in GBK", func(r *reply) {
		r.header.Set("Content-Type", strings.ReplaceAll(r.header.Get("Content-Type"), "UTF-8", "GBK"))
		r.body = bytes.ReplaceAll(r.body, []byte("测试券"), []byte("\xb2\xe2\xca\xd4\xc8\xaf"))
	})
	alter("utf-16", "a true answer in UTF-16", func(r *reply) { r.body = toUTF16(r.body) })
	alter("bom", "a true answer after a byte order mark", func(r *reply) { r.body = append([]byte("\ufeff"), r.body...) })
	alter("truncated", "half of an answer that claims to be whole", func(r *reply) { r.body = r.body[:len(r.body)/2] })
	alter("trailing", "a true answer and then more", func(r *reply) { r.body = append(r.body, "\n<!-- edge -->{}"...) })
	alter("huge", "a true answer before 8 MiB of spaces", func(r *reply) {
		r.body = append(r.body, bytes.Repeat([]byte{' '}, hugeBytes)...)
	})
	alter("deep", "100,000 arrays in each other", func(r *reply) { r.body = bytes.Repeat([]byte{'['}, nesting) })
	wire("content-length-long", "Content-Length is more than comes", func(r *reply) { r.declared = len(r.body) + 16 })
	wire("content-length-short", "Content-Length is less than there is: cut short, and seems whole", func(r *reply) { r.declared = max(len(r.body)-16, 1) })
	wire("gzip-truncated", "gzip that ends in the middle", func(r *reply) {
		r.packed()
		r.body = r.body[:len(r.body)/2]
	})
	wire("gzip-no-trailer", "gzip without its checksum", func(r *reply) {
		r.packed()
		r.body = r.body[:len(r.body)-8]
	})
	alter("gzip-lie", "says gzip and is none", func(r *reply) { r.header.Set("Content-Encoding", "gzip") })
	wire("gzip-bomb", "gzip of 64 MiB", func(r *reply) {
		r.header.Del("Content-Encoding")
		r.body = bytes.Repeat([]byte{' '}, 1<<20)
		r.zip()
		r.body = bytes.Repeat(r.body, bombBytes>>20) // a gzip file may have many members
	})
	return out
}

// packed zips a reply that is not zipped yet.
func (r *reply) packed() {
	if r.header.Get("Content-Encoding") == "" {
		r.zip()
	}
}

func toUTF16(text []byte) []byte {
	out := []byte{0xff, 0xfe}
	for _, unit := range utf16.Encode([]rune(string(text))) {
		out = append(out, byte(unit), byte(unit>>8))
	}
	return out
}
