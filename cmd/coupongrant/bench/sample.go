package bench

import (
	"context"
	"time"
)

// sample is one look at everything.
type sample struct {
	at        time.Time
	count     int64
	cpu       float64 // seconds of the arms
	gateway   float64 // and of the gateway
	calls     int64   // that the gateway has answered
	took      float64 // seconds, all of them together
	resident  float64 // bytes of the arm that has most
	most      float64 // the same, ever
	busy, all float64 // seconds of all processors
}

func (t *trial) sample(ctx context.Context) (sample, error) {
	s := sample{at: time.Now(), count: t.count()}
	s.busy, s.all = machineUse()
	for _, p := range t.arms {
		u, err := p.usage()
		if err != nil {
			return s, err
		}
		s.cpu += u.cpu
		s.resident, s.most = max(s.resident, u.resident), max(s.most, u.most)
	}
	u, err := t.gateway.usage()
	if err != nil {
		return s, err
	}
	s.gateway = u.cpu
	s.calls, s.took, err = took(ctx, t.url)
	return s, err
}

// between takes figures from two samples.
func (t *trial) between(from, to sample, into map[string]float64) {
	seconds, events := to.at.Sub(from.at).Seconds(), float64(to.count-from.count)
	into["seconds"] = seconds
	into["processors busy"] = (to.busy - from.busy) / (to.all - from.all)
	into[memory] = to.most / (1 << 20)
	into["cpu ms per s"] = (to.cpu - from.cpu) / seconds * 1e3
	if events == 0 {
		return
	}
	into[perSecond] = events / seconds
	into[cpu] = (to.cpu - from.cpu) / events * 1e6
	into["gateway cpu us"] = (to.gateway - from.gateway) / events * 1e6
	if calls := to.calls - from.calls; t.spec.Call > 0 && calls > 0 {
		call := (to.took - from.took) / float64(calls)
		into[callTime] = call * 1e3
		into[ofIdeal] = into[perSecond] * call / t.spec.slots()
	}
}
