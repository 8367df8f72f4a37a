package topsim

import (
	"fmt"
	"sync"
	"time"
)

// quota counts calls in the gateway's own seconds and days.
type quota struct {
	limits Quotas

	mu     sync.Mutex
	second int64          // the one that is counted
	day    int64          // in GMT+8
	api    int            // calls of all apps in the second
	perSec map[string]int // calls of an app in the second
	perDay map[string]int
}

// take counts a call and refuses it above a limit.
func (q *quota) take(appKey string, now time.Time) *problem {
	if q.limits == (Quotas{}) {
		return nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if day := daysSince1970(now); day != q.day || q.perDay == nil {
		q.day, q.perDay = day, map[string]int{}
	}
	if second := now.Unix(); second != q.second || q.perSec == nil {
		q.second, q.api, q.perSec = second, 0, map[string]int{}
	}
	q.perDay[appKey]++
	q.api++
	q.perSec[appKey]++
	switch l := q.limits; {
	case over(q.perDay[appKey], l.AppPerDay):
		return ban("app-access-count", untilMidnight(now))
	case over(q.api, l.APIPerSecond):
		return ban("api-access-count", time.Second)
	case over(q.perSec[appKey], l.AppAPIPerSecond):
		return ban("app-api-access-count", time.Second)
	default:
		return nil
	}
}

func over(n, limit int) bool { return limit > 0 && n > limit }

// ban is code 7 with a limit's name, in the words that were recorded.
func ban(limit string, d time.Duration) *problem {
	seconds := int64((d + time.Second - 1) / time.Second)
	return &problem{
		code: 7, subCode: "accesscontrol.limited-by-" + limit,
		subMsg: fmt.Sprintf("This ban will last for %d more seconds", seconds),
	}
}

const day = 24 * time.Hour

func daysSince1970(now time.Time) int64 {
	return (now.Unix() + int64(8*time.Hour/time.Second)) / int64(day/time.Second)
}

func untilMidnight(now time.Time) time.Duration {
	local := now.In(gatewayZone)
	year, month, date := local.Date()
	return time.Date(year, month, date+1, 0, 0, 0, 0, gatewayZone).Sub(local)
}
