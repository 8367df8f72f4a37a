package proof

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/coupongrant/coupongrant/schemas"
)

const (
	ledgerPath     = "control/ledger"
	ledgerPageSize = 1000
	ledgerPageCap  = 16 << 20 // bytes; a page of that many entries takes less than 1 MiB
)

// ledgerPage is a part of a simulator's ledger as it stands on the wire. It is
// written down here again, since the proof imports schemas alone.
type ledgerPage struct {
	Entries []ledgerRow `json:"entries"`
	Next    string      `json:"next"` // cursor; empty: this was the last page
}

type ledgerRow struct {
	OutID      string        `json:"out_id"`
	Calls      int64         `json:"calls"`
	Grants     int64         `json:"grants"`
	GrantedAt  time.Time     `json:"granted_at"`
	UUID       string        `json:"uuid"`
	CouponType int32         `json:"coupon_type"`
	Coupon     *ledgerCoupon `json:"coupon"`
}

type ledgerCoupon struct {
	InstanceID int64   `json:"instance_id"`
	TemplateID *int64  `json:"template_id"`
	Discount   *int64  `json:"discount"`
	StartFee   *int64  `json:"start_fee"`
	StartTime  *int64  `json:"start_time"`
	EndTime    *int64  `json:"end_time"`
	Name       *string `json:"name"`
}

// ReadLedger adds the ledger of the simulator at base to a Checker that Read
// has filled: after the outcomes, so that every grant behind them is in it.
func ReadLedger(ctx context.Context, client *http.Client, base string, c *Checker) error {
	at, err := url.Parse(base)
	if err != nil || at.Host == "" {
		return errors.New("the ledger's address is not an http or https URL")
	}
	at = at.JoinPath(ledgerPath)
	c.startLedger()
	for after := ""; ; {
		page, err := readLedgerPage(ctx, client, *at, after)
		if err != nil {
			return fmt.Errorf("reading the ledger: %w", err)
		}
		for _, row := range page.Entries {
			c.AddLedger(row.entry())
		}
		if page.Next == "" {
			return nil
		}
		if page.Next == after || len(page.Entries) == 0 {
			return errors.New("reading the ledger: its pages do not move on")
		}
		after = page.Next
	}
}

func readLedgerPage(ctx context.Context, client *http.Client, at url.URL, after string) (page ledgerPage, err error) {
	query := url.Values{"limit": {strconv.Itoa(ledgerPageSize)}}
	if after != "" {
		query.Set("after", after)
	}
	at.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), http.NoBody)
	if err != nil {
		return page, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return page, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return page, fmt.Errorf("it answers %d", resp.StatusCode)
	}
	err = json.NewDecoder(io.LimitReader(resp.Body, ledgerPageCap)).Decode(&page)
	return page, err
}

func (r ledgerRow) entry() LedgerEntry {
	e := LedgerEntry{
		OutID: r.OutID, Calls: r.Calls, Coupons: r.Grants,
		CouponCode: r.UUID, CouponType: r.CouponType, GrantedAt: r.GrantedAt,
	}
	if m := r.Coupon; m != nil {
		e.Coupon = &schemas.Coupon{
			InstanceID: m.InstanceID, TemplateID: m.TemplateID, Discount: m.Discount, StartFee: m.StartFee,
			StartTime: m.StartTime, EndTime: m.EndTime, Name: m.Name,
		}
	}
	return e
}
