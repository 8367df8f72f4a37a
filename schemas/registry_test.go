package schemas

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"
)

func answerWith(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

// hijacked answers with bytes of its own, and no others.
func hijacked(answer string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		_, _ = io.WriteString(conn, answer)
		_ = conn.Close()
	}
}

func schemaAnswer(t testing.TB, text string, more string) string {
	t.Helper()
	quoted, err := json.Marshal(text)
	require.NoError(t, err)
	return `{"schema":` + string(quoted) + more + `}`
}

// served is a registry on a real socket, with a count of its exchanges.
func served(t *testing.T, h http.HandlerFunc) (*Registry, *atomic.Int64) {
	t.Helper()
	var exchanges atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		exchanges.Add(1)
		h(w, r)
	}))
	reg, err := NewRegistry(RegistryConfig{URL: server.URL})
	require.NoError(t, err)
	t.Cleanup(func() { reg.Close(); server.Close() })
	return reg, &exchanges
}

func TestRegistryFaultsMeanAskAgain(t *testing.T) {
	cases := map[string]http.HandlerFunc{
		"500":                   answerWith(500, `{"error_code":50001,"message":"store"}`),
		"503 of a proxy":        answerWith(503, `<html>busy</html>`),
		"401":                   answerWith(401, `{"error_code":40101}`),
		"429":                   answerWith(429, ``),
		"404 of a proxy":        answerWith(404, `<html>no such page</html>`),
		"404 of another path":   answerWith(404, `{"error_code":404,"message":"HTTP 404 Not Found"}`),
		"404 of garbage code":   answerWith(404, `{"error_code":"40403"}`),
		"40403 without a 404":   answerWith(500, `{"error_code":40403}`),
		"200 and nothing":       answerWith(200, ``),
		"200 and garbage":       answerWith(200, `<html>welcome</html>`),
		"200 and null":          answerWith(200, `null`),
		"200 and a list":        answerWith(200, `[]`),
		"200 and no schema":     answerWith(200, `{}`),
		"200 and half a schema": answerWith(200, `{"schema":"{`),
		"schema is a number":    answerWith(200, `{"schema":7}`),
		"id is a text":          answerWith(200, `{"id":"seven","schema":5}`),
		"1 MB of a number":      answerWith(200, `{"schema":5,"id":`+strings.Repeat("9", 1<<20-100)+`}`),
		"1 MB of a version":     answerWith(200, `{"version":`+strings.Repeat("9", 1<<20-100)+`}`),
		"no HTTP":               hijacked("220 " + strings.Repeat("x", 4000) + "\r\n"),
		"no header of HTTP":     hijacked("HTTP/1.1 200 OK\r\n" + strings.Repeat("x", 4000) + "\r\n\r\n"),
		"no length":             hijacked("HTTP/1.1 200 OK\r\nContent-Length: " + strings.Repeat("x", 4000) + "\r\n\r\n"),
		"10 MB":                 answerWith(200, `{"schema":"`+strings.Repeat("x", 10<<20)+`"}`),
		"10 MB of an error":     answerWith(500, strings.Repeat("x", 10<<20)),
		"redirect elsewhere": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/schemas/ids/7", http.StatusFound)
		},
		"connection cut": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	}
	for name, h := range cases {
		t.Run(name, func(t *testing.T) {
			reg, exchanges := served(t, h)
			for _, call := range []func() error{
				func() error { return reg.Fetch(t.Context(), 7) },
				func() error { return reg.FetchOwn(t.Context(), testTopics) },
				func() error { return reg.Register(t.Context(), testTopics) },
			} {
				before := exchanges.Load()
				err := call()
				require.ErrorIs(t, err, ErrRegistryDown)
				require.NotContains(t, err.Error(), "\n")
				require.Less(t, len(err.Error()), 300)
				require.Greater(t, exchanges.Load(), before, "the fault was met")
			}
			_, err := NewCodec(reg, Rules{}).Decode(value(7))
			require.Equal(t, &NotFetchedError{ID: 7}, err, "nothing is concluded")
		})
	}
}

func TestRegistryThatIsNotThereMeansAskAgain(t *testing.T) {
	server := httptest.NewServer(nil)
	server.Close()
	reg, err := NewRegistry(RegistryConfig{URL: server.URL})
	require.NoError(t, err)
	require.ErrorIs(t, reg.Fetch(t.Context(), 7), ErrRegistryDown)
}

