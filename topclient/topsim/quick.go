package topsim

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"time"
)

// NewQuick is a gateway for measurements: it grants every call, so long after
// its arrival as delay says of its out_id. It checks and remembers nothing, so
// that its own work is little more than net/http's, and gives everyone the same
// coupon. An out_id must be of letters, digits and dashes to be seen by delay.
func NewQuick(delay func(outID string) time.Duration) http.Handler {
	model := Model{InstanceID: 1<<53 + 1, TemplateID: 276, Name: "测试券", Discount: 1000, StartFee: 5000, StartTime: 1767196800000, EndTime: 1798732800000}
	answer := newReply(&document{roots: []member{objectMember(responseRoot,
		objectMember("model", model.members()...), textMember("request_id", "quick1"))}})
	answer.header.Set("Content-Length", strconv.Itoa(len(answer.body)))
	return quick{delay, answer}
}

type quick struct {
	delay  func(outID string) time.Duration
	answer reply
}

// ServeHTTP answers one call.
func (q quick) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	arrived := time.Now()
	if r.URL.Path != routerPath {
		http.NotFound(w, r)
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		panic(http.ErrAbortHandler) // the caller left in the middle of its request
	}
	if !linger(r, time.Until(arrived.Add(q.delay(outIDOf(body))))) {
		return
	}
	header := w.Header()
	for name, values := range q.answer.header {
		header[name] = values
	}
	_, _ = w.Write(q.answer.body) // an error means that the caller left
}

// linger waits; false: the caller left meanwhile.
func linger(r *http.Request, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

// outIDOf finds the out_id in a form without taking it apart, which would cost
// more than everything else here.
func outIDOf(form []byte) string {
	_, rest, _ := bytes.Cut(form, []byte("%22out_id%22%3A%22"))
	id, _, _ := bytes.Cut(rest, []byte("%"))
	return string(id)
}
