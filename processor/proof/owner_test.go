//go:build chaos || apart

package proof_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/procfs"
	"github.com/stretchr/testify/require"
)

// ownerOf finds whose process is at the other end of a connection that came in
// over loopback, as the kernel lists sockets. All clients of a broker come by
// one address, so nothing in the protocol tells two processes of one
// transactional id apart. nil: none of ours. The list is not read at one moment
// and may lack a socket that stands, so it is read again.
func (c *crew) ownerOf(conn net.Conn) *member {
	for range ownerLooks {
		inode := socketOf(conn.RemoteAddr(), conn.LocalAddr())
		if inode != "" && hasSocket(os.Getpid(), inode) {
			return nil // a client of the test itself
		}
		for _, m := range c.living("") {
			if inode != "" && hasSocket(m.cmd.Process.Pid, inode) {
				return m
			}
		}
		time.Sleep(ownerAgain)
	}
	c.journal.write("nobody of ours is at %s", conn.RemoteAddr())
	return nil
}

const (
	ownerLooks = 20
	ownerAgain = 5 * time.Millisecond
)

// socketOf is the inode of the socket that leads from one address to another over
// IPv4. Both count: the kernel gives one local port to several sockets at a time, if
// they lead elsewhere, and lists those too that only wait for their end.
func socketOf(from, to net.Addr) string {
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return ""
	}
	local, remote := listed(from), listed(to)
	for line := range bytes.Lines(table) {
		fields := bytes.Fields(line)
		if len(fields) > 9 && bytes.Equal(fields[1], local) && bytes.Equal(fields[2], remote) {
			return string(fields[9])
		}
	}
	return ""
}

// listed is how the kernel lists an address: the bytes of it as the machine has
// them in a word, and the port.
func listed(of net.Addr) []byte {
	tcp, ok := of.(*net.TCPAddr)
	if !ok || tcp.IP.To4() == nil {
		return nil
	}
	return fmt.Appendf(nil, "%08X:%04X", binary.NativeEndian.Uint32(tcp.IP.To4()), tcp.Port)
}

func hasSocket(pid int, inode string) bool {
	proc, err := procfs.NewProc(pid)
	if err != nil {
		return false // it has ended meanwhile
	}
	open, err := proc.FileDescriptorTargets()
	return err == nil && slices.Contains(open, "socket:["+inode+"]")
}

// A local port is given anew while an older socket of it still waits for its end.
func TestOwnerIsToldByBothEndsOfAConnection(t *testing.T) {
	var first, second net.Conn
	// Bound before it connects, a port is nobody else's: one that the system chooses as it connects is shared with
	// connections to elsewhere, and cannot be bound again if one of those does not allow it.
	var from net.Addr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}
	for _, conn := range []*net.Conn{&first, &second} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		t.Cleanup(func() { _ = listener.Close() })
		dialer := net.Dialer{Control: reusesItsPort, LocalAddr: from}
		*conn, err = dialer.Dial("tcp", listener.Addr().String())
		require.NoError(t, err)
		from = (*conn).LocalAddr()
		t.Cleanup(func() { _ = (*conn).Close() })
		accepted, err := listener.Accept()
		require.NoError(t, err)
		t.Cleanup(func() { _ = accepted.Close() })
	}
	require.Equal(t, first.LocalAddr(), second.LocalAddr())

	one, other := socketOf(first.LocalAddr(), first.RemoteAddr()), socketOf(second.LocalAddr(), second.RemoteAddr())

	require.True(t, hasSocket(os.Getpid(), one))
	require.True(t, hasSocket(os.Getpid(), other))
	require.NotEqual(t, one, other)
	require.NoError(t, first.Close())
	require.Equal(t, other, socketOf(second.LocalAddr(), second.RemoteAddr()))
}

// reusesItsPort lets a socket have a local port that another one has.
func reusesItsPort(_, _ string, raw syscall.RawConn) (err error) {
	controlled := raw.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1) })
	return errors.Join(err, controlled)
}
