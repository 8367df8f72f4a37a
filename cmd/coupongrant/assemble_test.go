package main

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/fx"
)

func TestGraphsAreComplete(t *testing.T) {
	for name, graph := range map[string]fx.Option{
		"run": runGraph(defaultConfig(), quiet(), newEnding()),
		"dev": devGraph(devPlace{cfg: devConfig()}, quiet(), newEnding()),
	} {
		t.Run(name, func(t *testing.T) { require.NoError(t, fx.ValidateApp(graph)) })
	}
	require.Error(t, fx.ValidateApp(commonGraph(quiet(), newEnding())), "without a Config nothing can work")
}

func emptyApp(hooks ...fx.Hook) *fx.App {
	return fx.New(fx.NopLogger, fx.Invoke(func(lc fx.Lifecycle) {
		for _, h := range hooks {
			lc.Append(h)
		}
	}))
}

func TestLiveStopsHoweverItEnds(t *testing.T) {
	broken := errors.New("broken")
	for name, tt := range map[string]struct {
		work func(context.Context) error
		told bool
		want error
	}{
		"work is done":         {work: func(context.Context) error { return nil }},
		"work fails":           {work: func(context.Context) error { return broken }, want: broken},
		"the processor ended":  {work: untilOver, told: true, want: errEnded},
		"ended while work ran": {work: func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) }, told: true, want: errEnded},
	} {
		t.Run(name, func(t *testing.T) {
			stops, end := 0, newEnding()
			app := emptyApp(fx.Hook{OnStop: func(context.Context) error { stops++; return nil }})
			if tt.told {
				require.NoError(t, end.Shutdown())
				require.NoError(t, end.Shutdown(), "a second time is heard and dropped")
			}
			require.ErrorIs(t, live(t.Context(), app, end, time.Minute, tt.work), tt.want)
			require.Equal(t, 1, stops)
		})
	}
}

func TestLiveIsNoErrorWhenAskedToStop(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	stopped := false
	app := emptyApp(fx.Hook{
		OnStart: func(context.Context) error { cancel(); return nil },
		OnStop:  func(ctx context.Context) error { stopped = true; return ctx.Err() },
	})
	require.NoError(t, live(ctx, app, newEnding(), time.Minute, untilOver))
	require.True(t, stopped)
}

func TestLiveGivesTheErrorOfAStart(t *testing.T) {
	broken := errors.New("admin.listen is taken")
	app := emptyApp(fx.Hook{OnStart: func(context.Context) error { return broken }})
	require.ErrorIs(t, live(t.Context(), app, newEnding(), time.Minute, untilOver), broken)
	require.ErrorIs(t, live(t.Context(), fx.New(fx.NopLogger, fx.Error(broken)), newEnding(), time.Minute, untilOver), broken)
}

func TestStopTimeoutLetsTheProcessorFinish(t *testing.T) {
	cfg := defaultConfig()
	require.Greater(t, stopTimeout(cfg), cfg.Processor.StopTimeout+2*cfg.Processor.TransactionTimeout)
}

func TestLoggerKeepsToLevelAndFormat(t *testing.T) {
	var out output
	log := newLogger(LogConfig{Level: "warn", Format: "json"}, &out)
	log.Info("hidden")
	log.Warn("shown", "text", "line\nbreak")
	require.NotContains(t, out.String(), "hidden")
	require.Contains(t, out.String(), `"text":"line\nbreak"`)
	require.False(t, newLogger(LogConfig{Level: "error", Format: "text"}, &out).Enabled(t.Context(), slog.LevelWarn))
}