func TestHangingRegistryEndsWithTheCallersDeadline(t *testing.T) {
	reg, exchanges := served(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := reg.Fetch(ctx, 7)
	require.ErrorIs(t, err, ErrRegistryDown)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.EqualValues(t, 1, exchanges.Load(), "the fault was met")
}

// hanging never answers; drip begins to and then never ends.
type hanging struct{ drip bool }

func (h hanging) RoundTrip(r *http.Request) (*http.Response, error) {
	if h.drip {
		return &http.Response{StatusCode: 200, Body: neverEnding{r.Context()}, Request: r}, nil
	}
	<-r.Context().Done()
	return nil, r.Context().Err()
}

type neverEnding struct{ ctx context.Context }

func (b neverEnding) Read(p []byte) (int, error) {
	select {
	case <-time.After(time.Second):
		return copy(p, "x"), nil
	case <-b.ctx.Done():
		return 0, b.ctx.Err()
	}
}

func (neverEnding) Close() error { return nil }

func TestExchangeEndsByItselfAfterFiveSeconds(t *testing.T) {
	for _, road := range []hanging{{drip: false}, {drip: true}} {
		synctest.Test(t, func(t *testing.T) {
			reg, err := NewRegistry(RegistryConfig{URL: "http://registry", Transport: road})
			require.NoError(t, err)
			start := time.Now()
			require.ErrorIs(t, reg.Fetch(t.Context(), 7), ErrRegistryDown)
			require.Equal(t, exchangeTimeout, time.Since(start))
		})
	}
}

// What answers 101 hands out its connection, of which nothing but its own end ends a
// read.
func TestAnotherProtocolIsNoRegistry(t *testing.T) {
	reg, exchanges := served(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
		_, _ = io.Copy(io.Discard, conn) // until the caller leaves
		_ = conn.Close()
	})
	err := reg.Fetch(t.Context(), 7)
	require.ErrorIs(t, err, ErrRegistryDown)
	require.ErrorContains(t, err, "101")
	require.Positive(t, exchanges.Load(), "the fault was met")
}

func TestKnownSchemasOutliveTheRegistry(t *testing.T) {
	fake, reg, codec := registeredCodec(t)
	seed(t, fake, reg, 100, history(t, "CouponGrantRequested")[0])
	fake.Intercept(func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(503); return true })
	require.NoError(t, reg.Fetch(t.Context(), 100))
	_, err := codec.Decode(value(100).then(firstVersion()))
	require.NoError(t, err)
	_, err = codec.EncodeOutcome(fullFailed())
	require.NoError(t, err)
	require.ErrorIs(t, reg.Fetch(t.Context(), 101), ErrRegistryDown)
}

func TestSchemasThatAreNotOursAreRefusedForGood(t *testing.T) {
	cases := map[string]string{
		"protobuf":        schemaAnswer(t, `syntax = "proto3";`, `,"schemaType":"PROTOBUF"`),
		"a type unheard":  schemaAnswer(t, requestedSchema, `,"schemaType":"XSD"`),
		"with references": schemaAnswer(t, requestedSchema, `,"references":[{"name":"a","subject":"b","version":1}]`),
		"another record":  schemaAnswer(t, `{"type":"record","name":"Order","fields":[]}`, ``),
		"not Avro":        schemaAnswer(t, `hello`, ``),
		"above 64 KiB":    schemaAnswer(t, requestedSchema+strings.Repeat(" ", 64<<10), ``),
	}
	for name, body := range cases {
		t.Run(name, func(t *testing.T) {
			reg, exchanges := served(t, answerWith(200, body))
			require.NoError(t, reg.Fetch(t.Context(), 7))
			require.NoError(t, reg.Fetch(t.Context(), 7))
			require.EqualValues(t, 1, exchanges.Load())
			_, err := NewCodec(reg, Rules{}).Decode(value(7))
			requireReason(t, UnknownSchema, err)
		})
	}
}

func TestAvroMayBeNamedAsTheType(t *testing.T) {
	reg, _ := served(t, answerWith(200, schemaAnswer(t, requestedSchema, `,"schemaType":"AVRO","references":[],"id":7`)))
	require.NoError(t, reg.Fetch(t.Context(), 7))
	_, err := NewCodec(reg, Rules{}).Decode(value(7).then(secondVersion()))
	require.NoError(t, err)
}

