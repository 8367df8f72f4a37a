//go:build integration || chaos || apart

package proof_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/stretchr/testify/require"
)

// replica is `coupongrant run` as a process.
type replica struct {
	*process
	s     *system
	admin string // address
}

// hold is why it waits, as /readyz says it.
type hold struct {
	Kind   string `json:"kind"`
	Where  string `json:"where"`
	Reason string `json:"reason"`
}

// replica starts one by the name of its transactional id, with settings and flags of
// its own.
func (s *system) replica(name string, settings map[string]string, flags ...string) *replica {
	s.t.Helper()
	env := s.environment(settings)
	env = append(env, "COUPONGRANT_KAFKA_TRANSACTIONAL_ID="+s.group+"."+name)
	r := &replica{process: runProcess(s.t, env, buildBinary(s.t), append([]string{"run"}, flags...)...), s: s}
	s.eventually("the replica must serve its admin address", func() bool {
		require.True(s.t, r.running(), r.stderr.String())
		for _, line := range r.log() {
			if line["msg"] == "serving" {
				r.admin, _ = line["address"].(string)
			}
		}
		return r.admin != ""
	})
	return r
}

// log is what it has logged so far.
func (r *replica) log() []map[string]any {
	var lines []map[string]any
	for text := bufio.NewScanner(strings.NewReader(r.stderr.String())); text.Scan(); {
		var line map[string]any
		if json.Unmarshal(text.Bytes(), &line) == nil { // the last one may be half written
			lines = append(lines, line)
		}
	}
	return lines
}

// waits counts how often the log says that a hold of this kind came.
func (r *replica) waits(kind string) (n int) {
	for _, line := range r.log() {
		if line["msg"] == "waiting" && line["hold"] == kind {
			n++
		}
	}
	return n
}

// readiness is what /readyz answers.
func (r *replica) readiness() (status int, holds []hold) {
	client := http.Client{Timeout: 5 * time.Second}
	answer, err := client.Get("http://" + r.admin + "/readyz")
	require.NoError(r.s.t, err)
	defer func() { _ = answer.Body.Close() }()
	var body struct {
		Holds []hold `json:"holds"`
	}
	require.NoError(r.s.t, json.NewDecoder(answer.Body).Decode(&body))
	return answer.StatusCode, body.Holds
}

// becomesReady waits for it.
func (r *replica) becomesReady() {
	r.s.t.Helper()
	r.s.eventually("the replica must become ready", func() bool {
		status, holds := r.readiness()
		require.Equal(r.s.t, status == http.StatusOK, len(holds) == 0)
		return status == http.StatusOK
	})
}

// comesToHold waits until a hold of this kind stands and returns its reason.
func (r *replica) comesToHold(kind string) (reason string) {
	r.s.t.Helper()
	r.s.eventually("the replica must say why it waits: "+kind, func() bool {
		status, holds := r.readiness()
		for _, h := range holds {
			if h.Kind == kind {
				require.Equal(r.s.t, http.StatusServiceUnavailable, status)
				reason = h.Reason
			}
		}
		return reason != ""
	})
	return reason
}
