package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/coupongrant/coupongrant/processor"
)

const (
	healthPatience = 2 * time.Second
	mostHealthText = 64 << 10
)

// healthCommand is for images without a shell, whose engine runs a command to
// learn how a container is.
func (c *cli) healthCommand() *cobra.Command {
	ready := false
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Ask the replica on this machine whether it lives; for containers",
		Long: `Asks /livez at admin.listen, and ends with 0 if the replica lives, 1 if a restart is
what helps. With --ready it asks /readyz: 1 means that something is held, which no
restart mends, and the holds are printed.

It takes admin.listen from where ` + "`run`" + ` does, and of the other settings nothing: what a start
would be refused for is no reason to end a replica that lives. A file that is away, or is no
YAML, counts as none: give admin.listen in the environment or as a flag as well, or a replica
that listens elsewhere than by default is not found then. What is wrong with the file is told
where nobody answers.`,
		Example: `  coupongrant health --config /etc/coupongrant.yaml
  coupongrant health --ready`,
		GroupID: groupServe,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			listen, trouble, err := loadAdminListen(c.file, c.environ, cmd.Flags())
			if err != nil {
				return usage(err)
			}
			if err := askHealth(cmd.Context(), listen, ready); err != nil {
				return errors.Join(err, trouble)
			}
			_, err = fmt.Fprintln(c.stdout, "ok")
			return err
		},
	}
	cmd.Flags().BoolVar(&ready, "ready", false, "ask whether nothing is held")
	return cmd
}

// askHealth is an error unless the replica that listens there says that it lives,
// or that it is ready.
func askHealth(ctx context.Context, listen string, ready bool) error {
	path := "/livez"
	if ready {
		path = "/readyz"
	}
	ctx, cancel := context.WithTimeout(ctx, healthPatience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+dialable(listen)+path, http.NoBody)
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // no proxy: this machine
	answer, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("admin.listen is %s, but no replica answers there: %w", listen, err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode == http.StatusOK {
		return nil
	}
	return errors.New(troubleOf(answer))
}

// troubleOf is what an answer says of holds, else its status.
func troubleOf(answer *http.Response) string {
	var body struct {
		Holds []processor.Hold `json:"holds"`
	}
	text, _ := io.ReadAll(io.LimitReader(answer.Body, mostHealthText)) // cut off is as good as no holds
	if json.Unmarshal(text, &body) != nil || len(body.Holds) == 0 {
		return "the replica answers " + answer.Status
	}
	var lines []string
	for _, h := range body.Holds {
		lines = append(lines, strings.TrimSpace(h.Where+" "+h.Reason))
	}
	return strings.Join(lines, "\n")
}
