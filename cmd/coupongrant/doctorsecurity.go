package main

import (
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"slices"
	"time"
)

func lookEncryption(d *doctor) []finding {
	if d.cfg.Security.TLS {
		return nil
	}
	far := slices.ContainsFunc(d.cfg.Brokers, func(broker string) bool {
		host, _, err := net.SplitHostPort(broker)
		return err == nil && !private(&url.URL{Host: net.JoinHostPort(host, "0")})
	})
	if !far {
		return nil
	}
	return []finding{warning("kafka.tls.enabled is false: requests, with the members' open_id, travel readable for everybody on the way",
		"set it to true, and kafka.brokers to the listener that speaks TLS")}
}

// certificateWarned is how long before its end a certificate is warned of.
const certificateWarned = 14 * day

func lookCertificates(d *doctor) (all []finding) {
	if d.cfg.access == nil {
		return nil
	}
	for _, t := range []struct {
		key, path string
		access    *tlsAccess
	}{
		{"kafka.tls.cert_file", d.cfg.Security.Files.Cert, d.cfg.access.dialer},
		{"registry.tls.cert_file", d.cfg.RegistryTLS.Cert, registryTLS(d.cfg.access)},
	} {
		if t.path == "" || t.access == nil {
			continue
		}
		leaf, err := x509.ParseCertificate(t.access.certificate.get().Certificate[0])
		if err != nil {
			continue // it was good when it was read
		}
		says := fmt.Sprintf("%s is %s, of a certificate that ends at %s", t.key, t.path, leaf.NotAfter.UTC().Format(time.RFC3339))
		const mend = "have it issued anew, and put it with its key in the place of the old one: nothing need be restarted"
		switch left := time.Until(leaf.NotAfter); {
		case left <= 0:
			all = append(all, wrong(says+", which is past", mend))
		case left <= certificateWarned:
			all = append(all, warning(says, mend))
		}
	}
	return all
}

func registryTLS(a *access) *tlsAccess {
	if transport, ok := a.registry.(*registryTransport); ok {
		return transport.tls
	}
	return nil
}