func TestFetchOwnNamesWhatIsMissing(t *testing.T) {
	fake, reg, _ := fakeRegistry(t)
	_, _, err := fake.RegisterSchema("granted-value", sr.Schema{Schema: grantedSchema})
	require.NoError(t, err)
	_, _, err = fake.RegisterSchema("failed-value", sr.Schema{Schema: history(t, "CouponGrantFailed")[0]})
	require.NoError(t, err)

	err = reg.FetchOwn(t.Context(), testTopics)
	var missing *MissingSubjectsError
	require.ErrorAs(t, err, &missing)
	require.Equal(t, []string{"store-value", "loyalty-value", "failed-value"}, missing.Subjects)
	require.ErrorContains(t, err, "topics create")
	require.False(t, fake.SubjectExists("store-value"), "looking up registers nothing")

	codec := NewCodec(reg, Rules{})
	_, err = codec.EncodeOutcome(fullGranted())
	require.NoError(t, err, "what is there is known")
	require.NoError(t, reg.FetchOwn(t.Context(), Topics{Granted: "granted"}))
	require.NoError(t, reg.FetchOwn(t.Context(), Topics{}))
}

func TestRegisteringIsSafeToRepeat(t *testing.T) {
	fake, reg, _ := fakeRegistry(t)
	require.NoError(t, reg.Register(t.Context(), testTopics))
	_, other, _ := fakeRegistry(t)
	other.client, other.http = reg.client, reg.http
	require.NoError(t, other.FetchOwn(t.Context(), testTopics))
	require.Equal(t, reg.known.own, other.known.own, "found under the same ids")
	require.NoError(t, other.Register(t.Context(), testTopics))
	for _, s := range testTopics.subjects() {
		_, second := fake.GetSchema(s.name, 2)
		require.False(t, second, "no second version")
		level := reg.client.Compatibility(t.Context(), s.name)[0]
		require.NoError(t, level.Err)
		require.Equal(t, sr.CompatFullTransitive, level.Level)
	}
}

// Some registries have no compatibility of a subject before its first version.
func TestCompatibilityIsSetAfterwardsWhereItMustBe(t *testing.T) {
	fake, reg, _ := fakeRegistry(t)
	var denied, set int
	fake.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		subject, isConfig := strings.CutPrefix(r.URL.Path, "/config/")
		if !isConfig {
			return false
		}
		if fake.SubjectExists(subject) {
			set++
			return false
		}
		denied++
		answerWith(404, `{"error_code":40401}`)(w, r)
		return true
	})
	require.NoError(t, reg.Register(t.Context(), testTopics))
	require.Equal(t, 4, denied)
	require.Equal(t, 4, set)
}

func TestRefusedRegistrationIsNoOutage(t *testing.T) {
	for _, code := range []int{http.StatusConflict, http.StatusUnprocessableEntity} {
		fake, reg, _ := fakeRegistry(t)
		refusals := 0
		fake.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPost {
				return false
			}
			refusals++
			answerWith(code, `{"error_code":409,"message":"incompatible with `+canary+`"}`)(w, r)
			return true
		})
		err := reg.Register(t.Context(), testTopics)
		require.Error(t, err)
		require.NotErrorIs(t, err, ErrRegistryDown)
		require.ErrorContains(t, err, "store-value")
		requireNoCanary(t, err.Error())
		require.Equal(t, 1, refusals)
	}
}

func TestPathPrefixOfTheURLIsKept(t *testing.T) {
	fake := srfake.NewRegistry()
	road := &inProcess{handler: http.StripPrefix("/apis/ccompat/v7", fake.Handler())}
	reg, err := NewRegistry(RegistryConfig{URL: "http://registry/apis/ccompat/v7", Transport: road})
	require.NoError(t, err)
	require.NoError(t, reg.Register(t.Context(), testTopics))
	require.NoError(t, reg.FetchOwn(t.Context(), testTopics))
	require.NotZero(t, road.exchanges.Load())
}

func TestURLsThatCannotBeOneAreRefused(t *testing.T) {
	for _, give := range []string{
		"", "registry:8081", "ftp://registry", "http://", "http://u:" + canary + "@registry",
		"http://registry?key=" + canary, "http://registry#a", "http://%zz/" + canary,
	} {
		_, err := NewRegistry(RegistryConfig{URL: give})
		require.Error(t, err, give)
		requireNoCanary(t, err.Error())
	}
}

func TestRegistryIsSafeForConcurrentUse(t *testing.T) {
	fake, reg, codec := registeredCodec(t)
	fake.SeedSchema("old-value", 1, 100, sr.Schema{Schema: requestedSchema})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for id := range 50 {
				_ = reg.Fetch(t.Context(), 90+id)
				_, err := codec.Decode(value(uint32(90 + id)).then(secondVersion()))
				var unknown *NotFetchedError
				if err != nil && !errors.As(err, &unknown) {
					panic(fmt.Sprint("neither read nor asked for: ", err))
				}
			}
			_ = reg.FetchOwn(t.Context(), testTopics)
		})
	}
	wg.Wait()
	_, err := codec.Decode(value(100).then(secondVersion()))
	require.NoError(t, err)
}
