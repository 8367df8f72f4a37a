package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const canary = "canary-5ec2e7"

func TestSecretsInTheSettingsFileAreRefusedAndNotRepeated(t *testing.T) {
	for name, file := range map[string]string{
		"app secret":             "gateway:\n  app_secret: " + canary + "\n",
		"session":                "gateway:\n  session: " + canary + "\n",
		"registry password":      "registry:\n  password: " + canary + "\n",
		"the file is a secret":   canary,
		"the secret is an alias": "gateway:\n  app_secret: *" + canary + "\n",
		"the secret is a tag":    "gateway: !" + canary + " [\n",
		"a list of secrets":      "gateway:\n  app_secret: [" + canary + "]\n",
		"password in a URL":      "registry:\n  url: http://user:" + canary + "@host\n",
		"password in another":    "gateway:\n  url: http://user:" + canary + "@host\n",
	} {
		t.Run(name, func(t *testing.T) {
			for _, command := range []string{"check", "print"} {
				got := runWith(t, "", "config", command, "--config", writeFile(t, file))
				require.Equal(t, exitUsage, got.code)
				require.NotContains(t, got.stdout+got.stderr, canary)
			}
		})
	}
}

func TestSecretsOfTheEnvironmentAreNeverPrinted(t *testing.T) {
	t.Setenv("COUPONGRANT_GATEWAY_APP_SECRET", canary)
	t.Setenv("COUPONGRANT_GATEWAY_SESSION", canary)
	t.Setenv("COUPONGRANT_REGISTRY_USER", "coupongrant")
	t.Setenv("COUPONGRANT_REGISTRY_PASSWORD", canary)
	for name, tt := range map[string]struct {
		args []string
		code int
	}{
		"print":         {[]string{"config", "print", "--gateway.app_key=1"}, 0},
		"check":         {[]string{"config", "check", "--gateway.app_key=1"}, 0},
		"keys":          {[]string{"config", "keys"}, 0},
		"wrong setting": {[]string{"config", "check", "--window.records=0"}, 2},
		"no app key":    {[]string{"config", "check"}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			got := runWith(t, "", tt.args...)
			require.Equal(t, tt.code, got.code, got.stderr)
			require.NotContains(t, got.stdout+got.stderr, canary)
		})
	}
	shown := runWith(t, "", "config", "print").stdout
	require.Contains(t, shown, "# app_secret: [redacted]")
	require.Contains(t, shown, "# session: [redacted]")
}

// No blank is taken off a secret in silence: it may belong to it.
func TestSecretsOfTheEnvironmentAreReadAsThoseOfFiles(t *testing.T) {
	variables := map[string]func(Config) string{
		"gateway.app_secret":  func(c Config) string { return c.Credentials.AppSecret.Reveal() },
		"gateway.session":     func(c Config) string { return c.Credentials.Session.Reveal() },
		"registry.password":   func(c Config) string { return c.Registry.Password.Reveal() },
		"kafka.sasl.password": func(c Config) string { return c.Security.SASL.Password.Reveal() },
	}
	others := []string{"--registry.user=u", "--kafka.sasl.mechanism=SCRAM-SHA-256", "--kafka.sasl.user=u"}
	for key, read := range variables {
		t.Run(key, func(t *testing.T) {
			environ := []string{"COUPONGRANT_KAFKA_SASL_PASSWORD=any"}
			for text, want := range map[string]string{"a b": "a b", "secret\n": "secret", "\ufeffsecret\r\n": "secret"} {
				cfg, err := load(t, "", append(environ, variableOf(key)+"="+text), others...)
				require.NoError(t, err)
				require.Equal(t, want, read(cfg), "%q", text)
			}
			for text, says := range map[string]string{
				" " + canary:           "has blanks before or after the secret: write it without them",
				canary + "\t":          "has blanks before or after the secret: write it without them",
				canary + " \n":         "has blanks before or after the secret: write it without them",
				canary + "\n" + canary: "holds more than one line: write the secret into it, and nothing else",
			} {
				_, err := load(t, "", append(environ, variableOf(key)+"="+text), others...)
				require.ErrorContains(t, err, key+" (environment) "+says, "%q", text)
				require.NotContains(t, err.Error(), canary)
			}
		})
	}
}

