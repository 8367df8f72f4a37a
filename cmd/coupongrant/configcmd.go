package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/coupongrant/coupongrant/processor"
)

func (c *cli) configCommand() *cobra.Command {
	parent := &cobra.Command{
		Use:   "config",
		Short: "Check and print the settings",
		Long: `Every setting but a secret is a key of the YAML file (--config), an environment variable
and a flag: kafka.brokers is COUPONGRANT_KAFKA_BROKERS and --kafka.brokers. A flag wins over
a variable, a variable over the file, the file over the default. Lists are separated by
commas, an empty variable counts as not set. Secrets come from files of their own
(gateway.app_secret_file, gateway.session_file) or from the environment.`,
		GroupID: groupConfig,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	parent.AddCommand(
		&cobra.Command{
			Use: "check", Short: "Say what is wrong with the settings of `run`, or ok", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return c.configCheck(cmd) },
		},
		c.configPrintCommand(),
		&cobra.Command{
			Use: "keys", Short: "List every setting with its default and meaning", Args: cobra.NoArgs,
			RunE: func(*cobra.Command, []string) error { return c.configKeys() },
		},
	)
	return parent
}

func (c *cli) configCheck(cmd *cobra.Command) error {
	cfg, err := c.config(cmd, defaultConfig())
	if err != nil {
		return err
	}
	if err := errors.Join(cfg.CheckCredentials(), cfg.CheckSecretFiles()); err != nil {
		return usage(err)
	}
	if inClear := cfg.gatewayInClear(); inClear != nil {
		fmt.Fprintln(c.stderr, "warning:", inClear)
	}
	_, err = fmt.Fprintln(c.stdout, "ok")
	return err
}

func (c *cli) configPrintCommand() *cobra.Command {
	policy := false
	cmd := &cobra.Command{
		Use: "print", Short: "Print every setting and where it comes from; secrets are hidden", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if policy {
				return c.printPolicy(cmd)
			}
			return c.configPrint(cmd)
		},
	}
	cmd.Flags().BoolVar(&policy, "policy", false, "print instead what becomes of a request with each answer of the gateway")
	return cmd
}

// printPolicy shows what becomes of a request with every answer of the gateway,
// by the settings in force.
func (c *cli) printPolicy(cmd *cobra.Command) error {
	cfg, err := c.config(cmd, defaultConfig())
	if err != nil {
		return err
	}
	retry := cfg.Processor.Retry
	fmt.Fprintf(c.stdout, "retry.business_attempts: %d, retry.doubtful_attempts: %d, retry.refusal_in_doubt: %s, retry.code_10: %s, retry.code_42: %s\n\n",
		retry.BusinessAttempts, retry.DoubtfulAttempts, retry.RefusalInDoubt, retry.Code10, retry.Code42)
	out := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(out, "CODE\tSUB-CODE\tABOUT\tMAY HAVE GRANTED\t%s\tMEANING\n", strings.ToUpper(strings.Join(processor.PolicySituations(), "\t")))
	for _, row := range processor.PolicyTable(retry) {
		fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%s\t%s\n", row.Code, row.SubCode, row.About, yesNo(row.MayHaveGranted), strings.Join(row.Actions, "\t"), row.Meaning)
	}
	return out.Flush()
}

func (c *cli) configPrint(cmd *cobra.Command) error {
	cfg, err := c.config(cmd, defaultConfig())
	if err != nil {
		return err
	}
	return cfg.print(c.stdout)
}

// print writes the settings as a file that gives the same again. Secrets stand in it
// as comments, and so does a name that was made for this replica: another one that
// reads the file would take it for its own.
func (c Config) print(w io.Writer) error {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	last := ""
	for _, s := range c.settings() {
		name, indent := s.key, ""
		if in := section(s.key); in != "" {
			if in != last {
				fmt.Fprintf(out, "%s:\n", in)
			}
			last, name, indent = in, strings.TrimPrefix(s.key, in+"."), "  "
		}
		origin := c.Origins[s.key]
		if origin == "" {
			origin = "default"
		}
		switch {
		case s.secret && c.Origins[s.key] == "":
		case s.secret:
			fmt.Fprintf(out, "%s# %s: %s\t# %s\n", indent, name, s.value, origin)
		case s.key == keyTransactionalID && c.Origins[s.key] == "":
			fmt.Fprintf(out, "%s# %s: %s\t# %s, of this replica alone\n", indent, name, s.value.YAML(), origin)
		default:
			fmt.Fprintf(out, "%s%s: %s\t# %s\n", indent, name, s.value.YAML(), origin)
		}
	}
	return out.Flush()
}

func (c *cli) configKeys() error {
	out := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "KEY, AND FLAG --KEY\tDEFAULT\tMEANING")
	cfg := defaultConfig()
	for _, s := range cfg.settings() {
		if s.secret {
			fmt.Fprintf(out, "%s\t\t%s\n", s.variable(), s.about)
			continue
		}
		fmt.Fprintf(out, "%s\t%s\t%s\n", s.key, s.value, s.about)
	}
	return out.Flush()
}
