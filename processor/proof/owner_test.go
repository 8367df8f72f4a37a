//go:build chaos || apart

package proof_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"
)

// ownerOf finds whose process is at the other end of a connection that came in
// over loopback, as the kernel lists sockets. All clients of a broker come by
// one address, so nothing in the protocol tells two processes of one
// transactional id apart. nil: none of ours. The list is not read at one moment
// and may lack a socket that stands, so it is read again.
func (c *crew) ownerOf(conn net.Conn) *member {
	remote, ok := conn.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return nil
	}
	for range ownerLooks {
		inode := socketOf(remote.Port)
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
	c.journal.write("nobody of ours has port %d", remote.Port)
	return nil
}

const (
	ownerLooks = 20
	ownerAgain = 5 * time.Millisecond
)

// socketOf is the inode of the socket with this local port on loopback.
func socketOf(port int) string {
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return ""
	}
	local := fmt.Appendf(nil, "0100007F:%04X", port)
	for line := range bytes.Lines(table) {
		fields := bytes.Fields(line)
		if len(fields) > 9 && bytes.Equal(fields[1], local) {
			return string(fields[9])
		}
	}
	return ""
}

func hasSocket(pid int, inode string) bool {
	folder := "/proc/" + strconv.Itoa(pid) + "/fd"
	open, err := os.ReadDir(folder)
	if err != nil {
		return false // it has ended meanwhile
	}
	for _, fd := range open {
		if target, err := os.Readlink(folder + "/" + fd.Name()); err == nil && target == "socket:["+inode+"]" {
			return true
		}
	}
	return false
}
