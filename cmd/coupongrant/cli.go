package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
)

// cli is one run of the program.
type cli struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	environ        []string
	file           string // --config
	started        bool   // a command has begun: errors are its own, not cobra's
}

const (
	groupStart  = "start"
	groupServe  = "serve"
	groupLook   = "look"
	groupConfig = "config"
)

func (c *cli) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "coupongrant",
		Short: "Grants Tmall coupons for events in Kafka, one outcome or dead letter for each",
		Long: `coupongrant reads "please grant this member this coupon" events from Kafka, has
Tmall grant each coupon, and publishes one outcome or dead letter for each, exactly
once: an outcome says granted, or failed and why.`,
		Example: `  coupongrant dev                        see it all work, with nothing installed
  coupongrant topics create              prepare a cluster and a registry
  coupongrant run --config prod.yaml     the processor
  coupongrant audit --config prod.yaml   was every request ended exactly once?`,
		SilenceUsage:      true,
		SilenceErrors:     true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
		PersistentPreRun:  func(*cobra.Command, []string) { c.started = true },
	}
	root.SetIn(c.stdin)
	root.SetOut(c.stdout)
	root.SetErr(c.stderr)
	root.PersistentFlags().StringVar(&c.file, "config", "", "YAML file with settings; 'coupongrant config keys' lists them, and each but a secret is a flag too")
	addFlags(root.PersistentFlags(), defaultConfig())
	root.AddGroup(
		&cobra.Group{ID: groupStart, Title: "To see it work:"},
		&cobra.Group{ID: groupServe, Title: "To run it:"},
		&cobra.Group{ID: groupLook, Title: "To feed it and to look at it:"},
		&cobra.Group{ID: groupConfig, Title: "Its settings:"},
	)
	root.SetHelpCommandGroupID(groupConfig)
	root.AddCommand(c.commands()...)
	return root
}

func (c *cli) commands() []*cobra.Command {
	return []*cobra.Command{
		c.devCommand(), c.gatewayCommand(),
		c.runCommand(), c.topicsCommand(), c.doctorCommand(), c.healthCommand(),
		c.produceCommand(), c.tailCommand(), c.requestCommand(), c.deadLettersCommand(), c.auditCommand(), c.reportCommand(), c.benchCommand(),
		c.configCommand(), c.versionCommand(),
	}
}

// config reads the settings, over those that the command starts from.
func (c *cli) config(cmd *cobra.Command, base Config) (Config, error) {
	cfg, err := loadConfig(base, c.file, c.environ, cmd.Flags())
	return cfg, usage(err)
}

// terminal says whether w is looked at by a person.
func terminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func (c *cli) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		GroupID: groupConfig,
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(c.stdout, "coupongrant", buildVersion())
			return err
		},
	}
}
