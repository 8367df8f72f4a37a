package proof

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// serveLedger serves rows two at a time, under a path prefix.
func serveLedger(t *testing.T, rows []string) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /gw/control/ledger", func(w http.ResponseWriter, r *http.Request) {
		from, _ := strconv.Atoi(r.FormValue("after"))
		to := min(from+2, len(rows))
		page := map[string]any{"entries": []json.RawMessage{}}
		for _, row := range rows[from:to] {
			page["entries"] = append(page["entries"].([]json.RawMessage), json.RawMessage(row))
		}
		if to < len(rows) {
			page["next"] = strconv.Itoa(to)
		}
		_ = json.NewEncoder(w).Encode(page)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL + "/gw"
}

func ledgerJSON(i int64, grants int) string {
	n := strconv.FormatInt(i, 10)
	return `{"app_key": "a", "out_id": "r-` + n + `", "calls": 2, "granted": true, "grants": ` + strconv.Itoa(grants) + `,
		"granted_at": "2026-03-01T08:01:00Z", "uuid": "code", "coupon_type": 276,
		"coupon": {"instance_id": ` + strconv.FormatInt(1000+i, 10) + `, "discount": 500, "name": "five off", "template_id": 9}}`
}

func TestReadLedgerReadsAllPages(t *testing.T) {
	s := newSystem(5)
	rows := []string{`{"app_key": "a", "out_id": "r-9", "calls": 3, "granted": false, "grants": 0}`}
	for i := range int64(5) {
		s.grant(i)
		rows = append(rows, ledgerJSON(i, 1))
	}
	require.NoError(t, ReadLedger(t.Context(), new(http.Client), serveLedger(t, rows), s.Checker))
	r := s.Report()
	require.Equal(t, Balanced, r.Verdict(), text(t, r))
	require.Equal(t, &LedgerTotals{OutIDs: 6, Calls: 13, Coupons: 5}, r.Ledger)
}

func TestReadLedgerOfNothingMakesEveryGrantUntrue(t *testing.T) {
	s := newSystem(2)
	s.grant(0)
	s.grant(1)
	require.NoError(t, ReadLedger(t.Context(), new(http.Client), serveLedger(t, nil), s.Checker))
	require.Equal(t, map[Kind]int64{Untrue: 2}, counts(s.Report()))
}

func TestReadLedgerFindsASecondCoupon(t *testing.T) {
	s := newSystem(1)
	s.grant(0)
	require.NoError(t, ReadLedger(t.Context(), new(http.Client), serveLedger(t, []string{ledgerJSON(0, 2)}), s.Checker))
	require.Equal(t, map[Kind]int64{GrantedTwice: 1}, counts(s.Report()))
}

func TestReadLedgerErrors(t *testing.T) {
	for _, c := range []struct {
		name, body, want string
		status           int
	}{
		{"not there", "", "reading the ledger: it answers 404", 404},
		{"no JSON", "<html>", "reading the ledger: invalid character '<'", 200},
		{"a cursor without entries", `{"entries": [], "next": "7"}`, "its pages do not move on", 200},
		{"a cursor that stays", `{"entries": [{"out_id": "r-0"}], "next": "7"}`, "its pages do not move on", 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(c.body))
			}))
			defer server.Close()
			err := ReadLedger(t.Context(), new(http.Client), server.URL, NewChecker(testTopics()))
			require.ErrorContains(t, err, c.want)
		})
	}
	require.Error(t, ReadLedger(t.Context(), new(http.Client), "localhost:80", NewChecker(testTopics())))
}
