package processor

import (
	"context"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/fx"

	"github.com/coupongrant/coupongrant/breaker"
	"github.com/coupongrant/coupongrant/schemas"
	"github.com/coupongrant/coupongrant/topclient"
)

// Module provides the *Processor and ties it to the life of the application. A
// processor that ends by itself shuts the application down with exit code 1.
var Module = fx.Module("processor", fx.Provide(provide), fx.Invoke(func(*Processor) {}))

// Params are what the graph must provide.
type Params struct {
	fx.In

	Lifecycle  fx.Lifecycle
	Shutdowner fx.Shutdowner

	Config      Config
	Logger      *slog.Logger
	Metrics     prometheus.Registerer
	Registry    *schemas.Registry
	Codec       *schemas.Codec
	Client      *topclient.Client
	Credentials *topclient.CredentialSource
	Breaker     *breaker.Breaker
	Kafka       []kgo.Opt
	Tracer      trace.Tracer
}

func provide(p Params) (*Processor, error) {
	processor, err := New(p.Config, Deps{
		Logger: p.Logger, Metrics: p.Metrics, Registry: p.Registry, Codec: p.Codec,
		Client: p.Client, Credentials: p.Credentials, Breaker: p.Breaker, Kafka: p.Kafka, Tracer: p.Tracer,
	})
	if err != nil {
		return nil, err
	}
	p.Lifecycle.Append(fx.Hook{
		OnStart: func(ctx context.Context) error {
			return processor.Start(ctx, func(err error) {
				p.Logger.Error("the processor has ended", "error", err)
				_ = p.Shutdowner.Shutdown(fx.ExitCode(1)) // fails only when it shuts down already
			})
		},
		OnStop: processor.Stop,
	})
	return processor, nil
}
