// Package freeport finds addresses at which tests and the bench, or processes of theirs, listen later.
package freeport

import (
	"fmt"
	"net"
	"os"
	"sync/atomic"
)

const first, count = 20000, 10000

var tried atomic.Uint32

// Address is one of this host at which nobody listens. Its port is none of those that
// systems give to outgoing connections: one of these could take it while it is not
// listened at. It gives no address twice until it has tried all of them, and other
// processes begin elsewhere.
func Address() (string, error) {
	var err error
	for range count {
		port := first + (uint32(os.Getpid())*97+tried.Add(1))%count
		var listener net.Listener
		if listener, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			return listener.Addr().String(), listener.Close()
		}
	}
	return "", fmt.Errorf("no port from %d to %d is free: %w", first, first+count-1, err)
}
