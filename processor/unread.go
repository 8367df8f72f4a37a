package processor

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// unread asks the brokers now and then how far the inputs reach. kgo keeps to itself what
// it tries again by itself (a leader that is none, a damaged log), for as long as it lasts,
// and a partition that is not read for such a reason would be silent.
type unread struct {
	client *kgo.Client
	topics []string
	found  *mailbox[map[partition]int64] // where the logs end, of those that could be asked for and have no transaction open
}

const (
	unreadEvery = 10 * time.Second
	unreadLooks = 3 // in a row at which a partition stands where it stood
)

// run ends with ctx.
func (u *unread) run(ctx context.Context) {
	ticker := time.NewTicker(unreadEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		if ends := u.look(ctx); len(ends) > 0 {
			u.found.put(ends)
		}
	}
}

func (u *unread) look(ctx context.Context) map[partition]int64 {
	ctx, cancel := context.WithTimeout(ctx, preflightTimeout)
	defer cancel()
	ends := inTime(ctx, func() map[partition]int64 {
		adm := kadm.NewClient(u.client)
		all, _ := adm.ListEndOffsets(ctx, u.topics...) // what is wrong is told by who needs it
		stable, _ := adm.ListCommittedOffsets(ctx, u.topics...)
		return closed(all, stable)
	})
	return ends
}

// closed are the ends of logs in which nobody has a transaction open. Below an open one kgo
// passes over what another aborted, and we hear of it with the marker, above.
func closed(all, stable kadm.ListedOffsets) map[partition]int64 {
	ends := map[partition]int64{}
	stable.Each(func(o kadm.ListedOffset) {
		end, known := all.Lookup(o.Topic, o.Partition)
		if known && end.Err == nil && o.Err == nil && o.Partition >= 0 && o.Offset >= end.Offset {
			ends[partition{o.Topic, o.Partition}] = end.Offset
		}
	})
	return ends
}

// tellUnread states as a hold what is not read although it could be.
func (s *session) tellUnread(ends map[partition]int64) {
	for p, o := range s.windows.open {
		end, known := ends[p]
		if !known || end <= o.next || o.next != o.stoodAt || o.paused || o.withheld || o.bombed {
			o.stoodAt, o.stood = o.next, 0
		}
		if known && end > o.next {
			o.stood++
		}
		if o.stood >= unreadLooks {
			o.complained = time.Now()
			s.holds.Set(holdTopic, p.String(), fmt.Sprintf("what stands from offset %d to %d is not read: the brokers give nothing of it, nor a reason; look at the leader of this partition and at its log", o.next, end-1))
		}
	}
}