// Session and open_id that everybody on the way can read are told at each start, and
// refuse nothing.
func TestGatewayWithoutEncryptionIsWarnedOf(t *testing.T) {
	t.Setenv("COUPONGRANT_GATEWAY_APP_SECRET", canary)
	t.Setenv("COUPONGRANT_GATEWAY_SESSION", canary)
	for url, warned := range map[string]bool{
		"http://gw.api.taobao.com/router/rest": true,
		"http://gateway:8089/router/rest":      true,
		"http://10.0.0.1:8089/router/rest":     true,
		"https://eco.taobao.com/router/rest":   false,
		"http://127.0.0.1:8089/router/rest":    false,
		"http://[::1]:8089/router/rest":        false,
		"http://localhost:8089/router/rest":    false,
		"http://localhost.example/router/rest": true,
	} {
		t.Run(url, func(t *testing.T) {
			const says = "session and open_id travel readable for everybody on the way"
			mend := "use https" + strings.TrimPrefix(url, "http")
			checked := runWith(t, "", "config", "check", "--gateway.app_key=1", "--gateway.url="+url)
			require.Equal(t, exitDone, checked.code)
			require.Equal(t, "ok\n", checked.stdout)
			want := ""
			if warned {
				want = "warning: gateway.url is " + url + ": " + says + ": " + mend + "\n"
			}
			require.Equal(t, want, checked.stderr)

			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var log output
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				run(ctx, []string{
					"run", "--gateway.app_key=1", "--gateway.url=" + url, "--log.format=json", "--admin.listen=127.0.0.1:0",
					"--kafka.brokers=127.0.0.1:1", "--registry.url=http://127.0.0.1:1",
				}, strings.NewReader(""), new(output), &log)
			}()
			require.Eventually(t, func() bool { return strings.Contains(log.String(), "no broker answers") }, 20*time.Second, 10*time.Millisecond, "%s", &log)
			cancel()
			<-ended
			lines := 0
			for line := range strings.Lines(log.String()) {
				if strings.Contains(line, says) {
					lines++
					require.Contains(t, line, `"level":"WARN"`)
					require.Contains(t, line, url)
					require.Contains(t, line, mend)
				}
			}
			require.Equal(t, warned, lines == 1, "%s", &log)
		})
	}
}

func TestPrintedSettingsGiveTheSameAgain(t *testing.T) {
	first := runWith(t, "", "config", "print", "--kafka.brokers=a:1,b:2", "--kafka.group=01", "--topics.store=yes", "--gateway.rate=12.5")
	require.Equal(t, exitDone, first.code, first.stderr)
	require.Regexp(t, `brokers: \['a:1', 'b:2'\] +# flag`, first.stdout)
	file := writeFile(t, first.stdout)
	cfg, err := load(t, first.stdout, nil)
	require.NoError(t, err)
	require.Equal(t, "01", cfg.Processor.Group)
	require.Equal(t, "yes", cfg.Processor.Topics.Store)
	require.InDelta(t, 12.5, cfg.Processor.Rate, 0)
	again := runWith(t, "", "config", "print", "--config", file)
	require.Equal(t, exitDone, again.code, again.stderr)
	require.Regexp(t, `group: "01" +# file `, again.stdout)
}

func TestCredentialsComeFromFiles(t *testing.T) {
	dir := t.TempDir()
	secret, session := filepath.Join(dir, "secret"), filepath.Join(dir, "session")
	require.NoError(t, os.WriteFile(secret, []byte(canary+"\n"), 0o600))
	args := []string{"config", "check", "--gateway.app_key=1", "--gateway.app_secret_file=" + secret, "--gateway.session_file=" + session}
	got := runWith(t, "", args...)
	require.Equal(t, exitUsage, got.code)
	require.Contains(t, got.stderr, session, "the file that is absent is named")
	require.NotContains(t, got.stderr, canary)
	require.NoError(t, os.WriteFile(session, []byte(canary), 0o600))
	require.Equal(t, ran{0, "ok\n", ""}, runWith(t, "", args...))
}

func TestSettingsDoNotFormatTheirSecrets(t *testing.T) {
	cfg, err := load(t, "", []string{
		"COUPONGRANT_GATEWAY_APP_SECRET=" + canary, "COUPONGRANT_GATEWAY_SESSION=" + canary, "COUPONGRANT_REGISTRY_USER=coupongrant", "COUPONGRANT_REGISTRY_PASSWORD=" + canary,
	})
	require.NoError(t, err)
	require.Equal(t, canary, cfg.Credentials.Session.Reveal())
	require.Equal(t, canary, cfg.Registry.Password.Reveal())
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		require.NotContains(t, fmt.Sprintf(verb, cfg), canary)
	}
}
