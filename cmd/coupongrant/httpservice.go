package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"go.uber.org/fx"
	"golang.org/x/net/netutil"
)

const (
	headerTimeout   = 5 * time.Second
	idleTimeout     = 2 * time.Minute
	maxHeaderBytes  = 16 << 10
	closingPatience = time.Second

	// Of a listener that others reach: who sends or reads too slowly is left, and who
	// opens connections without end has the program's other ones left alone.
	requestTimeout = 10 * time.Second
	answerTimeout  = 30 * time.Second
	maxConnections = 256
)

// httpService serves one handler on one listener, in a goroutine of its own.
type httpService struct {
	server   *http.Server
	listener net.Listener
	done     chan struct{}
}

func newHTTPService(listener net.Listener, handler http.Handler, log *slog.Logger) *httpService {
	return &httpService{
		listener: listener,
		done:     make(chan struct{}),
		server: &http.Server{
			Handler: handler, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
			ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug), // callers' mistakes
		},
	}
}

// bounded is a service for callers that nobody vouches for. What takes longer to
// answer has to say so: see stillAnswering.
func (s *httpService) bounded() *httpService {
	s.server.ReadTimeout, s.server.WriteTimeout = requestTimeout, answerTimeout
	s.listener = netutil.LimitListener(s.listener, maxConnections)
	return s
}

// stillAnswering gives the answer under way as much time again.
func stillAnswering(w http.ResponseWriter) {
	c := http.NewResponseController(w)
	_ = c.SetReadDeadline(time.Time{}) // the request has been read, and a reader in the background sees the caller go
	_ = c.SetWriteDeadline(time.Now().Add(answerTimeout))
}

// listening is the address of a setting, and what a person looks at there.
type listening struct{ setting, address, page string }

// serveAt serves while the program runs. The service is made when all is put together.
func serveAt(lc fx.Lifecycle, at listening, build func(net.Listener) *httpService, log *slog.Logger) {
	var service *httpService
	lc.Append(fx.Hook{
		OnStart: func(context.Context) error {
			listener, err := net.Listen("tcp", at.address)
			if err != nil {
				return fmt.Errorf("%s is %s, but nothing can listen there (%w): choose another address, or end what has it", at.setting, at.address, err)
			}
			service = build(listener)
			service.start(log)
			log.Info("serving", "address", service.address(), "page", "http://"+dialable(service.address())+at.page)
			return nil
		},
		OnStop: func(ctx context.Context) error { return service.stop(ctx) },
	})
}

// start serves until stop.
func (s *httpService) start(log *slog.Logger) {
	go func() {
		defer close(s.done)
		if err := s.server.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
			log.Error("no longer serving", "address", s.address(), "error", err)
		}
	}()
}

func (s *httpService) address() string { return s.listener.Addr().String() }

// stop lets answers under way end for a moment, then cuts them off. To be called
// once, after start.
func (s *httpService) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, closingPatience)
	defer cancel()
	err := s.server.Shutdown(ctx)
	if err != nil {
		err = s.server.Close()
	}
	<-s.done
	return err
}

// isLoopback says whether only this machine can reach the address.
func isLoopback(address net.Addr) bool {
	tcp, ok := address.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// dialable is where to call what listens at an address: everywhere includes here.
func dialable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	ip, err := netip.ParseAddr(host)
	switch {
	case host == "" || err == nil && ip == netip.IPv4Unspecified():
		host = "127.0.0.1"
	case err == nil && ip == netip.IPv6Unspecified():
		host = "::1"
	}
	return net.JoinHostPort(host, port)
}
