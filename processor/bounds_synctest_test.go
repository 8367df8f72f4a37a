//go:build synctests

package processor

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
)

// With the gateway down, a backlog on every partition fills the replica's bytes,
// and not each partition's. The bound is passed by no more than the part of a
// fetch that brought each partition to it.
func TestBacklogInAnOutageKeepsWithinTheBytesOfTheReplica(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const partitions, each = 6, 300
		var granting atomic.Int64
		gateway := &switched{}
		gateway.to(status(503))
		s := newShop(t, partitions, gateway)
		cfg := s.config("r1")
		cfg.WindowBytes, cfg.WindowTotalBytes = 4<<20, 4<<20
		letters := make([]byte, 5250) // that cannot be compressed, or a part of a fetch would grow to more
		random := rand.New(rand.NewPCG(1, 2))
		for i := range letters {
			letters[i] = byte(random.Uint32())
		}
		extra := base64.StdEncoding.EncodeToString(letters)
		for partition := range int32(partitions) {
			requests := s.requests(fmt.Sprint("id-", partition), each)
			for i := range requests {
				requests[i].Extra = &extra
				s.produce(partition, nil, requests[i])
			}
		}
		r := s.start(cfg)
		most := 0.0
		for range 300 {
			time.Sleep(time.Second)
			most = max(most, testutil.ToFloat64(r.metrics.windowBytes))
		}
		inputs := float64(3 * partitions)
		require.Greater(t, most, partitions*float64(cfg.WindowTotalBytes)/inputs, "the backlog is larger than what may be taken in")
		require.Less(t, most, float64(cfg.WindowTotalBytes+partitions*3*fetchMaxPartitionBytes))
		gateway.to(takes(time.Millisecond, &granting))
		onceEach(t, partitions*each, s.settled(partitions*each))
		require.NoError(t, r.stopped())
	})
}
